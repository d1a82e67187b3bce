"""What happened in each campaign, for rendering."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class History:
    """Strategy, batch and accuracy after each round of every campaign, the seed set first.

    Args:
        num_envs: number of campaigns.
    """

    def __init__(self, num_envs: int) -> None:
        self._length = np.zeros(num_envs, np.int64)
        self._numbers = np.zeros((2, num_envs, 8), np.int64)
        self._accuracy = np.zeros((num_envs, 8))

    def start(self, slots: Ints, accuracy: Floats) -> None:
        """Forget the campaigns in `slots` (n,) and begin with the accuracy (n,) of the seed set."""
        self._length[slots] = 0
        self.append(slots, np.full(len(slots), -1), np.zeros(len(slots), np.int64), accuracy)

    def append(self, slots: Ints, strategy: Ints, batch: Ints, accuracy: Floats) -> None:
        """Add a round of the campaigns in `slots` (n,): strategy index (-1 for a stop), labels, accuracy, each (n,)."""
        at = self._length[slots]
        if len(at) and at.max() >= self._accuracy.shape[1]:
            self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)], axis=2)
            self._accuracy = np.concatenate([self._accuracy, np.zeros_like(self._accuracy)], axis=1)
        self._numbers[0, slots, at] = strategy
        self._numbers[1, slots, at] = batch
        self._accuracy[slots, at] = accuracy
        self._length[slots] += 1

    def __getitem__(self, slot: int) -> list[dict[str, Any]]:
        """`strategy`, `batch` and `accuracy` of each round of one campaign."""
        n = int(self._length[slot])
        columns = (*self._numbers[:, slot, :n].tolist(), self._accuracy[slot, :n].tolist())
        return [dict(zip(("strategy", "batch", "accuracy"), row, strict=True)) for row in zip(*columns, strict=True)]
