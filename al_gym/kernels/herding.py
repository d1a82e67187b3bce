"""Numba twin of kernel herding, with lazy evaluation.

Coverage only grows, so an item's gain only falls: a gain computed earlier is an upper bound (Minoux 1978).
A heap of bounds renews the largest until one is up to date; equal bounds are renewed before a pick, so that
ties are complete and broken by the keyed noise as in a full evaluation. Renewing uses one order of summation,
in which every term falls, so that bounds hold in floating point too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from al_gym.kernels.select import uniform
from al_gym.kernels.stamp import njit

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Keys = NDArray[np.uint64]

_REDUCE = {"contract", "nsz", "reassoc"}
_STALE = 2.0  # rank of a bound: before every noise in [0, 1), so that it is renewed first among equals


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _gain(kernel: Floats, covered: Floats, weight: Floats, weighted: bool) -> float:
    """sum_i weight_i * max(0, kernel_i - covered_i) in float64; without weights if not `weighted`."""
    total = 0.0
    if weighted:
        for i in range(len(covered)):
            gap = kernel[i] - covered[i]
            total += np.float64(weight[i] * (gap if gap > 0 else np.float32(0)))
    else:
        for i in range(len(covered)):
            gap = kernel[i] - covered[i]
            total += np.float64(gap if gap > 0 else np.float32(0))
    return total


@njit(cache=True, nogil=True)
def _sift(heap: Ints, size: int, at: int, bound: Doubles, rank: Doubles) -> None:
    """Restore the heap, largest (bound, rank) at the root, from position `at` down."""
    moved = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        other = child + 1
        if other < size:
            a, b = heap[child], heap[other]
            if bound[b] > bound[a] or (bound[b] == bound[a] and rank[b] > rank[a]):
                child = other
        a = heap[child]
        if bound[a] < bound[moved] or (bound[a] == bound[moved] and rank[a] <= rank[moved]):
            break
        heap[at] = a
        at = child
    heap[at] = moved


@njit(cache=True, nogil=True)
def herd(
    K: Floats, first: Ints, second: Ints, items: Ints, n_targets: Ints, covered: Floats, weight: Floats,
    bound: Doubles, k: Ints, keys: Keys, out: Ints,
) -> None:  # fmt: skip
    """See `al_gym.strategies.herding.herd`.

    Args:
        K: kernel rows; that of candidate c of a task is K[first[task], second[task, c], :n_targets[task]].
        first: (tasks,).
        second: (tasks, m), -1 for no candidate.
        items: (tasks, m) item numbers, by which ties are broken and picks are returned.
        n_targets: (tasks,).
        covered: (tasks, targets) coverage now.
        weight: (tasks, targets), or (0, 0) for ones.
        bound: (tasks, m), upper bounds of the gains, inf where unknown. On return the gains renewed against
            `covered` itself have replaced them, so that they can be used as long as coverage does not fall.
        k: (tasks,). keys: (tasks,).
        out: (tasks, max(k)), written.
    """
    m = second.shape[1]
    heap, rank, gain = np.empty(m, np.int64), np.empty(m), np.empty(m)
    cover = np.empty(covered.shape[1], np.float32)
    weighted = len(weight) > 0
    for task in range(len(k)):
        n, kernel = n_targets[task], K[first[task]]
        cover[:n] = covered[task, :n]
        weights = weight[task, :n] if weighted else cover[:0]
        size = 0
        for c in range(m):
            if second[task, c] >= 0:
                heap[size] = c
                size += 1
        gain[:] = bound[task]
        for pick in range(k[task]):
            rank[:] = _STALE
            if pick == 0:
                for at in range(size // 2 - 1, -1, -1):
                    _sift(heap, size, at, gain, rank)
            while rank[heap[0]] == _STALE:
                c = heap[0]
                gain[c] = _gain(kernel[second[task, c], :n], cover[:n], weights, weighted)
                rank[c] = uniform(keys[task], items[task, c], 0)
                _sift(heap, size, 0, gain, rank)
            if pick == 0:
                bound[task] = gain
            best = heap[0]
            out[task, pick] = items[task, best]
            size -= 1
            heap[0] = heap[size]
            _sift(heap, size, 0, gain, rank)
            chosen = kernel[second[task, best]]
            for i in range(n):
                cover[i] = chosen[i] if chosen[i] > cover[i] else cover[i]
