"""Euclidean distances and neighbour means, batched over tasks."""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOURS = 20
_CHUNK = 1 << 24  # distances held at once


def squared_distances(A: Tensor, B: Tensor) -> Tensor:
    """(tasks, m, n) float32 from (tasks, m, features) and (tasks, n, features).

    Differences are formed first: |a|^2 + |b|^2 - 2ab would lose the distances of near-duplicates and of
    features with a large offset, and would not give equal items the distance 0.
    """
    return torch.cdist(A, B, compute_mode="donot_use_mm_for_euclid_dist").square_()


def neighbour_mean(d2: Tensor, used: Tensor, most: int = NEIGHBOURS) -> Tensor:
    """Mean distance to the nearest columns.

    Args:
        d2: (tasks, m, n) squared distances, inf where a column is not a neighbour.
        used: (tasks,) int64, how many of the nearest count, at most `most` and n.
        most: how many nearest columns to look at.

    Returns:
        (tasks, m) float32; 0 if `used` is 0.
    """
    most = min(most, d2.shape[2])
    near = d2.topk(most, dim=2, largest=False).values.sqrt_()
    unused = torch.arange(most, device=used.device)[None, :] >= used[:, None]
    return near.masked_fill_(unused[:, None, :], 0.0).sum(-1) / used.clamp(min=1)[:, None]


def pool_neighbour_mean(X: Tensor, n_items: Tensor) -> Tensor:
    """(tasks, items) float32: mean distance to the 20 nearest other items of each pool; 0 on padding.

    Args:
        X: (tasks, items, features) float32.
        n_items: (tasks,) int64 true sizes.
    """
    padding = torch.arange(X.shape[1], device=X.device)[None, :] >= n_items[:, None]
    d2 = squared_distances(X, X).masked_fill_(padding[:, None, :], torch.inf)
    d2.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return neighbour_mean(d2, (n_items - 1).clamp(max=NEIGHBOURS)).masked_fill_(padding, 0.0)


def sampled_bandwidth(X: Tensor, n_items: int, sample: Tensor) -> Tensor:
    """() float32: mean over the sampled items of the mean distance to their 20 nearest others in the whole pool.

    Args:
        X: (items, features) float32.
        n_items: true size of the pool.
        sample: (m,) int64 positions.
    """
    total = torch.zeros((), dtype=torch.float64, device=X.device)
    used = torch.full((1,), min(NEIGHBOURS, n_items - 1), device=X.device)
    for part in torch.split(sample, max(1, _CHUNK // n_items)):
        d2 = squared_distances(X[None, part], X[None, :n_items])
        d2[0, torch.arange(len(part), device=X.device), part] = torch.inf
        total += neighbour_mean(d2, used).sum(dtype=torch.float64)
    return (total / len(sample)).float()


def sampled_neighbour_mean(X: Tensor, n_items: int, sample: Tensor) -> Tensor:
    """(items,) float32: mean distance to the nearest sampled items, as many as keep the share 20 / n_items.

    Args:
        X: (items, features) float32.
        n_items: true size of the pool.
        sample: (m,) int64 positions.
    """
    mean = X.new_zeros(len(X))
    most = max(1, round(NEIGHBOURS * len(sample) / n_items))
    used = torch.full((1,), most, device=X.device)
    column = torch.full((n_items,), -1, device=X.device)
    column[sample] = torch.arange(len(sample), device=X.device)
    for part in torch.split(torch.arange(n_items, device=X.device), max(1, _CHUNK // len(sample))):
        d2 = squared_distances(X[None, part], X[None, sample])[0]
        own = column[part]
        d2[own >= 0, own[own >= 0]] = torch.inf
        mean[part] = neighbour_mean(d2[None], used, most)[0]
    return mean
