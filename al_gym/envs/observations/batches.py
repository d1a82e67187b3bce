"""What a proposed batch looks like, without labels."""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym.pool import PoolView
from al_gym.pool.geometry import EXACT_ITEMS
from al_gym.strategies.herding import kernel_and_coverage

_TASKS = 8  # kernels in flight

BATCH_FEATURES = {
    "uncertainty": "mean 1 - margin",
    "entropy": "mean entropy over the log of the number of classes seen",
    "typicality": "h over twice the mean distance to the 20 nearest items, h their mean over the pool",
    "novelty": "mean distance to the nearest labelled item over 4 h",
    "spread": "mean distance between the items over 4 h; 0 for one item",
    "classes": "number of predicted classes over the number of items",
    "coverage": "share of the uncovered part of the pool that it covers, by the kernel of width h",
    "uncertain_coverage": "the same with the pool weighted by 1 - margin",
    "agreement": "share of the other proposals that hold an item, mean over its items",
}


def describe_batches(view: PoolView, batches: Tensor) -> Tensor:
    """(tasks, M, features) float32 in the order of `BATCH_FEATURES`.

    Args:
        view: the campaigns. batches: (tasks, M, k) int64 positions, -1 for none; at least one item each.
    """
    real = batches >= 0
    size = real.sum(2).clamp(min=1).to(torch.float32)
    flat = batches.clamp(min=0).flatten(1)
    h = view.bandwidth()[:, None]

    def mean(values: Tensor) -> Tensor:
        return (values.gather(1, flat).reshape(batches.shape) * real).sum(2) / size

    most = view.seen.sum(1).clamp(min=2).to(torch.float32).log()[:, None]
    near = mean(view.neighbour_distance())
    novelty = mean(view.squared_distance_to_labelled().nan_to_num(posinf=0.0).sqrt())
    plain, weighted = _coverage_gains(view, batches)
    columns = [
        mean(1 - view.margin),
        mean(view.entropy) / most,
        h / (2 * near).clamp(min=1e-6),
        novelty / (4 * h),
        _spread(view, batches, real, size) / (4 * h),
        _predicted_classes(view, flat, real) / size,
        plain,
        weighted,
        _agreement(batches, real, size),
    ]
    return torch.stack(columns, 2).to(torch.float32)


def _spread(view: PoolView, batches: Tensor, real: Tensor, size: Tensor) -> Tensor:
    points = view.arrays.X[view.rows[:, None, None], batches.clamp(min=0)]
    between = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    pairs = (real[..., :, None] & real[..., None, :]).to(torch.float32)
    return (between * pairs).sum((2, 3)) / (size * (size - 1)).clamp(min=1)


def _predicted_classes(view: PoolView, flat: Tensor, real: Tensor) -> Tensor:
    """(tasks, M) number of classes predicted within each batch."""
    predicted = view.predicted.gather(1, flat).reshape(real.shape)
    counts = torch.zeros(*real.shape[:2], view.seen.shape[1], device=flat.device)
    return (counts.scatter_add_(2, predicted, real.to(torch.float32)) > 0).sum(2).to(torch.float32)


def _agreement(batches: Tensor, real: Tensor, size: Tensor) -> Tensor:
    """(tasks, M) in [0, 1]."""
    same = batches[:, :, :, None, None] == batches[:, None, None, :, :]
    holds = (same & real[:, :, :, None, None]).any(4).sum(3) - 1
    return (holds.clamp(min=0) * real).sum(2) / size / max(1, batches.shape[1] - 1)


def _coverage_gains(view: PoolView, batches: Tensor) -> tuple[Tensor, Tensor]:
    """(tasks, M) twice: coverage that each batch adds, as a share of what is missing; plain and weighted."""
    plain: list[Tensor] = []
    weighted: list[Tensor] = []
    for at in torch.arange(len(view), device=batches.device).split(_TASKS):
        sub, some = view.take(at), batches[at]
        targets = None if view.geometry.exact else view.geometry.random_items(sub.rows, EXACT_ITEMS)
        kernel, covered = kernel_and_coverage(sub, some.flatten(1), targets, None)
        reach = kernel.reshape(*some.shape, -1).masked_fill((some < 0)[..., None], 0.0).amax(2)
        valid, uncertain = sub.valid.to(torch.float32), (1 - sub.margin) * sub.valid
        gain = (reach - covered[:, None, :]).clamp_(min=0)
        for weight, out in ((valid, plain), (uncertain, weighted)):
            w = weight if targets is None else weight.gather(1, targets)
            missing = ((1 - covered) * w).sum(1, keepdim=True)
            out.append((gain * w[:, None, :]).sum(2) / missing.clamp(min=1e-6))
    return torch.cat(plain), torch.cat(weighted)
