"""Greedy kernel coverage, with weights or without, on pools of any size."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from al_gym.pool import distances
from al_gym.pool.geometry import EXACT_ITEMS
from al_gym.pool.view import PoolView
from al_gym.strategies.base import argmax_with_ties, as_arrays, compiled, mask_after, no_picks, tie_noise, top_k
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
    items = every_candidate(view) if candidates is None else candidates
    fast = compiled(k.device, "herding")
    if fast is not None and spec is None and view.geometry.exact:
        return _herd_cached(fast, view, k, stream, items, weight)
    picked = no_picks(k)
    for part in torch.arange(len(view), device=k.device).split(_TASKS):
        sub, chosen, keyed = view.take(part), items[part], stream.take(part.cpu().numpy())
        targets = None if view.geometry.exact else view.geometry.random_items(sub.rows, EXACT_ITEMS)
        kernel, covered = kernel_and_coverage(sub, chosen, targets, None if spec is None else spec.take(part))
        weights = weight if weight is None else weight[part]
        if weights is not None and targets is not None:
            weights = weights.gather(1, targets)
        if fast is not None:
            size = sub.n_items if targets is None else torch.full_like(part, EXACT_ITEMS)
            column = torch.arange(chosen.shape[1]).expand_as(chosen).masked_fill(chosen < 0, -1)
            place = (torch.arange(len(part)), column)
            best = _herd_compiled(fast, kernel, place, chosen, size, covered, weights, unknown(chosen), k[part], keyed)
        else:
            noise = tie_noise(keyed, view.valid.shape[1], k.device).gather(1, chosen.clamp(min=0))
            best = herd(kernel, weights, covered, chosen >= 0, k[part], noise)
            best = chosen.gather(1, best.clamp(min=0)).masked_fill(best < 0, -1)
        picked[part, : best.shape[1]] = best
    return picked


def herd_sample(view: PoolView, k: Tensor, stream: Stream) -> Tensor:
    """Greedy coverage within the random sample that stands for a pool too large for a matrix of pairs.

    Both the candidates and the items to cover are the sample's, which stays the same for the whole campaign. Where
    fewer than k of its items are unlabelled, the candidates are `random_candidates`, as in the strategies with weights.

    Args, returns: as for `herd_pool`.
    """
    items = view.geometry.sample.items(view.rows)
    items = items.masked_fill(~view.candidates.gather(1, items), -1)
    enough = (items >= 0).sum(1) >= k
    picked = no_picks(k)
    for inside, tasks in ((True, enough.nonzero()[:, 0]), (False, (~enough).nonzero()[:, 0])):
        if not len(tasks):
            continue
        part, sizes, keyed = view.take(tasks), k[tasks], stream.take(tasks.cpu().numpy())
        if inside:
            best = _herd_inside(part, sizes, keyed, items[tasks])
        else:
            best = herd_pool(part, sizes, keyed, random_candidates(part, sizes, keyed))
        picked[tasks, : best.shape[1]] = best
    return picked


def _herd_inside(view: PoolView, k: Tensor, stream: Stream, items: Tensor) -> Tensor:
    """`herd_sample` where the sample suffices; items: (tasks, sample) int64, -1 where no candidate."""
    sample, rows = view.geometry.sample, view.rows
    kernel, covered = sample.ensure(rows), sample.coverage(rows)
    fast = compiled(k.device, "herding")
    if fast is None:
        noise = tie_noise(stream, view.valid.shape[1], k.device).gather(1, items.clamp(min=0))
        best = herd(kernel[rows], None, covered, items >= 0, k, noise)
        return items.gather(1, best.clamp(min=0)).masked_fill(best < 0, -1)
    columns = torch.arange(items.shape[1]).expand_as(items).masked_fill(items < 0, -1)
    size, bounds = view.n_items.clamp(max=items.shape[1]), sample.gain_bounds(rows)
    out = _herd_compiled(fast, kernel, (rows, columns), items, size, covered, None, bounds, k, stream)
    sample.keep_gain_bounds(rows, bounds)
    return out


def every_candidate(view: PoolView) -> Tensor:
    """(tasks, items) int64: the position where an item is a candidate, else -1."""
    positions = torch.arange(view.candidates.shape[1], device=view.rows.device)
    return positions[None, :].masked_fill(~view.candidates, -1)


def unknown(items: Tensor) -> Tensor:
    """Bounds of gains of which nothing is known: float64 inf in the shape of `items`."""
    return torch.full(items.shape, torch.inf, dtype=torch.float64)


def kernel_and_coverage(
    view: PoolView, items: Tensor, targets: Tensor | None, spec: KernelSpec | None
) -> tuple[Tensor, Tensor]:
    """Kernel values from `items` to `targets` (all items if None) and the targets' coverage.

    Returns:
        (tasks, items, targets) float32, undefined where `items` is -1, and (tasks, targets) float32, 0 on padding.
    """
    geometry, arrays = view.geometry, view.arrays
    if spec is None and geometry.exact:
        return geometry.ensure_kernel(view.rows)[view.rows[:, None], items.clamp(min=0)], geometry.coverage(view.rows)
    if spec is None:
        features, rows, h, nearest = arrays.X, view.rows, view.bandwidth(), view.squared_distance_to_labelled()
    else:
        features, rows, h, nearest = (
            spec.features,
            torch.arange(len(view), device=view.rows.device),
            spec.h,
            spec.nearest,
        )
    if targets is None:
        targets = torch.arange(view.valid.shape[1], device=rows.device).repeat(len(rows), 1)
    backend = compiled(rows.device, "geometry") or distances
    kernel = features.new_empty(*items.shape, targets.shape[1])
    backend.kernel_between(features, rows, view.n_features, items, targets, h, kernel)
    covered = (nearest * (-0.5 / h.square())[:, None]).exp().gather(1, targets)
    outside = ~view.valid.gather(1, targets)
    return kernel.masked_fill_(outside[:, None, :], 0.0), covered.masked_fill_(outside, 0.0)


def _herd_cached(
    fast: ModuleType, view: PoolView, k: Tensor, stream: Stream, items: Tensor, weight: Tensor | None
) -> Tensor:
    """With the pools' own kernels, read in place; bounds of plain coverage gains are kept from round to round."""
    geometry, rows = view.geometry, view.rows
    kernel, covered = geometry.ensure_kernel(rows), geometry.coverage(rows)
    lasting = weight is None and items.shape[1] == view.valid.shape[1]
    bounds = geometry.gain_bounds(rows) if lasting else unknown(items)
    out = _herd_compiled(fast, kernel, (rows, items), items, view.n_items, covered, weight, bounds, k, stream)
    if lasting:
        geometry.keep_gain_bounds(rows, bounds)
    return out


def _herd_compiled(
    fast: ModuleType,
    kernel: Tensor,
    place: tuple[Tensor, Tensor],
    items: Tensor,
    size: Tensor,
    covered: Tensor,
    weight: Tensor | None,
    bounds: Tensor,
    k: Tensor,
    stream: Stream,
) -> Tensor:
    """Numba's herding on kernel[place[0][task], place[1][task, c]]; see `al_gym.kernels.herding.herd`."""
    out = no_picks(k)
    weights = kernel.new_zeros(0, 0) if weight is None else weight
    fast.herd(*as_arrays(kernel, *place, items, size, covered, weights, bounds, k), stream.keys, out.numpy())
    return out


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
