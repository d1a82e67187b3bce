"""The mean distance of an item to its nearest others, from its squared distances, without sorting."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from al_gym.kernels.distance import count_up_to
from al_gym.kernels.stamp import njit
from al_gym.pool.distances import NEIGHBOURS

Floats = NDArray[np.float32]

_REDUCE = {"contract", "nsz", "reassoc"}
_GUESSES = 6
"""Bounds by interpolation before the interval is halved."""
_HALF, _INF, _MOST = np.float32(0.5), np.float32(np.inf), np.finfo(np.float32).max


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _roots_up_to(values: Floats, bound: np.float32) -> np.float32:
    """Sum of the square roots of the values that do not exceed the bound."""
    total = np.float32(0)
    for j in range(len(values)):
        total += np.sqrt(values[j]) if values[j] <= bound else np.float32(0)
    return total


@njit(cache=True, nogil=True)
def nearest_mean(d2: Floats, used: int, guess: np.float32) -> tuple[float, np.float32]:
    """Mean distance to the `used` smallest of d2, inf if fewer are finite; and how far they reach.

    A search for a bound that exactly `used` values do not exceed: each step is one vectorised count, which is faster
    than keeping a sorted list. With ties there is none, and the rest of the mean lies at the bound. The mean does not
    depend on the guess.

    Args:
        d2: (n,) squared distances, inf for what is none; n is a multiple of `TILE`.
        used: how many are used, 0 for a mean of 0.
        guess: where to begin, say the reach of another item.
    """
    low, high = np.float32(0), _INF
    below, above = count_up_to(d2, low), len(d2)
    if used == 0 or below >= used:
        return 0.0, guess
    middle, turn = guess if 0 < guess < _INF else np.float32(1), 0
    while True:
        within = count_up_to(d2, middle)
        if within == used:
            return _roots_up_to(d2, middle) / used, middle
        if within < used:
            low, below = middle, within
        else:
            high, above = middle, within
        turn += 1
        if high == _INF:
            if middle == _MOST:
                return np.inf, guess
            middle = min(np.float32(2 * middle), _MOST)
            continue
        share = np.float32((used + 0.5 - below) / (above - below))
        step = _HALF if turn > _GUESSES else min(max(share, np.float32(0.05)), np.float32(0.95))
        middle = np.float32(low + step * (high - low))
        if middle <= low or middle >= high:
            middle = np.float32(_HALF * low + _HALF * high)
        if middle <= low or middle >= high:  # neighbouring numbers: the rest of the values are equal
            return (_roots_up_to(d2, low) + (used - below) * math.sqrt(high)) / used, high


@njit(cache=True, nogil=True)
def pool_means(D: Floats, n: int, out: Floats) -> float:
    """Write the mean distance to the 20 nearest others into out[:n]; returns the bandwidth.

    D[:n] are squared distances of the items to all items, 0 on the diagonal and inf beyond the pool.
    """
    total, used, guess = 0.0, min(NEIGHBOURS, n - 1), np.float32(1)
    for item in range(n):
        row = D[item]
        row[item] = _INF
        mean, guess = nearest_mean(row, used, guess)
        row[item] = 0
        out[item] = mean
        total += out[item]
    return total / n if total > 0 else 1.0
