"""Numba twins of the greedy selections: k-center, k-means++ on gradients (BADGE), kernel herding.

Each function loops over tasks with their true sizes, on block storage and row numbers, without copies of
the rows. A task's picks do not depend on the tasks beside it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from al_gym.kernels.distance import copy_item, tile_distances, tile_products
from al_gym.kernels.geometry import squared_distance
from al_gym.kernels.product import unowned
from al_gym.kernels.select import uniform
from al_gym.kernels.stamp import njit
from al_gym.pool.tiles import TILE

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Keys = NDArray[np.uint64]

_REDUCE = {"contract", "nsz", "reassoc"}


@njit(cache=True, nogil=True)
def _first_best(score: Floats, items: Ints, size: int, key: np.uint64) -> int:
    """Position in items[:size] of the highest score, equal ones by their keyed noise."""
    best = 0
    for at in range(1, size):
        value, top = score[items[at]], score[items[best]]
        if value > top or (value == top and uniform(key, items[at], 0) > uniform(key, items[best], 0)):
            best = at
    return best


@njit(cache=True, nogil=True, fastmath={"nsz", "reassoc", "nnan"})
def _approach(d2: Floats, near: Floats) -> np.float32:
    """Lower `near` to d2 where that is less (-1, for no candidate, stays); returns the largest that is left."""
    top = np.float32(-1)
    for j in range(len(near)):
        near[j] = d2[j] if d2[j] < near[j] else near[j]
        top = max(top, near[j])
    return top


@njit(cache=True, nogil=True)
def _farthest(near: Floats, tops: Floats, key: np.uint64) -> int:
    """The item of the largest `near`, equal ones by their keyed noise; `tops` are the largest of each tile."""
    top = tops.max()
    best = -1
    for t in range(len(tops)):
        if tops[t] == top:
            for item in range(t * TILE, min((t + 1) * TILE, len(near))):
                if near[item] == top and (best < 0 or uniform(key, item, 0) > uniform(key, best, 0)):
                    best = item
    return best


@njit(cache=True, nogil=True)
def _spread_over_pool(
    tiles: Floats, d: int, near: Floats, k: int, key: np.uint64, first: int, z: Floats, d2: Floats, out: Ints
) -> None:
    """K-center picks into out[:k] where `near` (n,) is -1 for items that are no candidates; near is overwritten."""
    tops = np.empty((len(near) + TILE - 1) // TILE, np.float32)
    left, d2_row = unowned(near), unowned(d2)[0]
    d2_row[:] = np.inf
    for t in range(len(tops)):
        tops[t] = _approach(d2_row, left[t * TILE : (t + 1) * TILE])
    for pick in range(k):
        item = first if pick == 0 and first >= 0 else _farthest(near, tops, key)
        out[pick] = item
        near[item] = -1
        if pick + 1 < k:
            copy_item(tiles, item, z[0, :d])
            for t in range(len(tops)):
                tile_distances(1, d, z, tiles, t, d2, 0)
                tops[t] = _approach(d2_row, left[t * TILE : (t + 1) * TILE])


@njit(cache=True, nogil=True)
def _start(nearest: Floats, allowed: Bools, near: Floats) -> int:
    """Fill `near` with the distances of the candidates, -1 for other items; returns how many candidates there are."""
    size = np.int32(0)
    for item in range(len(nearest)):
        near[item] = nearest[item] if allowed[item] else np.float32(-1)
        size += np.int32(allowed[item])
    return int(size)


@njit(cache=True, nogil=True)
def k_center(
    X: Floats, tiles: Floats, rows: Ints, n_items: Ints, n_features: Ints, nearest: Floats, allowed: Bools, k: Ints,
    keys: Keys, first: Ints, out: Ints,
) -> None:  # fmt: skip
    """See `al_gym.strategies.greedy.k_center_greedy`.

    `first` below 0 asks for the farthest item. `tiles` holds the features of X in tiles: with it the distances to a
    whole pool are faster; for a few candidates X is.
    """
    items, near = np.empty(X.shape[1], np.int64), np.empty(X.shape[1], np.float32)
    z, d2 = np.empty((1, X.shape[2]), np.float32), np.empty((1, TILE), np.float32)
    for task in range(len(rows)):
        row = rows[task]
        n, d = n_items[row], n_features[row]
        if 8 * _start(nearest[task, :n], allowed[task, :n], near) > n:
            _spread_over_pool(tiles[row], d, near[:n], k[task], keys[task], first[task], z, d2, out[task])
            continue
        size, at = 0, 0
        for item in range(n):
            if allowed[task, item]:
                if item == first[task]:
                    at = size
                items[size] = item
                size += 1
        for pick in range(k[task]):
            if pick > 0 or first[task] < 0:
                at = _first_best(near, items, size, keys[task])
            item = items[at]
            out[task, pick] = item
            size -= 1
            items[at] = items[size]
            if pick + 1 < k[task]:
                for other in items[:size]:
                    near[other] = min(near[other], squared_distance(X[row, other], X[row, item], d))


@njit(cache=True, nogil=True)
def _squares(tiles: Floats, d: int, out: Floats) -> None:
    """Fill `out` (n,) with the squared norms of items in tiles."""
    for t in range((len(out) + TILE - 1) // TILE):
        part = out[t * TILE : (t + 1) * TILE]
        for j in range(len(part)):
            part[j] = 0
        for f in range(d):
            row = tiles[t, f]
            for j in range(len(part)):
                part[j] += row[j] * row[j]


@njit(cache=True, nogil=True)
def _gradients(proba: Floats, predicted: Ints, n: int, gap: Floats) -> None:
    """Write p - e of the predicted class into gap (tiles, classes, TILE); zero beyond the n items."""
    for t in range(len(gap)):
        start, size = t * TILE, min(TILE, n - t * TILE)
        for c in range(gap.shape[1]):
            for j in range(size):
                gap[t, c, j] = proba[c, start + j]
            for j in range(size, TILE):
                gap[t, c, j] = 0
        for j in range(size):
            gap[t, predicted[start + j], j] -= np.float32(1)


@njit(cache=True, nogil=True, fastmath=_REDUCE | {"nnan"})
def _approach_gradient(a: Floats, b: Floats, norm: Doubles, own: float, nearest: Doubles) -> float:
    """Lower `nearest` to squared gradient distances to a center; returns the sum.

    a and b are the products of the two factors of the gradients with those of the center, `own` its squared norm. Items
    that are no candidates have the weight 0, and keep it.
    """
    total = 0.0
    for j in range(len(nearest)):
        distance = norm[j] + own - 2.0 * (np.float64(a[j]) * np.float64(b[j]))
        distance = distance if distance > 0 else 0.0
        distance = distance if distance < nearest[j] else nearest[j]
        nearest[j] = distance
        total += distance
    return total


@njit(cache=True, nogil=True)
def _sample(weight: Doubles, sums: Doubles, free: Bools, draw: float) -> int:
    """A free item with probability proportional to its weight, in their order; uniform if all weights are 0.

    `weight` (n,) is 0 for items that are not free; `sums` holds that of each tile.
    """
    total = sums.sum()
    if total <= 0:
        size = free.sum()
        before = min(size - 1, int(draw * size))
        for item in range(len(free)):
            before -= free[item]
            if before < 0:
                return item
    goal, reached, last = draw * total, 0.0, -1
    for t in range(len(sums)):
        if last >= 0 and reached + sums[t] <= goal:  # before a first positive weight there is nothing to fall back on
            reached += sums[t]
            continue
        for item in range(t * TILE, min((t + 1) * TILE, len(weight))):
            if weight[item] > 0:
                reached += weight[item]
                last = item
                if reached > goal:
                    return last
    return last


@njit(cache=True, nogil=True)
def _largest(score: Doubles, free: Bools, key: np.uint64) -> int:
    """The free item of the highest score, equal ones by their keyed noise."""
    best, top = -1, -np.inf
    for item in range(len(score)):
        value = score[item] if free[item] else -np.inf
        if value > top or (value == top and best >= 0 and uniform(key, item, 0) > uniform(key, best, 0)):
            best, top = item, value
    return best


@njit(cache=True, nogil=True)
def badge(
    proba: Floats, predicted: Ints, rows: Ints, n_items: Ints, n_classes: Ints, phi: Floats, phi_rows: Ints,
    width: Ints, allowed: Bools, k: Ints, keys: Keys, out: Ints,
) -> None:  # fmt: skip
    """See `al_gym.strategies.badge.k_means_seeding`; phi[phi_rows[task], :, :width[task]] is in tiles."""
    a, b = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for task in range(len(rows)):
        row, features, d = rows[task], phi[phi_rows[task]], width[task]
        n, classes = n_items[row], n_classes[row]
        n_tiles = (n + TILE - 1) // TILE
        gap, sums = np.empty((n_tiles, classes, TILE), np.float32), np.empty(n_tiles)
        own_gap, own = np.empty(classes, np.float32), np.empty(d, np.float32)
        of_gap, of_features = np.empty(n, np.float32), np.empty(n, np.float32)
        norm, nearest, free = np.empty(n), np.empty(n), allowed[task, :n].copy()
        _gradients(proba[row], predicted[row], n, gap)
        _squares(gap, classes, of_gap)
        _squares(features, d, of_features)
        for item in range(n):
            norm[item] = np.float64(of_gap[item]) * np.float64(of_features[item])
            nearest[item] = np.inf if free[item] else 0.0
        norms, weights = unowned(norm), unowned(nearest)
        item = _largest(norm, free, keys[task])
        for pick in range(k[task]):
            if pick > 0:
                item = _sample(nearest, sums, free, uniform(keys[task], 0, pick))
            out[task, pick] = item
            free[item] = False
            nearest[item] = 0.0
            if pick + 1 == k[task]:
                break
            copy_item(gap, item, own_gap)
            copy_item(features, item, own)
            for t in range(n_tiles):
                tile_products(classes, own_gap, gap, t, a)
                tile_products(d, own, features, t, b)
                here, there = norms[t * TILE : (t + 1) * TILE], weights[t * TILE : (t + 1) * TILE]
                sums[t] = _approach_gradient(a, b, here, norm[item], there)
