"""Small networks, one a task, in the same batched products, and their adaptation by gradient steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Weights = list[Tensor]
"""Weight (tasks, out, in) and intercept (tasks, out, 1) of each layer, first to last."""


def hidden_layer(weights: Sequence[Tensor], X: Tensor) -> Tensor:
    """(tasks, width, n) float32, what the last layer sees of `X` (tasks, n, features)."""
    hidden = X.mT
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        hidden = torch.baddbmm(bias, weight, hidden).relu()
    return hidden


def forward(weights: Sequence[Tensor], X: Tensor) -> Tensor:
    """(tasks, outputs, n) float32 of `X` (tasks, n, features); rectified between the layers."""
    return torch.baddbmm(weights[-1], weights[-2], hidden_layer(weights, X))


def adapt(
    weights: Sequence[Tensor],
    loss: Callable[[Sequence[Tensor]], Tensor],
    rates: Tensor,
    *,
    second_order: bool = False,
) -> Weights:
    """Plain gradient descent of every task at once, the inner loop of MAML.

    Args:
        weights: the start, one entry a task; they must require a gradient.
        loss: the sum over tasks of each task's own loss.
        rates: (steps, tensors), the step size of every tensor in every step.
        second_order: keep the graph of the gradients, so that a loss of the result can be differentiated exactly with
            respect to the start (MAML); without it the gradients count as constants (FOMAML).

    Returns:
        The weights after all steps, connected to the start and to `rates`.
    """
    values = list(weights)
    for rate in rates:
        slopes = torch.autograd.grad(loss(values), values, create_graph=second_order)
        values = [value - step * slope for value, step, slope in zip(values, rate, slopes, strict=True)]
    return values


def class_loss(weights: Sequence[Tensor], X: Tensor, y: Tensor, unseen: Tensor) -> Tensor:
    """(tasks,) mean log-loss over the items that count.

    Args:
        weights: of a network with one output a class.
        X: (tasks, n, features) float32.
        y: (tasks, n) int64, -1 for items that do not count.
        unseen: (tasks, classes) bool, classes without probability.
    """
    log_p = forward(weights, X).masked_fill(unseen[:, :, None], -torch.inf).log_softmax(dim=1)
    hit = log_p.gather(1, y.clamp(min=0)[:, None])[:, 0]
    counts = y >= 0
    return -torch.where(counts, hit, 0.0).sum(dim=1) / counts.sum(dim=1).clamp(min=1)
