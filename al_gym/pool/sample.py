"""A random sample that stands for a large pool where pairs of items are compared, with its kernel kept.

The sample is a function of the task's key, so that rounds, batches and processes agree on it (promise P5); with the
kernel among its items kept, a round costs what it costs in a small pool.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from al_gym.pool.arrays import grow

if TYPE_CHECKING:
    from al_gym.pool.geometry import Geometry

KERNEL_SAMPLE = 2048  # items; 16 MiB of kernel a campaign
_LABELS = 256  # labelled items compared with the sample at once


class PoolSample:
    """Kernels among a random sample of each pool of a block, and how well labelled items cover it.

    Args:
        geometry: of the block; its pools have more than `KERNEL_SAMPLE` items when padded.
        backend: where kernel values are computed, `al_gym.kernels.geometry` or `al_gym.pool.distances`.
    """

    def __init__(self, geometry: Geometry, backend: ModuleType) -> None:
        self._geometry, self._backend = geometry, backend
        rows, device = len(geometry.arrays.round), geometry.arrays.X.device
        self._items = torch.zeros(rows, KERNEL_SAMPLE, dtype=torch.int64, device=device)
        self._known = torch.zeros(rows, dtype=torch.bool, device=device)
        self._covered = torch.zeros(rows, KERNEL_SAMPLE, device=device)
        self._count = torch.zeros(rows, dtype=torch.int64, device=device)
        self._bounds = torch.full((rows, KERNEL_SAMPLE), torch.inf, dtype=torch.float64, device=device)
        self._kernel = self._allocate(rows)

    def _allocate(self, rows: int) -> Tensor:
        """(rows, sample, sample) float32; calloc leaves the rows that nobody asks for without memory."""
        shape, device = (rows, KERNEL_SAMPLE, KERNEL_SAMPLE), self._items.device
        return torch.from_numpy(np.zeros(shape, np.float32)) if device.type == "cpu" else torch.zeros(shape).to(device)

    def grow(self, rows: int) -> None:
        """Follow the storage to a larger number of rows."""
        old = self._kernel
        self._kernel = self._allocate(rows)
        for row in self._known.nonzero()[:, 0].tolist():
            self._kernel[row] = old[row]
        for name in ("_items", "_known", "_covered", "_count", "_bounds"):
            setattr(self, name, grow(getattr(self, name), rows))

    def clear(self, row: int) -> None:
        """Forget one row; its storage now holds another task."""
        self._known[row] = False
        self._count[row] = 0

    def unlabel(self, rows: Tensor) -> None:
        """Forget what depends on the labelled items of `rows`."""
        self._count[rows] = 0

    def ensure(self, rows: Tensor) -> Tensor:
        """Draw samples and compute their kernels where missing; returns the (rows, sample, sample) storage."""
        a = self._geometry.arrays
        rows = rows[~self._known[rows]]
        if len(rows):
            self._items[rows] = self._geometry.random_items(rows, KERNEL_SAMPLE)
            h = self._geometry.bandwidth(rows)
            for at, row in enumerate(rows):
                one, items = row[None], self._items[row][None]
                K = self._kernel[row : row + 1]
                self._backend.kernel_between(a.X, one, a.n_features[one], items, items, h[at : at + 1], K)
                outside = (items[0] >= a.n_items[row]).nonzero()[:, 0]
                K[0, outside] = 0.0
                K[0, :, outside] = 0.0
            self._known[rows] = True
        return self._kernel

    def items(self, rows: Tensor) -> Tensor:
        """(tasks, sample) int64 positions in the pools, rising; padding comes last."""
        self.ensure(rows)
        return self._items[rows]

    def coverage(self, rows: Tensor) -> Tensor:
        """(tasks, sample) float32 in [0, 1]: largest kernel value of each sampled item to a labelled item."""
        self.ensure(rows)
        a = self._geometry.arrays
        for row in rows[(self._count[rows] != a.count[rows]) | (self._count[rows] == 0)]:
            done, count = int(self._count[row]), int(a.count[row])
            if done == 0:
                self._covered[row] = 0.0
                self._bounds[row] = torch.inf
            one, items = row[None], self._items[row][None]
            h = self._geometry.bandwidth(one)
            for labelled in a.order[row, done:count].split(_LABELS):
                K = self._covered.new_empty(1, len(labelled), KERNEL_SAMPLE)
                self._backend.kernel_between(a.X, one, a.n_features[one], labelled[None], items, h, K)
                self._covered[row] = torch.maximum(self._covered[row], K[0].amax(dim=0))
            self._covered[row].masked_fill_(items[0] >= a.n_items[row], 0.0)
            self._count[row] = count
        return self._covered[rows]

    def gain_bounds(self, rows: Tensor) -> Tensor:
        """(tasks, sample) float64: what each item can at most add to the sum of `coverage`; inf if unknown.

        Ask for `coverage` first: it forgets the bounds of campaigns that lost labels.
        """
        return self._bounds[rows]

    def keep_gain_bounds(self, rows: Tensor, bounds: Tensor) -> None:
        """Remember gains against the present coverage for later rounds; bounds as from `gain_bounds`."""
        self._bounds[rows] = bounds
