"""Numba twins of the greedy selections: k-center, k-means++ on gradients (BADGE), kernel herding.

Each function loops over tasks with their true sizes, on block storage and row numbers, without copies of
the rows. A task's picks do not depend on the tasks beside it.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from al_gym.kernels.geometry import squared_distance, width_of
from al_gym.kernels.select import uniform

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
    X: Floats,
    rows: Ints,
    n_features: Ints,
    nearest: Floats,
    allowed: Bools,
    k: Ints,
    keys: Keys,
    first: Ints,
    out: Ints,
) -> None:
    """See `al_gym.strategies.greedy.k_center_greedy`; `first` below 0 asks for the farthest item."""
    items = np.empty(X.shape[1], np.int64)
    near = np.empty(X.shape[1], np.float32)
    for task in range(len(rows)):
        features, width = X[rows[task]], width_of(n_features[rows[task]], X.shape[2])
        size = 0
        for item in range(X.shape[1]):
            if allowed[task, item]:
                items[size] = item
                near[item] = nearest[task, item]
                size += 1
        at = 0
        if first[task] >= 0:
            while items[at] != first[task]:
                at += 1
        for pick in range(k[task]):
            if pick > 0 or first[task] < 0:
                at = _first_best(near, items, size, keys[task])
            item = items[at]
            out[task, pick] = item
            size -= 1
            items[at] = items[size]
            if pick + 1 < k[task]:
                for other in items[:size]:
                    near[other] = min(near[other], squared_distance(features[other], features[item], width))


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _inner(x: Floats, z: Floats, width: int) -> np.float32:
    total = np.float32(0)
    for t in range(width):
        total += x[t] * z[t]
    return total


@njit(cache=True, nogil=True)
def _gradients(proba: Floats, predicted: Ints, phi: Floats, width: int, gap: Floats, norm: Doubles) -> None:
    """Write p - e of the predicted class into gap (classes, n) and squared gradient norms into norm (n,)."""
    classes, n = gap.shape
    square = np.zeros(n, np.float32)
    for c in range(classes):
        for item in range(n):
            gap[c, item] = proba[c, item]
    for item in range(n):
        gap[predicted[item], item] -= np.float32(1)
    for c in range(classes):
        for item in range(n):
            square[item] += gap[c, item] * gap[c, item]
    for item in range(n):
        norm[item] = np.float64(square[item]) * np.float64(_inner(phi[item], phi[item], width))


@njit(cache=True, nogil=True)
def _approach(
    gap: Floats, norm: Doubles, phi: Floats, width: int, center: int, inner: Floats, nearest: Doubles
) -> None:
    """Lower squared gradient distances `nearest` (n,) to those of a new center; `inner` is (n,) scratch."""
    inner[:] = 0
    for c in range(len(gap)):
        weight = gap[c, center]
        row = gap[c]
        for item in range(len(row)):
            inner[item] += weight * row[item]
    for item in range(len(norm)):
        product = np.float64(inner[item]) * np.float64(_inner(phi[item], phi[center], width))
        distance = max(0.0, norm[item] + norm[center] - 2.0 * product)
        nearest[item] = min(nearest[item], distance)


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
    """See `al_gym.strategies.badge.k_means_seeding`; phi[phi_rows[task]] is (items, at least width[task])."""
    items = np.empty(allowed.shape[1], np.int64)
    for task in range(len(rows)):
        row, features = rows[task], phi[phi_rows[task]]
        n = n_items[row]
        gap, inner = np.empty((n_classes[row], n), np.float32), np.empty(n, np.float32)
        norm, nearest = np.empty(n), np.full(n, np.inf)
        _gradients(proba[row], predicted[row], features, width[task], gap, norm)
        size = 0
        for item in range(n):
            if allowed[task, item]:
                items[size] = item
                size += 1
        at = _first_best(norm, items, size, keys[task])
        for pick in range(k[task]):
            if pick > 0:
                _approach(gap, norm, features, width[task], out[task, pick - 1], inner, nearest)
                at = _sample(nearest, items, size, uniform(keys[task], 0, pick))
            out[task, pick] = items[at]
            size -= 1
            for later in range(at, size):  # keeps the order, on which the draws rest
                items[later] = items[later + 1]
