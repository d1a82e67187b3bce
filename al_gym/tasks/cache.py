"""A bounded store of loaded datasets, least recently used first out."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from al_gym.errors import ParameterError
from al_gym.tasks.dataset import Dataset


class DatasetCache:
    """Keeps loaded datasets until their arrays pass a number of bytes; safe to share between threads.

    The newest dataset always stays, even if it alone is larger than the limit. A pickled cache comes back empty.

    Args:
        limit: bytes of `X` and `y` to keep, at least 0.
    """

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise ParameterError(f"the cache limit must be at least 0 bytes, got {limit}.")
        self.limit = limit
        self.used = 0
        self._lock = threading.Lock()
        self._datasets: OrderedDict[object, Dataset] = OrderedDict()

    def __len__(self) -> int:
        return len(self._datasets)

    def get(self, key: object) -> Dataset | None:
        """The dataset kept under `key`, now the most recently used one, or None."""
        with self._lock:
            dataset = self._datasets.get(key)
            if dataset is not None:
                self._datasets.move_to_end(key)
            return dataset

    def put(self, key: object, dataset: Dataset) -> None:
        """Keep `dataset`, and drop the least recently used ones that no longer fit."""
        with self._lock:
            replaced = self._datasets.pop(key, None)
            self.used += _bytes(dataset) - (_bytes(replaced) if replaced is not None else 0)
            self._datasets[key] = dataset
            while self.used > self.limit and len(self._datasets) > 1:
                self.used -= _bytes(self._datasets.popitem(last=False)[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.limit,))


def _bytes(dataset: Dataset) -> int:
    return int(dataset.X.nbytes + dataset.y.nbytes)
