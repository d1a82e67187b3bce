"""Numba twins of the distances, kernels and coverage of `al_gym.pool`.

Each function loops over tasks with their true sizes, on block storage and row numbers, without copies of
the rows. A task's results do not depend on the tasks beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.kernels.distance import ROWS, copy_item, tile_distances
from al_gym.kernels.elementwise import exp
from al_gym.kernels.neighbours import nearest_mean, pool_means
from al_gym.kernels.product import BLOCK, unowned
from al_gym.kernels.stamp import njit
from al_gym.pool.tiles import TILE

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_CONTRACT = {"contract", "nsz"}
_REDUCE = {"contract", "nsz", "reassoc"}
_LOWEST = np.float32(-87.0)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_CONTRACT)
def gaussian(d2: Floats, scale: np.float32, out: Floats) -> None:
    """Fill `out` with exp(d2 * scale), scale negative; 0 below exp(-87)."""
    for j in range(len(out)):
        x = d2[j] * scale
        out[j] = exp(x) if x >= _LOWEST else np.float32(0)


@njit(cache=True, nogil=True)
def tiles_of(X: Floats, items: Ints, d: int) -> Floats:
    """(tiles, d, TILE) from X[items, :d]; what is beyond the items is zero."""
    out = np.zeros(((len(items) + TILE - 1) // TILE, d, TILE), np.float32)
    for j in range(len(items)):
        row, tile, at = X[items[j]], out[j // TILE], j % TILE
        for t in range(d):
            tile[t, at] = row[t]
    return out


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def squared_distance(x: Floats, z: Floats, width: int) -> np.float32:
    """Squared distance of two items."""
    total = np.float32(0)
    for t in range(width):
        e = x[t] - z[t]
        total += e * e
    return total


@njit(cache=True, nogil=True)
def _lower(d2: Floats, near: Floats) -> None:
    """Lower `near` to d2 where that is less."""
    for j in range(len(near)):
        near[j] = d2[j] if d2[j] < near[j] else near[j]


@njit(cache=True, nogil=True)
def pair_distances(tiles: Floats, n: int, d: int, z: Floats, D: Floats) -> None:
    """Squared distances among the first n items into D[:n, :n]: half of them, then mirrored; inf beyond.

    z is (ROWS, d or more) scratch; D has whole tiles of columns.
    """
    for first in range(0, n, ROWS):
        k = min(ROWS, n - first)
        for r in range(k):
            copy_item(tiles, first + r, z[r, :d])
        for t in range(first // TILE, (n + TILE - 1) // TILE):
            tile_distances(k, d, z, tiles, t, D, first * D.shape[1] + t * TILE)
    for top in range(0, n, BLOCK):
        for left in range(0, top, BLOCK):
            for i in range(top, min(top + BLOCK, n)):
                for j in range(left, left + BLOCK):
                    D[i, j] = D[j, i]
    for i in range(n):
        for j in range(n, D.shape[1]):
            D[i, j] = np.inf


@njit(cache=True, nogil=True)
def _scratch(n: int, d: int) -> tuple[Floats, Floats]:
    """For `pair_distances`: z and D."""
    whole = (n + TILE - 1) // TILE * TILE
    return np.empty((ROWS, d), np.float32), np.empty((n, whole), np.float32)


@njit(cache=True, nogil=True)
def _nearest_means(X: Floats, d: int, items: Ints, others: Ints, used: int) -> Floats:
    mean, size, guess = np.empty(len(items), np.float32), len(others), np.float32(1)
    tiles, z = tiles_of(X, others, d), np.empty((ROWS, d), np.float32)
    d2, place = np.empty((ROWS, len(tiles) * TILE), np.float32), np.full(len(X), -1, np.int64)
    for j in range(size):
        place[others[j]] = j
    for first in range(0, len(items), ROWS):
        k = min(ROWS, len(items) - first)
        for r in range(k):
            z[r] = X[items[first + r], :d]
        for t in range(len(tiles)):
            tile_distances(k, d, z, tiles, t, d2, t * TILE)
        for r in range(k):
            d2[r, size:] = np.inf
            if place[items[first + r]] >= 0:
                d2[r, place[items[first + r]]] = np.inf
            value, guess = nearest_mean(d2[r], used, guess)
            mean[first + r] = value
    return mean


@njit(cache=True, nogil=True)
def _neighbour_means(tiles: Floats, rows: Ints, n_items: Ints, n_features: Ints, mean: Floats, h: Floats) -> None:
    z, D = _scratch(mean.shape[1], tiles.shape[2])
    for row in rows:
        pair_distances(tiles[row], n_items[row], n_features[row], z, D)
        h[row] = pool_means(D, n_items[row], mean[row])
        mean[row, n_items[row] :] = 0


def neighbour_means(tiles: Tensor, rows: Tensor, n_items: Tensor, n_features: Tensor, mean: Tensor, h: Tensor) -> None:
    """As in `al_gym.pool.distances`, with features in tiles: (rows, tiles, features, TILE)."""
    _neighbour_means(*_arrays(tiles, rows, n_items, n_features, mean, h))


@njit(cache=True, nogil=True)
def _kernel_matrices(
    tiles: Floats, rows: Ints, n_items: Ints, n_features: Ints, known: Bools, mean: Floats, h: Floats, K: Floats
) -> None:
    z, D = _scratch(K.shape[2], tiles.shape[2])
    for row in rows:
        n = n_items[row]
        pair_distances(tiles[row], n, n_features[row], z, D)
        if not known[row]:
            h[row] = pool_means(D, n, mean[row])
            mean[row, n:] = 0
        scale = np.float32(-0.5) / (h[row] * h[row])
        for item in range(n):
            gaussian(D[item], scale, K[row, item, :n])
            K[row, item, n:] = 0
        K[row, n:] = 0


def kernel_matrices(
    tiles: Tensor, rows: Tensor, n_items: Tensor, n_features: Tensor, known: Tensor, mean: Tensor, h: Tensor, K: Tensor
) -> None:
    """As in `al_gym.pool.distances`, with features in tiles: (rows, tiles, features, TILE)."""
    _kernel_matrices(*_arrays(tiles, rows, n_items, n_features, known, mean, h, K))


@njit(cache=True, nogil=True)
def _kernel_between(X: Floats, rows: Ints, n_features: Ints, items: Ints, targets: Ints, h: Floats, K: Floats) -> None:
    m, size = items.shape[1], targets.shape[1]
    z, d2 = np.empty((ROWS, X.shape[2]), np.float32), np.empty((ROWS, size + TILE), np.float32)
    for task in range(len(rows)):
        features, d = X[rows[task]], n_features[task]
        tiles = tiles_of(features, targets[task], d)
        scale = np.float32(-0.5) / (h[task] * h[task])
        for first in range(0, m, ROWS):
            k = min(ROWS, m - first)
            for r in range(k):
                if items[task, first + r] >= 0:
                    z[r] = features[items[task, first + r]]
                else:
                    z[r] = 0
            for t in range(len(tiles)):
                tile_distances(k, d, z, tiles, t, d2, t * TILE)
            for r in range(k):
                gaussian(d2[r], scale, K[task, first + r])


def kernel_between(
    X: Tensor, rows: Tensor, n_features: Tensor, items: Tensor, targets: Tensor, h: Tensor, K: Tensor
) -> None:
    """As in `al_gym.pool.distances`."""
    _kernel_between(*_arrays(X, rows, n_features, items, targets, h, K))


def nearest_means(X: Tensor, n_features: int, items: Tensor, others: Tensor, used: int) -> Tensor:
    """As in `al_gym.pool.distances`."""
    return torch.from_numpy(_nearest_means(X.numpy(), n_features, items.numpy(), others.numpy(), used))


@njit(cache=True, nogil=True)
def _update_nearest(
    tiles: Floats, rows: Ints, n_items: Ints, n_features: Ints, order: Ints, count: Ints, done: Ints, near: Floats
) -> None:
    most, d2 = 0, np.empty((ROWS, TILE), np.float32)
    for row in rows:
        most = max(most, count[row] - done[row])
    z = np.empty(((most + ROWS - 1) // ROWS, ROWS, tiles.shape[2]), np.float32)
    for row in rows:
        n, d, first, new = n_items[row], n_features[row], done[row], count[row] - done[row]
        if first == 0:
            near[row, :n] = np.inf
            near[row, n:] = 0
        for at in range(new):
            copy_item(tiles[row], order[row, first + at], z[at // ROWS, at % ROWS, :d])
        for start in range(0, n, TILE):  # all labels to one tile before the next: the pool is read once
            here = unowned(near)[row, start : min(start + TILE, n)]
            for at in range(0, new, ROWS):
                k = min(ROWS, new - at)
                tile_distances(k, d, unowned(z)[at // ROWS], unowned(tiles)[row], start // TILE, d2, 0)
                for r in range(k):
                    _lower(unowned(d2)[r], here)
        done[row] = count[row]


def update_nearest(
    tiles: Tensor,
    rows: Tensor,
    n_items: Tensor,
    n_features: Tensor,
    order: Tensor,
    count: Tensor,
    done: Tensor,
    near: Tensor,
) -> None:
    """As in `al_gym.pool.distances`, with features in tiles: (rows, tiles, features, TILE)."""
    _update_nearest(*_arrays(tiles, rows, n_items, n_features, order, count, done, near))


@njit(cache=True, nogil=True)
def _update_coverage(
    K: Floats, rows: Ints, n_items: Ints, order: Ints, count: Ints, done: Ints, covered: Floats
) -> None:
    for row in rows:
        if done[row] == 0:
            covered[row] = 0
        for slot in range(done[row], count[row]):
            k = K[row, order[row, slot]]
            for item in range(n_items[row]):
                covered[row, item] = max(covered[row, item], k[item])
        done[row] = count[row]


def update_coverage(
    K: Tensor, rows: Tensor, n_items: Tensor, order: Tensor, count: Tensor, done: Tensor, covered: Tensor
) -> None:
    """As in `al_gym.pool.distances`."""
    _update_coverage(*_arrays(K, rows, n_items, order, count, done, covered))


def _arrays(*tensors: Tensor) -> list[NDArray[Any]]:
    """The memory of CPU tensors, shared, as arrays."""
    return [tensor.numpy() for tensor in tensors]
