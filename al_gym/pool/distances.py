"""Distances, neighbour means, kernels and coverage on block storage, in torch for any device.

`al_gym.kernels.geometry` has the same functions for the CPU. Differences are formed before they are
squared: |a|^2 + |b|^2 - 2ab would lose the distances of near-duplicates and of features with a large offset,
and would not give equal items the distance 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOURS = 20
_TASKS = 16  # matrices of pairs in flight
_CHUNK = 1 << 24  # distances held at once


def squared_distances(A: Tensor, B: Tensor) -> Tensor:
    """(tasks, m, n) float32 from (tasks, m, features) and (tasks, n, features)."""
    return torch.cdist(A, B, compute_mode="donot_use_mm_for_euclid_dist").square_()


def padding(items: int, n_items: Tensor) -> Tensor:
    """(tasks, items) bool: beyond the true size."""
    return torch.arange(items, device=n_items.device)[None, :] >= n_items[:, None]


def _mean_of_nearest(d2: Tensor, used: Tensor, most: int) -> Tensor:
    """(tasks, m) float32: mean root of the `used` (tasks,) smallest of (tasks, m, n), at most `most`; 0 for none."""
    near = d2.topk(min(most, d2.shape[2]), dim=2, largest=False).values.sqrt_()
    near = near.masked_fill_(padding(near.shape[2], used)[:, None, :], 0.0)
    return near.sum(-1) / used.clamp(min=1)[:, None]


def _pool_pairs(X: Tensor, n_items: Tensor) -> tuple[Tensor, Tensor]:
    """(tasks, items, items) squared distances, inf where either item is padding, and the (tasks, items) padding."""
    outside = padding(X.shape[1], n_items)
    return squared_distances(X, X).masked_fill_(outside[:, :, None] | outside[:, None, :], torch.inf), outside


def neighbour_means(X: Tensor, rows: Tensor, n_items: Tensor, n_features: Tensor, mean: Tensor, h: Tensor) -> None:
    """Mean distance of each item to the 20 nearest other items of its pool, and the bandwidth.

    Args:
        X: (rows, items, features) float32 storage.
        rows: (tasks,) int64, rows of the storage.
        n_items: (rows,) int64.
        n_features: (rows,) int64; features beyond are zero.
        mean: (rows, items) float32, written, 0 on padding.
        h: (rows,) float32, written: the mean of `mean` over the pool, 1 if that is 0.
    """
    for part in torch.split(rows, _TASKS):
        n = n_items[part]
        d2, outside = _pool_pairs(X[part], n)
        d2.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        means = _mean_of_nearest(d2, (n - 1).clamp(max=NEIGHBOURS), NEIGHBOURS).masked_fill_(outside, 0.0)
        mean[part] = means
        h[part] = positive_or_one(means.sum(1) / n)


def positive_or_one(h: Tensor) -> Tensor:
    """`h` where it is positive, else 1."""
    return torch.where(h > 0, h, torch.ones_like(h))


def kernel_matrices(
    X: Tensor, rows: Tensor, n_items: Tensor, n_features: Tensor, known: Tensor, mean: Tensor, h: Tensor, K: Tensor
) -> None:
    """Kernels of whole pools, and what `neighbour_means` writes where it is not yet `known`.

    Args:
        X: as in `neighbour_means`, like rows, n_items, n_features, mean and h.
        rows: (tasks,) int64.
        n_items: (rows,) int64.
        n_features: (rows,) int64.
        known: (rows,) bool: `mean` and `h` are there.
        mean: (rows, items) float32, written where not known.
        h: (rows,) float32, written where not known.
        K: (rows, items, items) float32, written, 0 where either item is padding.
    """
    neighbour_means(X, rows[~known[rows]], n_items, n_features, mean, h)
    for part in torch.split(rows, _TASKS):
        scale = -0.5 / h[part].square()
        K[part] = (_pool_pairs(X[part], n_items[part])[0] * scale[:, None, None]).exp_()


def kernel_between(
    X: Tensor, rows: Tensor, n_features: Tensor, items: Tensor, targets: Tensor, h: Tensor, K: Tensor
) -> None:
    """Kernel values between chosen items of each pool.

    Args:
        X: (rows, items, features) float32 storage.
        rows: (tasks,) int64.
        n_features: (tasks,) int64; features beyond are zero.
        items: (tasks, m) int64; -1 for none.
        targets: (tasks, n) int64.
        h: (tasks,) float32.
        K: (tasks, m, n) float32, written; undefined where `items` is -1.
    """
    scale = -0.5 / h.square()
    A = X[rows[:, None], items.clamp(min=0)]
    K[:] = (squared_distances(A, X[rows[:, None], targets]) * scale[:, None, None]).exp_()


def nearest_means(X: Tensor, n_features: int, items: Tensor, others: Tensor, used: int) -> Tensor:
    """(len(items),) float32: mean distance of X[items] to the `used` nearest of X[others], themselves left out.

    Args:
        X: (items, features) float32, one pool.
        n_features: features beyond are zero.
        items: (m,) int64 positions.
        others: (n,) int64 positions, more than `used`.
        used: how many neighbours, at least 1.
    """
    column = torch.full((len(X),), -1, device=X.device)
    column[others] = torch.arange(len(others), device=X.device)
    size = torch.full((1,), used, device=X.device)
    means = []
    for part in torch.split(items, max(1, _CHUNK // len(others))):
        d2 = squared_distances(X[None, part], X[None, others])
        own = column[part]
        d2[0, own >= 0, own[own >= 0]] = torch.inf
        means.append(_mean_of_nearest(d2, size, used)[0])
    return torch.cat(means)


def _new_labels(rows: Tensor, order: Tensor, count: Tensor, done: Tensor) -> list[Tensor]:
    """Columns of (tasks,) int64 positions labelled since `done`, -1 for none."""
    slot = done[rows][:, None] + torch.arange(int((count[rows] - done[rows]).max()), device=rows.device)[None, :]
    items = order[rows].gather(1, slot.clamp(max=order.shape[1] - 1))
    return list(items.masked_fill(slot >= count[rows][:, None], -1).T)


def update_nearest(
    X: Tensor,
    rows: Tensor,
    n_items: Tensor,
    n_features: Tensor,
    order: Tensor,
    count: Tensor,
    done: Tensor,
    near: Tensor,
) -> None:
    """Bring squared distances to the nearest labelled item up to date.

    Args:
        X: (rows, items, features) float32 storage.
        rows: (tasks,) int64.
        n_items: (rows,) int64.
        n_features: (rows,) int64; features beyond are zero.
        order: (rows, labels) int64, positions in the order they were labelled.
        count: (rows,) int64 labels.
        done: (rows,) int64, labels that `near` knows; set to `count`.
        near: (rows, items) float32, inf without labels, 0 on padding.
    """
    best = torch.where(done[rows][:, None] == 0, torch.inf, near[rows])
    pool = X[rows]
    task = torch.arange(len(rows), device=X.device)
    for item in _new_labels(rows, order, count, done):
        d2 = (pool - pool[task, item.clamp(min=0)][:, None, :]).square().sum(-1)
        best = torch.where((item >= 0)[:, None], torch.minimum(best, d2), best)
    near[rows] = best.masked_fill(padding(X.shape[1], n_items[rows]), 0.0)
    done[rows] = count[rows]


def update_coverage(
    K: Tensor, rows: Tensor, n_items: Tensor, order: Tensor, count: Tensor, done: Tensor, covered: Tensor
) -> None:
    """Bring the largest kernel value to a labelled item up to date.

    Args:
        K: (rows, items, items) float32 storage.
        rows: (tasks,) int64.
        n_items: (rows,) int64.
        order: (rows, labels) int64, positions in the order they were labelled.
        count: (rows,) int64 labels.
        done: (rows,) int64, labels that `covered` knows; set to `count`.
        covered: (rows, items) float32, 0 without labels and on padding.
    """
    best = torch.where(done[rows][:, None] == 0, 0.0, covered[rows])
    for item in _new_labels(rows, order, count, done):
        best = torch.where((item >= 0)[:, None], torch.maximum(best, K[rows, item.clamp(min=0)]), best)
    covered[rows] = best
    done[rows] = count[rows]
