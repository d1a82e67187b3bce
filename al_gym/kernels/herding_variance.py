"""Numba twin of the greedy batch of `al_gym.strategies.herding_variance`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from al_gym.kernels.stamp import njit

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_REDUCE = {"contract", "nsz", "reassoc"}
_TINY = 1e-9


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _coverage(kernel: Floats, covered: Floats, weight: Floats) -> float:
    total = np.float32(0)
    for i in range(len(covered)):
        gap = kernel[i] - covered[i]
        total += weight[i] * (gap if gap > 0 else np.float32(0))
    return total


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _squares(row: Floats, weight: Floats) -> float:
    total = np.float32(0)
    for i in range(len(row)):
        total += weight[i] * row[i] * row[i]
    return total


@njit(cache=True, nogil=True)
def _downdate(posterior: Floats, item: int, factor: float) -> None:
    """Take factor * c c' from the covariance, c its row `item`."""
    row = posterior[item].copy()
    for i in range(len(row)):
        scaled = np.float32(factor) * row[i]
        for j in range(len(row)):
            posterior[i, j] -= scaled * row[j]


@njit(cache=True, nogil=True)
def greedy(
    kernel: Floats, covered: Floats, target: Floats, posterior: Floats, spread: Floats, information: Floats,
    candidates: Ints, bonus: Doubles, share: float, noise: Doubles, out: Ints,
) -> None:  # fmt: skip
    """See `al_gym.strategies.herding_variance.greedy`; `covered` and `posterior` are overwritten."""
    taken = np.zeros(len(candidates), np.bool_)
    for pick in range(len(out)):
        best, highest, rank = -1, -np.inf, -1.0
        for c in range(len(candidates)):
            if taken[c]:
                continue
            x, score = candidates[c], bonus[c]
            if share < 1:
                score += (1 - share) * np.log(_coverage(kernel[c], covered, target) + _TINY)
            if share > 0:
                gain = information[x] * _squares(posterior[x], spread) / (1 + information[x] * posterior[x, x])
                score += share * np.log(gain + _TINY)
            if score > highest or (score == highest and noise[c] > rank):
                best, highest, rank = c, score, noise[c]
        x = candidates[best]
        taken[best] = True
        out[pick] = x
        for i in range(len(covered)):
            covered[i] = max(covered[i], kernel[best, i])
        if share > 0 and pick + 1 < len(out):
            _downdate(posterior, x, information[x] / (1 + information[x] * posterior[x, x]))
