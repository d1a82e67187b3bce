"""Distances, kernels and coverage of a block's pools, computed when first asked for and kept.

The kernel is K(x, z) = exp(-d^2 / 2h^2) with d Euclidean on the scaled features and h the mean over
the pool of the mean distance to the 20 nearest other items, 1 if that is 0 (CONTRACT, campaign rules).

Pools of more than `EXACT_ITEMS` items hold no matrix of pairs. There h is the mean over `SAMPLE` random
items of their exact mean distance to the 20 nearest others; `neighbour_distance` looks for neighbours
among those `SAMPLE` items, for fewer of them in proportion; kernels are computed between the candidates
asked for and `EXACT_ITEMS` random items that stand for the pool. The random items depend on the task's
key alone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from al_gym.pool.arrays import PoolArrays, grow
from al_gym.pool.distances import pool_neighbour_mean, sampled_bandwidth, sampled_neighbour_mean, squared_distances
from al_gym.streams import Stream

EXACT_ITEMS = 4096
SAMPLE = 1024
_TASKS = 16  # matrices of pairs in flight


class Geometry:
    """Lazy per-row caches over the features of one block.

    Args:
        arrays: the block's public storage.
    """

    def __init__(self, arrays: PoolArrays) -> None:
        rows, items = arrays.y.shape
        device = arrays.X.device
        self.arrays = arrays
        self._neighbour = torch.zeros(rows, items, device=device)
        self._has_neighbour = torch.zeros(rows, dtype=torch.bool, device=device)
        self._bandwidth = torch.zeros(rows, device=device)
        self._has_bandwidth = torch.zeros(rows, dtype=torch.bool, device=device)
        self._kernel = torch.zeros(0, items, items, device=device)
        self._has_kernel = torch.zeros(rows, dtype=torch.bool, device=device)
        self._nearest = torch.zeros(rows, items, device=device)
        self._nearest_count = torch.zeros(rows, dtype=torch.int64, device=device)
        self._coverage = torch.zeros(rows, items, device=device)
        self._coverage_count = torch.zeros(rows, dtype=torch.int64, device=device)

    def grow(self, arrays: PoolArrays) -> None:
        """Follow the storage to a larger number of rows."""
        rows = len(arrays.round)
        self.arrays = arrays
        for name, value in list(vars(self).items()):
            if isinstance(value, Tensor) and name != "_kernel":
                setattr(self, name, grow(value, rows))
        if len(self._kernel):
            self._kernel = self._allocate_kernel(self._kernel)

    def clear(self, row: int) -> None:
        """Forget one row; its storage now holds another task."""
        self._has_neighbour[row] = False
        self._has_bandwidth[row] = False
        self._has_kernel[row] = False
        self.unlabel(torch.tensor([row], device=self._bandwidth.device))

    def unlabel(self, rows: Tensor) -> None:
        """Forget what depends on the labelled items of `rows`; distances and kernels stay."""
        self._nearest_count[rows] = 0
        self._coverage_count[rows] = 0

    def __getstate__(self) -> dict[str, object]:
        """Caches are left out of pickles: they are recomputed to the same bits."""
        return {"arrays": self.arrays}

    def __setstate__(self, state: dict[str, PoolArrays]) -> None:
        Geometry.__init__(self, state["arrays"])

    @property
    def exact(self) -> bool:
        """Whether the pools are small enough for matrices of pairs."""
        return self.arrays.y.shape[1] <= EXACT_ITEMS

    def squared_distances(self, rows: Tensor) -> Tensor:
        """(tasks, items, items) float32, zero on the diagonal, inf where either item is padding."""
        X = self.arrays.X[rows]
        padding = self._padding(rows)
        return squared_distances(X, X).masked_fill_(padding[:, :, None] | padding[:, None, :], torch.inf)

    def _padding(self, rows: Tensor) -> Tensor:
        items = torch.arange(self.arrays.y.shape[1], device=rows.device)
        return items[None, :] >= self.arrays.n_items[rows][:, None]

    def random_items(self, rows: Tensor, size: int) -> Tensor:
        """(tasks, size) int64: distinct random items, in rising order; a function of the task's key."""
        keys = self.arrays.key[rows.cpu().numpy()]
        stream = Stream.of(keys, np.zeros(len(keys), np.int64), "geometry")
        noise = torch.from_numpy(stream.uniform(self.arrays.y.shape[1])).to(rows.device)
        chosen = noise.masked_fill(self._padding(rows), 2.0).topk(size, dim=1, largest=False).indices
        return chosen.sort(dim=1).values

    # --- bandwidth and typicality -------------------------------------------------------------------
    def _ensure_bandwidth(self, rows: Tensor) -> None:
        rows = rows[~self._has_bandwidth[rows]]
        if not len(rows):
            return
        if self.exact:
            self._ensure_neighbour(rows)
            h = self._neighbour[rows].sum(-1) / self.arrays.n_items[rows]
        else:
            sample, sizes = self.random_items(rows, SAMPLE), self.arrays.n_items[rows].tolist()
            X = self.arrays.X
            h = torch.stack([sampled_bandwidth(X[r], n, s) for r, n, s in zip(rows, sizes, sample, strict=True)])
        self._bandwidth[rows] = torch.where(h > 0, h, torch.ones_like(h))
        self._has_bandwidth[rows] = True

    def _ensure_neighbour(self, rows: Tensor) -> None:
        rows = rows[~self._has_neighbour[rows]]
        X, n_items = self.arrays.X, self.arrays.n_items
        if self.exact:
            for part in torch.split(rows, _TASKS) if len(rows) else ():
                self._neighbour[part] = pool_neighbour_mean(X[part], n_items[part])
        else:
            for row, sample in zip(rows, self.random_items(rows, SAMPLE), strict=True):
                self._neighbour[row] = sampled_neighbour_mean(X[row], int(n_items[row]), sample)
        self._has_neighbour[rows] = True

    def bandwidth(self, rows: Tensor) -> Tensor:
        """(tasks,) float32, h."""
        self._ensure_bandwidth(rows)
        return self._bandwidth[rows]

    def neighbour_distance(self, rows: Tensor) -> Tensor:
        """(tasks, items) float32: mean distance to the 20 nearest other items; 0 on padding."""
        self._ensure_neighbour(rows)
        return self._neighbour[rows]

    # --- kernels ------------------------------------------------------------------------------------
    def _allocate_kernel(self, old: Tensor) -> Tensor:
        """Storage of the kernels; calloc leaves the rows that nobody asks for without memory."""
        items, device = self.arrays.y.shape[1], self.arrays.X.device
        shape = (len(self._has_kernel), items, items)
        new = (
            torch.from_numpy(np.zeros(shape, np.float32)) if device.type == "cpu" else torch.zeros(shape, device=device)
        )
        known = self._has_kernel[: len(old)].nonzero()[:, 0]
        for row in known.tolist():
            new[row] = old[row]
        return new

    def ensure_kernel(self, rows: Tensor) -> Tensor:
        """Compute the kernels of `rows` where missing; returns the (rows, items, items) storage."""
        self._ensure_bandwidth(rows)
        if not len(self._kernel):
            self._kernel = self._allocate_kernel(self._kernel)
        missing = rows[~self._has_kernel[rows]]
        for part in torch.split(missing, _TASKS) if len(missing) else ():
            scale = -0.5 / self._bandwidth[part].square()
            self._kernel[part] = (self.squared_distances(part) * scale[:, None, None]).exp_()
        self._has_kernel[missing] = True
        return self._kernel

    def kernel(self, rows: Tensor) -> Tensor:
        """(tasks, items, items) float32; 0 where either item is padding. Pools of up to `EXACT_ITEMS` items."""
        return self.ensure_kernel(rows)[rows]

    # --- the labelled items -------------------------------------------------------------------------
    def _new_labels(self, rows: Tensor, done: Tensor) -> tuple[Tensor, Tensor]:
        """Positions labelled since `done`: (tasks, new) int64 with -1 for none, and the rows' counts."""
        count = self.arrays.count[rows]
        width = int((count - done).max())
        slot = done[:, None] + torch.arange(width, device=rows.device)[None, :]
        order = self.arrays.order[rows].gather(1, slot.clamp(max=self.arrays.order.shape[1] - 1))
        return order.masked_fill(slot >= count[:, None], -1), count

    def nearest_labelled(self, rows: Tensor) -> Tensor:
        """(tasks, items) float32: squared distance to the nearest labelled item, inf if none is; 0 on padding."""
        stale = rows[(self._nearest_count[rows] != self.arrays.count[rows]) | (self._nearest_count[rows] == 0)]
        if len(stale):
            new, count = self._new_labels(stale, self._nearest_count[stale])
            best = torch.where(self._nearest_count[stale][:, None] == 0, torch.inf, self._nearest[stale])
            X = self.arrays.X[stale]
            for j in range(new.shape[1]):
                item = new[:, j]
                z = X[torch.arange(len(stale), device=X.device), item.clamp(min=0)]
                d2 = (X - z[:, None, :]).square().sum(-1)
                best = torch.where((item >= 0)[:, None], torch.minimum(best, d2), best)
            self._nearest[stale] = best.masked_fill(self._padding(stale), 0.0)
            self._nearest_count[stale] = count
        return self._nearest[rows]

    def coverage(self, rows: Tensor) -> Tensor:
        """(tasks, items) float32 in [0, 1]: largest kernel value to a labelled item; 0 on padding."""
        if not self.exact:
            scale = -0.5 / self.bandwidth(rows).square()
            return (self.nearest_labelled(rows) * scale[:, None]).exp_().masked_fill_(self._padding(rows), 0.0)
        kernel = self.ensure_kernel(rows)
        stale = rows[self._coverage_count[rows] != self.arrays.count[rows]]
        if len(stale):
            new, count = self._new_labels(stale, self._coverage_count[stale])
            best = torch.where(self._coverage_count[stale][:, None] == 0, 0.0, self._coverage[stale])
            for j in range(new.shape[1]):
                item = new[:, j]
                k = kernel[stale, item.clamp(min=0)]
                best = torch.where((item >= 0)[:, None], torch.maximum(best, k), best)
            self._coverage[stale] = best
            self._coverage_count[stale] = count
        return torch.where(self._coverage_count[rows][:, None] == 0, 0.0, self._coverage[rows])
