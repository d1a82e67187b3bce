"""Numba twin of the greedy loop of `al_gym.strategies.blend`, with lazy evaluation.

Coverage only grows and similarity to the batch too, so an item's score only falls: one computed earlier is an upper
bound (Minoux 1978). A pick renews the largest bound until the largest is up to date.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from al_gym.kernels.blas import FASTMATH
from al_gym.kernels.elementwise import exp, log32
from al_gym.kernels.select import uniform
from al_gym.kernels.stamp import njit

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Keys = NDArray[np.uint64]

_REDUCE = {"contract", "nsz", "reassoc"}
_TINY = np.float32(1.2e-38)  # log32 wants normal numbers


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _power(values: Floats, exponent: float, out: Floats) -> None:
    """Out = values ** exponent for values in [0, 1]."""
    e = np.float32(exponent)
    if e == np.float32(1):
        out[:] = values
        return
    for i in range(len(values)):
        v = values[i]
        out[i] = exp(log32(max(v, _TINY)) * e) if v > _TINY else np.float32(0)


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _gain(kernel: Floats, covered: Floats, weight: Floats) -> float:
    """sum_i weight_i * max(0, kernel_i - covered_i) in float64."""
    total = 0.0
    for i in range(len(covered)):
        gap = kernel[i] - covered[i]
        total += np.float64(weight[i] * (gap if gap > 0 else np.float32(0)))
    return total


@njit(cache=True, nogil=True)
def _best(score: Doubles, fresh: Bools, noise: Doubles, size: int) -> int:
    """The largest score; among equal ones a stale one first, then the largest noise."""
    best = 0
    for c in range(1, size):
        if score[c] != score[best]:
            if score[c] > score[best]:
                best = c
        elif fresh[c] != fresh[best]:
            best = best if fresh[c] else c
        elif noise[c] > noise[best]:
            best = c
    return best


@njit(cache=True, nogil=True)
def greedy(
    K: Floats,
    first: Ints,
    second: Ints,
    items: Ints,
    column: Ints,
    n_targets: Ints,
    covered: Floats,
    weight: Floats,
    base: Doubles,
    exponent: Floats,
    share: Doubles,
    diversity: Doubles,
    k: Ints,
    keys: Keys,
    out: Ints,
) -> None:
    """Pick greedily by base + share * gain / largest first gain - diversity * similarity to the batch.

    Args:
        K: K[first[task], second[task, c], i] is the kernel of width 1 from candidate c to target i.
        first: (tasks,). second: (tasks, m). items: (tasks, m) positions, all real ones first, -1 for none.
        column: (tasks, m) the target that candidate c is.
        n_targets: (tasks,) targets that count. covered: (tasks, targets) coverage of width 1.
        weight: (tasks, targets). base: (tasks, m). exponent: (tasks,) one over the squared width.
        share, diversity: (tasks,). k: (tasks,). keys: (tasks,).
        out: (tasks, max(k)), written.
    """
    m, n = second.shape[1], covered.shape[1]
    rows = np.empty((m, n), np.float32)
    cover, line = np.empty(n, np.float32), np.empty(K.shape[2], np.float32)
    gain, near, score, noise = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
    fresh = np.empty(m, np.bool_)
    for task in range(len(k)):
        size = 0
        while size < m and items[task, size] >= 0:
            size += 1
        t, e, kernel = n_targets[task], exponent[task], K[first[task]]
        gain[:], near[:], fresh[:] = 0.0, 0.0, True
        scale = 0.0
        if share[task] > 0:
            _power(covered[task, :t], e, cover[:t])
            for c in range(size):
                _power(kernel[second[task, c], :t], e, rows[c, :t])
                gain[c] = _gain(rows[c, :t], cover[:t], weight[task, :t])
            largest = gain[:size].max()
            scale = share[task] / largest if largest > 0 else 0.0
        for c in range(size):
            noise[c] = uniform(keys[task], items[task, c], 0)
            score[c] = base[task, c] + scale * gain[c]
        for pick in range(k[task]):
            best = _best(score, fresh, noise, size)
            while not fresh[best]:
                gain[best] = _gain(rows[best, :t], cover[:t], weight[task, :t])
                score[best] = base[task, best] + scale * gain[best] - diversity[task] * near[best]
                fresh[best] = True
                best = _best(score, fresh, noise, size)
            out[task, pick] = items[task, best]
            near[best] = np.inf
            _power(kernel[second[task, best]], e, line)
            for i in range(t if scale > 0 else 0):
                cover[i] = max(cover[i], line[i])
            for c in range(size):
                near[c] = max(near[c], np.float64(line[column[task, c]]))
                fresh[c] = scale == 0
                taken = near[c] == np.inf
                score[c] = -np.inf if taken else base[task, c] + scale * gain[c] - diversity[task] * near[c]
                fresh[c] = fresh[c] or taken
