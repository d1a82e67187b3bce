"""Numba twins of the distances, kernels and coverage of `al_gym.pool`.

Each function loops over tasks with their true sizes, on block storage and row numbers, without copies of
the rows. A task's results do not depend on the tasks beside it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.kernels.stamp import njit
from al_gym.pool.distances import NEIGHBOURS

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_CONTRACT = {"contract", "nsz"}
_REDUCE = {"contract", "nsz", "reassoc"}
_LOG2E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOWEST = np.float32(-87.0)
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


@njit(cache=True, nogil=True)
def column(ZT: Floats, item: int, out: Floats) -> None:
    """Copy one column of ZT (width, n) into out (width,)."""
    for t in range(len(ZT)):
        out[t] = ZT[t, item]


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


@njit(cache=True, nogil=True)
def approach(z: Floats, ZT: Floats, d2: Floats, near: Floats) -> None:
    """Lower squared distances near[:n] to those from z to the columns of ZT; d2 is (n,) scratch."""
    cross_distances(z, ZT, 0, d2)
    for j in range(len(d2)):
        near[j] = d2[j] if d2[j] < near[j] else near[j]


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def squared_distance(x: Floats, z: Floats, width: int) -> np.float32:
    """Squared distance of two items."""
    total = np.float32(0)
    for t in range(width):
        e = x[t] - z[t]
        total += e * e
    return total


@njit(cache=True, nogil=True)
def pair_distances(ZT: Floats, n: int, D: Floats) -> None:
    """Squared distances of the first n columns of ZT into D[:n, :n]: half of them, then mirrored in tiles."""
    x = np.empty(len(ZT), np.float32)
    for item in range(n):
        column(ZT, item, x)
        start = item // 16 * 16
        cross_distances(x, ZT, start, D[item, start:n])
    for top in range(0, n, 16):
        for left in range(0, top, 16):
            for i in range(top, min(top + 16, n)):
                for j in range(left, left + 16):
                    D[i, j] = D[j, i]


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _total(values: Floats) -> np.float32:
    total = np.float32(0)
    for j in range(len(values)):
        total += values[j]
    return total


@njit(cache=True, nogil=True)
def _count_up_to(values: Floats, bound: np.float32) -> int:
    """How many values do not exceed the bound."""
    count = np.int32(0)
    for j in range(len(values)):
        count += np.int32(1) if values[j] <= bound else np.int32(0)
    return int(count)


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _roots_up_to(values: Floats, bound: np.float32) -> np.float32:
    """Sum of the square roots of the values that do not exceed the bound."""
    total = np.float32(0)
    for j in range(len(values)):
        total += np.sqrt(values[j]) if values[j] <= bound else np.float32(0)
    return total


@njit(cache=True, nogil=True)
def nearest_mean(d2: Floats, used: int) -> float:
    """Mean distance to the `used` smallest of d2, at most its length.

    Bisection for a bound that exactly `used` values do not exceed: each step is one vectorised count, which is
    faster than keeping a sorted list. With ties there is none, and the rest of the mean lies at the bound.
    """
    if used == 0 or _count_up_to(d2, np.float32(0)) >= used:
        return 0.0
    low, high = np.float32(0), np.float32(_total(d2) / len(d2))
    count = _count_up_to(d2, high)
    while count < used:
        low, high = high, np.float32(2 * high)
        count = _count_up_to(d2, high)
    while count != used:
        middle = np.float32(np.float32(0.5) * (low + high))
        if middle <= low or middle >= high:
            rest = used - _count_up_to(d2, low)
            return (_roots_up_to(d2, low) + rest * math.sqrt(high)) / used
        within = _count_up_to(d2, middle)
        if within >= used:
            high, count = middle, within
        else:
            low = middle
    return _roots_up_to(d2, high) / used


@njit(cache=True, nogil=True)
def _pool_means(D: Floats, n: int, out: Floats) -> float:
    """Write the mean distance to the 20 nearest others into out[:n], from squared distances; returns h."""
    total = 0.0
    others = np.empty(max(0, n - 1), np.float32)
    for item in range(n):
        row = D[item]
        for j in range(n - 1):
            others[j] = row[j]
        if item < n - 1:
            others[item] = row[n - 1]
        out[item] = nearest_mean(others, min(NEIGHBOURS, n - 1))
        total += out[item]
    return total / n if total > 0 else 1.0


@njit(cache=True, nogil=True)
def _nearest_means(X: Floats, width: int, items: Ints, others: Ints, used: int) -> Floats:
    mean = np.empty(len(items), np.float32)
    ZT, d2 = transposed(X, others, width), np.empty(len(others), np.float32)
    for at in range(len(items)):
        cross_distances(X[items[at]], ZT, 0, d2)
        size = 0
        for j in range(len(others)):
            d2[size] = d2[j]
            size += others[j] != items[at]
        mean[at] = nearest_mean(d2[:size], used)
    return mean


@njit(cache=True, nogil=True)
def _fill_columns(X: Floats, rows: Ints, n_items: Ints, XT: Floats) -> None:
    for row in rows:
        for left in range(0, n_items[row], 16):
            for t in range(X.shape[2]):
                for item in range(left, min(left + 16, X.shape[1])):
                    XT[row, t, item] = X[row, item, t]


def fill_columns(X: Tensor, rows: Tensor, n_items: Tensor, XT: Tensor) -> None:
    """Transpose the pools of `rows` into XT (rows, features, items), the layout that vectorises over items."""
    _fill_columns(*_arrays(X, rows, n_items, XT))


@njit(cache=True, nogil=True)
def _neighbour_means(XT: Floats, rows: Ints, n_items: Ints, n_features: Ints, mean: Floats, h: Floats) -> None:
    D = np.empty((XT.shape[2], XT.shape[2]), np.float32)
    for row in rows:
        pair_distances(XT[row, : width_of(n_features[row], XT.shape[1])], n_items[row], D)
        h[row] = _pool_means(D, n_items[row], mean[row])
        mean[row, n_items[row] :] = 0


def neighbour_means(XT: Tensor, rows: Tensor, n_items: Tensor, n_features: Tensor, mean: Tensor, h: Tensor) -> None:
    """As in `al_gym.pool.distances`, with features item-last: (rows, features, items)."""
    _neighbour_means(*_arrays(XT, rows, n_items, n_features, mean, h))


@njit(cache=True, nogil=True)
def _kernel_matrices(
    XT: Floats, rows: Ints, n_items: Ints, n_features: Ints, known: Bools, mean: Floats, h: Floats, K: Floats
) -> None:
    bits = np.empty(XT.shape[2], np.int32)
    for row in rows:
        n = n_items[row]
        pair_distances(XT[row, : width_of(n_features[row], XT.shape[1])], n, K[row])
        if not known[row]:
            h[row] = _pool_means(K[row], n, mean[row])
            mean[row, n:] = 0
        scale = np.float32(-0.5) / (h[row] * h[row])
        for item in range(n):
            gaussian(K[row, item, :n], scale, bits[:n])
            K[row, item, n:] = 0
        K[row, n:] = 0


def kernel_matrices(
    XT: Tensor, rows: Tensor, n_items: Tensor, n_features: Tensor, known: Tensor, mean: Tensor, h: Tensor, K: Tensor
) -> None:
    """As in `al_gym.pool.distances`, with features item-last: (rows, features, items)."""
    _kernel_matrices(*_arrays(XT, rows, n_items, n_features, known, mean, h, K))


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
    XT: Floats, rows: Ints, n_items: Ints, n_features: Ints, order: Ints, count: Ints, done: Ints, near: Floats
) -> None:
    z, d2 = np.empty(XT.shape[1], np.float32), np.empty(XT.shape[2], np.float32)
    for row in rows:
        n, ZT = n_items[row], XT[row, : width_of(n_features[row], XT.shape[1])]
        if done[row] == 0:
            near[row, :n] = np.inf
            near[row, n:] = 0
        for slot in range(done[row], count[row]):
            column(ZT, order[row, slot], z)
            approach(z, ZT, d2[:n], near[row])
        done[row] = count[row]


def update_nearest(
    XT: Tensor,
    rows: Tensor,
    n_items: Tensor,
    n_features: Tensor,
    order: Tensor,
    count: Tensor,
    done: Tensor,
    near: Tensor,
) -> None:
    """As in `al_gym.pool.distances`, with features item-last: (rows, features, items)."""
    _update_nearest(*_arrays(XT, rows, n_items, n_features, order, count, done, near))


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
