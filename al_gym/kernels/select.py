"""Numba twin of `al_gym.strategies.base.top_k`, and the keyed noise that breaks ties."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.kernels.stamp import njit
from al_gym.streams import Stream

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_CHUNK = 64
"""Items that are passed over together where none of them is among the best so far."""
_11, _27, _30, _31 = (np.uint64(shift) for shift in (11, 27, 30, 31))


@njit(cache=True, nogil=True)
def mix(z: np.uint64) -> np.uint64:
    """`al_gym.streams.mix` of one number."""
    z = z + _GOLDEN
    z = (z ^ (z >> _30)) * _M1
    z = (z ^ (z >> _27)) * _M2
    return z ^ (z >> _31)


@njit(cache=True, nogil=True)
def _draw(base: np.uint64, item: int) -> float:
    """`uniform` of an item, from what all items of a task and draw share."""
    return (mix(base + np.uint64(item) * _GOLDEN) >> _11) * 2.0**-53


@njit(cache=True, nogil=True)
def uniform(key: np.uint64, item: int, draw: int) -> float:
    """`Stream.uniform(...)[task, item]` for a task's stream key."""
    return _draw(mix(key + np.uint64(draw) * _M1), item)


@njit(cache=True, nogil=True)
def _before(score: NDArray[np.float32], base: np.uint64, a: int, b: int) -> bool:
    """Whether item a is taken before item b."""
    if score[a] != score[b]:
        return score[a] > score[b]
    return _draw(base, a) > _draw(base, b)


@njit(cache=True, nogil=True)
def _sift(heap: NDArray[np.int64], size: int, at: int, score: NDArray[np.float32], base: np.uint64) -> None:
    """Restore the heap, whose root is the item taken last, from position `at` down."""
    item = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _before(score, base, heap[child], heap[child + 1]):
            child += 1
        if not _before(score, base, item, heap[child]):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = item


@njit(cache=True, nogil=True)
def _any_from(score: NDArray[np.float32], candidates: NDArray[np.bool_], bound: np.float32) -> bool:
    """Whether any candidate has the score `bound` or more: one vectorised pass."""
    count = np.int32(0)
    for j in range(len(score)):
        count += np.int32(candidates[j]) & np.int32(score[j] >= bound)
    return count > 0


@njit(cache=True, nogil=True)
def _top_k_task(
    score: NDArray[np.float32], candidates: NDArray[np.bool_], k: int, key: np.uint64, heap: NDArray[np.int64]
) -> None:
    """Fill `heap[:k]` with the k first candidates, in order: a heap of the best so far, then sorted in place.

    `worst` and `noise` are score and draw of its root, the item taken last.
    """
    size, worst, noise, base = 0, np.float32(0), 0.0, mix(key)
    for start in range(0, len(score), _CHUNK):
        end = min(start + _CHUNK, len(score))
        if size == k and not _any_from(score[start:end], candidates[start:end], worst):
            continue
        for item in range(start, end):
            if not candidates[item]:
                continue
            if size < k:
                heap[size] = item
                size += 1
                if size == k:
                    for at in range(k // 2 - 1, -1, -1):
                        _sift(heap, k, at, score, base)
                    worst, noise = score[heap[0]], _draw(base, heap[0])
            elif score[item] > worst or (score[item] == worst and _draw(base, item) > noise):
                heap[0] = item
                _sift(heap, k, 0, score, base)
                worst, noise = score[heap[0]], _draw(base, heap[0])
    for last in range(k - 1, 0, -1):
        heap[0], heap[last] = heap[last], heap[0]
        _sift(heap, last, 0, score, base)


@njit(cache=True, nogil=True)
def _top_k(
    score: NDArray[np.float32],
    candidates: NDArray[np.bool_],
    k: NDArray[np.int64],
    keys: NDArray[np.uint64],
    out: NDArray[np.int64],
) -> None:
    for task in range(len(k)):
        _top_k_task(score[task], candidates[task], k[task], keys[task], out[task])


def top_k(score: Tensor, candidates: Tensor, k: Tensor, stream: Stream) -> Tensor:
    """As `al_gym.strategies.base.top_k`, on the CPU."""
    out = np.full((len(k), int(k.max())), -1, np.int64)
    _top_k(score.contiguous().numpy(), candidates.contiguous().numpy(), k.contiguous().numpy(), stream.keys, out)
    return torch.from_numpy(out)
