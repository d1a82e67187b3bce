"""Greedy kernel coverage, with weights or without, on pools of any size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from al_gym.pool.distances import squared_distances
from al_gym.pool.geometry import EXACT_ITEMS
from al_gym.pool.view import PoolView
from al_gym.strategies.base import argmax_with_ties, mask_after, tie_noise, top_k
from al_gym.streams import Stream

RANDOM_CANDIDATES = 512  # a round, in pools too large for a matrix of pairs
_TASKS = 8  # matrices in flight


@dataclass(frozen=True)
class KernelSpec:
    """A Gaussian kernel exp(-d^2 / 2h^2) other than the pool's own.

    Attributes:
        features: (tasks, items, width) float32.
        h: (tasks,) float32, positive.
        nearest: (tasks, items) float32, squared distance of `features` to the nearest labelled item.
    """

    features: Tensor
    h: Tensor
    nearest: Tensor

    def take(self, tasks: Tensor) -> KernelSpec:
        """The kernels of some of the tasks."""
        return KernelSpec(self.features[tasks], self.h[tasks], self.nearest[tasks])


def random_candidates(view: PoolView, k: Tensor, stream: Stream) -> Tensor:
    """(tasks, n) int64: `RANDOM_CANDIDATES` random candidates a task (at least k), -1 after the last."""
    share = torch.minimum(k.clamp(min=RANDOM_CANDIDATES), view.candidates.sum(1))
    return top_k(torch.zeros_like(view.top1), view.candidates, share, stream.child("candidates"))


def herd_pool(
    view: PoolView,
    k: Tensor,
    stream: Stream,
    candidates: Tensor | None = None,
    weight: Tensor | None = None,
    spec: KernelSpec | None = None,
) -> Tensor:
    """Repeatedly the candidate x that adds most to sum_i weight_i * max(0, K(x, i) - coverage_i) over the pool.

    Args:
        view: the campaigns.
        k: (tasks,) int64, batch sizes.
        stream: breaks ties.
        candidates: (tasks, n) int64, at least `k` a task, then -1; every unlabelled item if None.
        weight: (tasks, items) float32, non-negative; ones if None.
        spec: the kernel; the pool's own if None.

    Returns:
        (tasks, max(k)) int64 positions, -1 after the first `k`.
    """
    noise = tie_noise(stream, view.valid.shape[1], k.device)
    picked = torch.full((len(view), int(k.max())), -1, device=k.device)
    for part in torch.arange(len(view), device=k.device).split(_TASKS):
        sub = view.take(part)
        rows = None if candidates is None else candidates[part].clamp(min=0)
        targets = None if view.geometry.exact else view.geometry.random_items(sub.rows, EXACT_ITEMS)
        kernel, covered = kernel_and_coverage(sub, rows, targets, None if spec is None else spec.take(part))
        allowed = sub.candidates if candidates is None else candidates[part] >= 0
        ties = noise[part] if rows is None else noise[part].gather(1, rows)
        weights = weight if weight is None else weight[part]
        if weights is not None and targets is not None:
            weights = weights.gather(1, targets)
        best = herd(kernel, weights, covered, allowed, k[part], ties)
        if rows is not None:
            best = rows.gather(1, best.clamp(min=0)).masked_fill(best < 0, -1)
        picked[part, : best.shape[1]] = best
    return picked


def kernel_and_coverage(
    view: PoolView, rows: Tensor | None, targets: Tensor | None, spec: KernelSpec | None
) -> tuple[Tensor, Tensor]:
    """Kernel values from the items `rows` to the items `targets` (all items if None) and the targets' coverage.

    Returns:
        (tasks, rows, targets) float32, 0 where either item is padding, and (tasks, targets) float32.
    """
    geometry = view.geometry
    if spec is None and geometry.exact:
        storage = geometry.ensure_kernel(view.rows)
        kernel = storage[view.rows] if rows is None else storage[view.rows[:, None], rows]
        return kernel, geometry.coverage(view.rows)
    if spec is None:
        spec = KernelSpec(view.X, view.bandwidth(), view.squared_distance_to_labelled())
    scale = -0.5 / spec.h.square()
    A = spec.features if rows is None else take_items(spec.features, rows)
    B = spec.features if targets is None else take_items(spec.features, targets)
    kernel = (squared_distances(A, B) * scale[:, None, None]).exp_()
    covered = (spec.nearest * scale[:, None]).exp()
    if targets is None:
        return kernel.masked_fill_(~view.valid[:, None, :], 0.0), covered.masked_fill_(~view.valid, 0.0)
    return kernel, covered.gather(1, targets)


def take_items(array: Tensor, positions: Tensor) -> Tensor:
    """(tasks, n, width) from (tasks, items, width) and (tasks, n) positions."""
    return array.gather(1, positions[:, :, None].expand(-1, -1, array.shape[2]))


def herd(kernel: Tensor, weight: Tensor | None, covered: Tensor, allowed: Tensor, k: Tensor, noise: Tensor) -> Tensor:
    """The greedy loop of `herd_pool` on explicit kernels.

    Args:
        kernel: (tasks, rows, targets) float32; rows are the possible picks.
        covered: (tasks, targets) float32.
        weight: (tasks, targets) float32, or None for ones.
        allowed: (tasks, rows) bool, at least `k` a task.
        noise: (tasks, rows) float64 in [0, 1), breaks ties.
        k: (tasks,) int64, batch sizes.

    Returns:
        (tasks, max(k)) int64 row numbers, -1 after the first `k`.
    """
    allowed = allowed.clone()
    task = torch.arange(len(kernel), device=kernel.device)
    picked: list[Tensor] = []
    for _ in range(int(k.max())):
        if picked:
            allowed[task, picked[-1]] = False
            covered = torch.maximum(covered, kernel[task, picked[-1]])
        gain = (kernel - covered[:, None, :]).clamp_(min=0)
        if weight is not None:
            gain *= weight[:, None, :]
        picked.append(argmax_with_ties(gain.sum(-1, dtype=torch.float64), allowed, noise))
    return mask_after(torch.stack(picked, 1), k)
