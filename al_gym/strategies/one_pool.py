"""The pools of a view one by one, as numpy arrays of true size: for strategies whose work differs from pool to pool."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import top_k
from al_gym.streams import Stream

T = TypeVar("T")

LARGE_SAMPLE = 2048
"""Unlabelled items that stand for a pool of more than `EXACT_ITEMS` items where pairs of items are compared."""


@dataclass(frozen=True)
class OnePool:
    """One task of a view.

    Attributes:
        task: position in the view.
        X: (items, features) float32, scaled.
        labelled: (labels,) int64 positions, in the order they were labelled.
        items: (n,) int64 positions to work on, rising: all items of a pool of up to `EXACT_ITEMS` items, otherwise the
            labelled ones and `LARGE_SAMPLE` random candidates.
        candidate: (n,) bool, which of `items` may be queried.
    """

    task: int
    X: NDArray[np.float32]
    labelled: NDArray[np.int64]
    items: NDArray[np.int64]
    candidate: NDArray[np.bool_]

    @property
    def features(self) -> NDArray[np.float32]:
        """(n, features) float32: the rows of `items`."""
        return self.X if len(self.items) == len(self.X) else self.X[self.items]


def one_by_one(view: PoolView, k: Tensor, stream: Stream) -> Iterator[OnePool]:
    """Each task of `view`; `stream` chooses the items to work on in large pools, at least `k` (tasks,) candidates."""
    X, allowed = view.X.cpu().numpy(), view.candidates
    if not view.geometry.exact:
        share = torch.minimum(k.clamp(min=LARGE_SAMPLE), allowed.sum(1))
        chosen = top_k(torch.zeros_like(view.top1), allowed, share, stream.child("sample"))
        mask = torch.zeros(len(view), allowed.shape[1] + 1, dtype=torch.bool, device=chosen.device)
        allowed = mask.scatter_(1, chosen.masked_fill(chosen < 0, allowed.shape[1]), True)[:, :-1]
    candidates, order = allowed.cpu().numpy(), view.order.cpu().numpy()
    sizes = zip(*(size.tolist() for size in (view.n_items, view.n_features, view.n_labelled)), strict=True)
    for task, (n, d, count) in enumerate(sizes):
        labelled, candidate = order[task, :count], candidates[task, :n]
        items = np.arange(n)
        if not view.geometry.exact:
            items = np.union1d(labelled, np.flatnonzero(candidate))
        yield OnePool(task, np.ascontiguousarray(X[task, :n, :d]), labelled, items, candidate[items])


class Kept(Generic[T]):
    """What follows from an array and settings alone, kept for the arrays used last.

    Args:
        size: results kept.
    """

    def __init__(self, size: int = 256) -> None:
        self.size = size
        self._results: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = Lock()

    def get(self, array: NDArray[Any], settings: Hashable, make: Callable[[], T]) -> T:
        """The result for `array` and `settings`, from `make` where it is not there."""
        content = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).digest()
        key = (array.shape, content, settings)
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
        result = make()
        with self._lock:
            self._results[key] = result
            while len(self._results) > self.size:
                self._results.popitem(last=False)
        return result
