"""Numba twins of the greedy selections: k-center, k-means++ on gradients (BADGE), kernel herding.

Each function loops over tasks with their true sizes, on block storage and row numbers, without copies of
the rows. A task's picks do not depend on the tasks beside it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from al_gym.kernels.geometry import approach, column, squared_distance, width_of
from al_gym.kernels.select import uniform
from al_gym.kernels.stamp import njit

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


@njit(cache=True, nogil=True)
def k_center(
    X: Floats, XT: Floats, rows: Ints, n_items: Ints, n_features: Ints, nearest: Floats, allowed: Bools, k: Ints,
    keys: Keys, first: Ints, out: Ints,
) -> None:  # fmt: skip
    """See `al_gym.strategies.greedy.k_center_greedy`.

    `first` below 0 asks for the farthest item. XT holds the features of X item-last: with it the distances to a
    whole pool are faster; for a few candidates X is.
    """
    items, near = np.empty(X.shape[1], np.int64), np.empty(X.shape[1], np.float32)
    z, d2 = np.empty(X.shape[2], np.float32), np.empty(X.shape[1], np.float32)
    for task in range(len(rows)):
        row = rows[task]
        n, width = n_items[row], width_of(n_features[row], X.shape[2])
        size, at = 0, 0
        for item in range(n):
            near[item] = nearest[task, item]
            if allowed[task, item]:
                if item == first[task]:
                    at = size
                items[size] = item
                size += 1
        whole = 8 * size > n
        for pick in range(k[task]):
            if pick > 0 or first[task] < 0:
                at = _first_best(near, items, size, keys[task])
            item = items[at]
            out[task, pick] = item
            size -= 1
            items[at] = items[size]
            if pick + 1 < k[task]:
                if whole:
                    column(XT[row, :width], item, z)
                    approach(z, XT[row, :width], d2[:n], near)
                else:
                    for other in items[:size]:
                        near[other] = min(near[other], squared_distance(X[row, other], X[row, item], width))


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _products(M: Floats, at: int, out: Floats) -> None:
    """Inner products of column `at` of M (width, n) with the first len(out) columns."""
    for j in range(len(out)):
        out[j] = 0
    whole = len(M) // 4 * 4
    for t in range(0, whole, 4):
        w0, w1, w2, w3 = M[t, at], M[t + 1, at], M[t + 2, at], M[t + 3, at]
        m0, m1, m2, m3 = M[t], M[t + 1], M[t + 2], M[t + 3]
        for j in range(len(out)):
            out[j] += (w0 * m0[j] + w1 * m1[j]) + (w2 * m2[j] + w3 * m3[j])
    for t in range(whole, len(M)):
        weight, row = M[t, at], M[t]
        for j in range(len(out)):
            out[j] += weight * row[j]


@njit(cache=True, nogil=True)
def _squares(M: Floats, out: Doubles) -> None:
    """Multiply out (n,) by the squared norms of the first n columns of M (width, n)."""
    total = np.zeros(len(out), np.float32)
    for row in M:
        for j in range(len(out)):
            total[j] += row[j] * row[j]
    for j in range(len(out)):
        out[j] *= total[j]


@njit(cache=True, nogil=True)
def _gradients(proba: Floats, predicted: Ints, gap: Floats) -> None:
    """Write p - e of the predicted class into gap (classes, n)."""
    for c in range(len(gap)):
        for item in range(gap.shape[1]):
            gap[c, item] = proba[c, item]
    for item in range(gap.shape[1]):
        gap[predicted[item], item] -= np.float32(1)


@njit(cache=True, nogil=True)
def _approach_gradient(
    gap: Floats, norm: Doubles, phi: Floats, center: int, a: Floats, b: Floats, nearest: Doubles
) -> None:
    """Lower squared gradient distances `nearest` (n,) to those of a new center; a and b are (n,) scratch."""
    _products(gap, center, a)
    _products(phi, center, b)
    for item in range(len(norm)):
        distance = norm[item] + norm[center] - 2.0 * (np.float64(a[item]) * np.float64(b[item]))
        distance = distance if distance > 0 else 0.0
        nearest[item] = distance if distance < nearest[item] else nearest[item]


@njit(cache=True, nogil=True)
def _sample(weight: Doubles, items: Ints, size: int, draw: float) -> int:
    """Position in items[:size] with probability proportional to the weights; uniform if all are 0."""
    total = 0.0
    for item in items[:size]:
        total += weight[item]
    if total <= 0:
        return min(size - 1, int(draw * size))
    goal, reached, last = draw * total, 0.0, 0
    for at in range(size):
        if weight[items[at]] > 0:
            reached += weight[items[at]]
            last = at
            if reached > goal:
                break
    return last


@njit(cache=True, nogil=True)
def badge(
    proba: Floats, predicted: Ints, rows: Ints, n_items: Ints, n_classes: Ints, phi: Floats, phi_rows: Ints,
    width: Ints, allowed: Bools, k: Ints, keys: Keys, out: Ints,
) -> None:  # fmt: skip
    """See `al_gym.strategies.badge.k_means_seeding`; phi[phi_rows[task], :width[task]] is item-last."""
    items = np.empty(allowed.shape[1], np.int64)
    for task in range(len(rows)):
        row, features = rows[task], phi[phi_rows[task], : width[task]]
        n = n_items[row]
        gap, a, b = np.empty((n_classes[row], n), np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
        norm, nearest = np.ones(n), np.full(n, np.inf)
        _gradients(proba[row], predicted[row], gap)
        _squares(gap, norm)
        _squares(features, norm)
        size = 0
        for item in range(n):
            if allowed[task, item]:
                items[size] = item
                size += 1
        at = _first_best(norm, items, size, keys[task])
        for pick in range(k[task]):
            if pick > 0:
                _approach_gradient(gap, norm, features, out[task, pick - 1], a, b, nearest)
                at = _sample(nearest, items, size, uniform(keys[task], 0, pick))
            out[task, pick] = items[at]
            size -= 1
            for later in range(at, size):  # keeps the order, on which the draws rest
                items[later] = items[later + 1]
