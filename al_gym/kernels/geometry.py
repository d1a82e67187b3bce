"""Numba twins of the distances, kernels and coverage of `al_gym.pool`.

Each function loops over tasks with their true sizes, on block storage and row numbers, without copies of
the rows. A task's results do not depend on the tasks beside it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from al_gym.pool.distances import NEIGHBOURS

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_CONTRACT = {"contract", "nsz"}
_REDUCE = {"contract", "nsz", "reassoc"}
_LOG2E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOWEST = np.float32(-87.0)
_LANES = 64
_HALF, _ONE = np.float32(0.5), np.float32(1.0)
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4, _P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)


@njit(cache=True, nogil=True, fastmath=_CONTRACT)
def gaussian(d2: Floats, scale: np.float32, bits: NDArray[np.int32]) -> None:
    """exp(d2 * scale) in place, scale negative; the Cephes polynomial for float32, 0 below exp(-87).

    `bits` is (n,) int32 scratch: numba's own exp is a call per element, this one is vectorised.
    """
    power = bits.view(np.float32)
    for j in range(len(d2)):
        x = d2[j] * scale
        low = x < _LOWEST
        x = _LOWEST if low else x
        n = np.floor(x * _LOG2E + _HALF)
        r = x - n * _LN2_HIGH - n * _LN2_LOW
        p = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5
        bits[j] = np.int32(0) if low else (np.int32(n) + np.int32(127)) << np.int32(23)
        d2[j] = p * r * r + r + _ONE
    for j in range(len(d2)):
        d2[j] *= power[j]


@njit(cache=True, nogil=True)
def width_of(features: int, padded: int) -> int:
    """Features to loop over: the true number rounded up to whole vectors; what is beyond is zero."""
    return min(padded, (features + 7) // 8 * 8)


@njit(cache=True, nogil=True)
def transposed(X: Floats, items: Ints, width: int) -> Floats:
    """(width, len(items)) from X[items, :width]."""
    out = np.empty((width, len(items)), np.float32)
    for j in range(len(items)):
        row = X[items[j]]
        for t in range(width):
            out[t, j] = row[t]
    return out


@njit(cache=True, nogil=True, fastmath=_CONTRACT)
def cross_distances(x: Floats, ZT: Floats, start: int, out: Floats) -> None:
    """Squared distances of one item x to the columns of ZT (width, n) from `start`; width is a multiple of 4."""
    out[:] = 0
    for t in range(0, len(ZT), 4):
        x0, x1, x2, x3 = x[t], x[t + 1], x[t + 2], x[t + 3]
        z0, z1, z2, z3 = ZT[t, start:], ZT[t + 1, start:], ZT[t + 2, start:], ZT[t + 3, start:]
        for j in range(len(out)):
            e0, e1, e2, e3 = z0[j] - x0, z1[j] - x1, z2[j] - x2, z3[j] - x3
            out[j] += (e0 * e0 + e1 * e1) + (e2 * e2 + e3 * e3)


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def squared_distance(x: Floats, z: Floats, width: int) -> np.float32:
    """Squared distance of two items."""
    total = np.float32(0)
    for t in range(width):
        e = x[t] - z[t]
        total += e * e
    return total


@njit(cache=True, nogil=True)
def pair_distances(X: Floats, n: int, width: int, D: Floats) -> None:
    """Squared distances of the first n items of X into D[:n, :n]: half of them, then mirrored in tiles."""
    ZT = transposed(X, np.arange(n), width)
    for item in range(n):
        start = item // 16 * 16
        cross_distances(X[item], ZT, start, D[item, start:n])
    for top in range(0, n, 16):
        for left in range(0, top, 16):
            for i in range(top, min(top + 16, n)):
                for j in range(left, left + 16):
                    D[i, j] = D[j, i]


@njit(cache=True, nogil=True)
def _offer(near: Floats, value: Floats) -> None:
    """Put one value a lane into rising lists: near (size, lanes), value (lanes,), which is used up.

    Lanes side by side and no branch: several times faster than a sorted insert for each item.
    """
    for rank in range(len(near)):
        kept = near[rank]
        for lane in range(len(value)):
            old, new = kept[lane], value[lane]
            kept[lane] = old if old < new else new
            value[lane] = new if old < new else old


@njit(cache=True, nogil=True)
def _root_mean(near: Floats, lane: int) -> float:
    """Mean distance of one lane's list of squared distances."""
    total = 0.0
    for rank in range(len(near)):
        total += math.sqrt(near[rank, lane])
    return total / max(1, len(near))


@njit(cache=True, nogil=True)
def _pool_means(D: Floats, n: int, out: Floats) -> float:
    """Write the mean distance to the 20 nearest others into out[:n], from symmetric distances; returns h."""
    near, value = np.empty((min(NEIGHBOURS, n - 1), _LANES), np.float32), np.empty(_LANES, np.float32)
    total = 0.0
    for left in range(0, n, _LANES):
        width = min(_LANES, n - left)
        near[:] = np.inf
        for item in range(n):
            value[:width] = D[item, left : left + width]
            if left <= item < left + width:
                value[item - left] = np.inf
            _offer(near, value)
        for lane in range(width):
            out[left + lane] = _root_mean(near, lane)
            total += out[left + lane]
    return total / n if total > 0 else 1.0


@njit(cache=True, nogil=True)
def _nearest_means(X: Floats, width: int, items: Ints, others: Ints, used: int) -> Floats:
    """(len(items),) mean distance of X[items] to the `used` nearest of X[others], themselves left out."""
    near, value = np.empty((used, _LANES), np.float32), np.empty(_LANES, np.float32)
    mean = np.empty(len(items), np.float32)
    for left in range(0, len(items), _LANES):
        block = items[left : left + _LANES]
        BT = transposed(X, block, width)
        near[:] = np.inf
        for other in others:
            cross_distances(X[other], BT, 0, value[: len(block)])
            for lane in range(len(block)):
                value[lane] = np.float32(np.inf) if block[lane] == other else value[lane]
            _offer(near, value)
        for lane in range(len(block)):
            mean[left + lane] = _root_mean(near, lane)
    return mean


@njit(cache=True, nogil=True)
def _neighbour_means(X: Floats, rows: Ints, n_items: Ints, n_features: Ints, mean: Floats, h: Floats) -> None:
    D = np.empty((X.shape[1], X.shape[1]), np.float32)
    for row in rows:
        pair_distances(X[row], n_items[row], width_of(n_features[row], X.shape[2]), D)
        h[row] = _pool_means(D, n_items[row], mean[row])
        mean[row, n_items[row] :] = 0


def neighbour_means(X: Tensor, rows: Tensor, n_items: Tensor, n_features: Tensor, mean: Tensor, h: Tensor) -> None:
    """As in `al_gym.pool.distances`."""
    _neighbour_means(*_arrays(X, rows, n_items, n_features, mean, h))


@njit(cache=True, nogil=True)
def _kernel_matrices(
    X: Floats, rows: Ints, n_items: Ints, n_features: Ints, known: Bools, mean: Floats, h: Floats, K: Floats
) -> None:
    bits = np.empty(X.shape[1], np.int32)
    for row in rows:
        n = n_items[row]
        pair_distances(X[row], n, width_of(n_features[row], X.shape[2]), K[row])
        if not known[row]:
            h[row] = _pool_means(K[row], n, mean[row])
            mean[row, n:] = 0
        scale = np.float32(-0.5) / (h[row] * h[row])
        for item in range(n):
            gaussian(K[row, item, :n], scale, bits[:n])
            K[row, item, n:] = 0
        K[row, n:] = 0


def kernel_matrices(
    X: Tensor, rows: Tensor, n_items: Tensor, n_features: Tensor, known: Tensor, mean: Tensor, h: Tensor, K: Tensor
) -> None:
    """As in `al_gym.pool.distances`."""
    _kernel_matrices(*_arrays(X, rows, n_items, n_features, known, mean, h, K))


@njit(cache=True, nogil=True)
def _kernel_between(X: Floats, rows: Ints, n_features: Ints, items: Ints, targets: Ints, h: Floats, K: Floats) -> None:
    bits = np.empty(targets.shape[1], np.int32)
    for task in range(len(rows)):
        features = X[rows[task]]
        ZT = transposed(features, targets[task], width_of(n_features[task], X.shape[2]))
        scale = np.float32(-0.5) / (h[task] * h[task])
        for a in range(items.shape[1]):
            if items[task, a] >= 0:
                cross_distances(features[items[task, a]], ZT, 0, K[task, a])
                gaussian(K[task, a], scale, bits)


def kernel_between(
    X: Tensor, rows: Tensor, n_features: Tensor, items: Tensor, targets: Tensor, h: Tensor, K: Tensor
) -> None:
    """As in `al_gym.pool.distances`."""
    _kernel_between(*_arrays(X, rows, n_features, items, targets, h, K))


def nearest_means(X: Tensor, n_features: int, items: Tensor, others: Tensor, used: int) -> Tensor:
    """As in `al_gym.pool.distances`."""
    width = width_of(n_features, X.shape[1])
    return torch.from_numpy(_nearest_means(X.numpy(), width, items.numpy(), others.numpy(), used))


@njit(cache=True, nogil=True)
def _update_nearest(
    X: Floats, rows: Ints, n_items: Ints, n_features: Ints, order: Ints, count: Ints, done: Ints, near: Floats
) -> None:
    for row in rows:
        n, width = n_items[row], width_of(n_features[row], X.shape[2])
        if done[row] == 0:
            near[row, :n] = np.inf
            near[row, n:] = 0
        for slot in range(done[row], count[row]):
            z = X[row, order[row, slot]]
            for item in range(n):
                near[row, item] = min(near[row, item], squared_distance(X[row, item], z, width))
        done[row] = count[row]


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
    """As in `al_gym.pool.distances`."""
    _update_nearest(*_arrays(X, rows, n_items, n_features, order, count, done, near))


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
