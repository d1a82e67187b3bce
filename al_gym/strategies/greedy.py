"""K-center greedy, shared by several strategies."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import argmax_with_ties, as_arrays, compiled, mask_after, no_picks, tie_noise
from al_gym.streams import Stream


def k_center_greedy(view: PoolView, allowed: Tensor, k: Tensor, stream: Stream, first: Tensor | None = None) -> Tensor:
    """Repeatedly the allowed item farthest from everything labelled or picked.

    Args:
        view: the campaigns.
        allowed: (tasks, items) bool, at least `k` a task.
        k: (tasks,) int64, batch sizes.
        stream: breaks ties.
        first: (tasks,) int64, the first pick; by distance if None.

    Returns:
        (tasks, max(k)) int64, -1 after the first `k`.
    """
    fast = compiled(k.device, "greedy")
    if fast is not None:
        start = torch.full_like(k, -1) if first is None else first
        return _compiled(fast, view, allowed, k, stream, start)
    nearest = view.squared_distance_to_labelled()
    allowed = allowed.clone()
    noise = tie_noise(stream, allowed.shape[1], allowed.device)
    task = torch.arange(len(view), device=allowed.device)
    item = argmax_with_ties(nearest, allowed, noise) if first is None else first
    picked = [item]
    for _ in range(1, int(k.max())):
        allowed[task, item] = False
        distance = (view.X - view.X[task, item][:, None, :]).square().sum(-1)
        nearest = torch.minimum(nearest, distance)
        item = argmax_with_ties(nearest, allowed, noise)
        picked.append(item)
    return mask_after(torch.stack(picked, 1), k)


def _compiled(fast: ModuleType, view: PoolView, allowed: Tensor, k: Tensor, stream: Stream, first: Tensor) -> Tensor:
    """The same on the CPU, by numba."""
    a, out = view.arrays, no_picks(k)
    nearest, tiles = view.squared_distance_to_labelled(), view.geometry.tiles(view.rows)
    pool = as_arrays(a.X, tiles, view.rows, a.n_items, a.n_features)
    fast.k_center(*pool, *as_arrays(nearest, allowed, k), stream.keys, *as_arrays(first, out))
    return out
