"""Distances, kernels and coverage of a block's pools, computed when first asked for and kept.

The kernel is K(x, z) = exp(-d^2 / 2h^2) with d Euclidean on the scaled features and h the mean over
the pool of the mean distance to the 20 nearest other items, 1 if that is 0 (CONTRACT, campaign rules).
"""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym.pool.arrays import PoolArrays, grow

NEIGHBOURS = 20


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
        self._bandwidth = torch.zeros(rows, device=device)
        self._has_bandwidth = torch.zeros(rows, dtype=torch.bool, device=device)
        self._kernel = torch.zeros(rows, 0, 0, device=device)
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
            if isinstance(value, Tensor):
                setattr(self, name, grow(value, rows))

    def clear(self, row: int) -> None:
        """Forget one row; its storage now holds another task."""
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

    def squared_distances(self, rows: Tensor) -> Tensor:
        """(tasks, items, items) float32, zero on the diagonal, inf where either item is padding."""
        X = self.arrays.X[rows]
        square = (X * X).sum(-1)
        d2 = torch.baddbmm((square[:, :, None] + square[:, None, :]), X, X.transpose(1, 2), alpha=-2).clamp_(min=0)
        d2.diagonal(dim1=1, dim2=2).zero_()
        padding = self._padding(rows)
        return d2.masked_fill_(padding[:, :, None] | padding[:, None, :], torch.inf)

    def _padding(self, rows: Tensor) -> Tensor:
        items = torch.arange(self.arrays.y.shape[1], device=rows.device)
        return items[None, :] >= self.arrays.n_items[rows][:, None]

    def _ensure_bandwidth(self, rows: Tensor) -> None:
        rows = rows[~self._has_bandwidth[rows]]
        for part in torch.split(rows, 16):
            d2 = self.squared_distances(part)
            d2.diagonal(dim1=1, dim2=2).fill_(torch.inf)
            n = self.arrays.n_items[part]
            k = min(NEIGHBOURS, d2.shape[1] - 1)
            near = d2.topk(k, dim=2, largest=False).values.sqrt()
            used = torch.minimum(n - 1, torch.full_like(n, k)).clamp(min=1)
            near = near.masked_fill(torch.arange(k, device=n.device)[None, None, :] >= used[:, None, None], 0.0)
            mean = (near.sum(-1) / used[:, None]).masked_fill(self._padding(part), 0.0)
            h = mean.sum(-1) / n
            self._neighbour[part] = mean
            self._bandwidth[part] = torch.where(h > 0, h, torch.ones_like(h))
            self._has_bandwidth[part] = True

    def bandwidth(self, rows: Tensor) -> Tensor:
        """(tasks,) float32, h."""
        self._ensure_bandwidth(rows)
        return self._bandwidth[rows]

    def neighbour_distance(self, rows: Tensor) -> Tensor:
        """(tasks, items) float32: mean distance to the 20 nearest other items; 0 on padding."""
        self._ensure_bandwidth(rows)
        return self._neighbour[rows]

    def ensure_kernel(self, rows: Tensor) -> Tensor:
        """Compute the kernels of `rows` where missing; returns the (rows, items, items) storage."""
        self._ensure_bandwidth(rows)
        items = self.arrays.y.shape[1]
        if self._kernel.shape[1] != items:
            self._kernel = torch.zeros(len(self._bandwidth), items, items, device=rows.device)
        missing = rows[~self._has_kernel[rows]]
        for part in torch.split(missing, 16):
            scale = -0.5 / self._bandwidth[part].square()
            self._kernel[part] = (self.squared_distances(part) * scale[:, None, None]).exp_()
            self._has_kernel[part] = True
        return self._kernel

    def kernel(self, rows: Tensor) -> Tensor:
        """(tasks, items, items) float32; 0 where either item is padding."""
        return self.ensure_kernel(rows)[rows]

    def _new_labels(self, rows: Tensor, done: Tensor) -> tuple[Tensor, Tensor]:
        """Positions labelled since `done`: (tasks, new) int64 with -1 for none, and the rows' counts."""
        count = self.arrays.count[rows]
        width = int((count - done).max())
        slot = done[:, None] + torch.arange(width, device=rows.device)[None, :]
        order = self.arrays.order[rows].gather(1, slot.clamp(max=self.arrays.order.shape[1] - 1))
        return order.masked_fill(slot >= count[:, None], -1), count

    def nearest_labelled(self, rows: Tensor) -> Tensor:
        """(tasks, items) float32: squared distance to the nearest labelled item; 0 on padding."""
        stale = rows[self._nearest_count[rows] != self.arrays.count[rows]]
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
        return self._coverage[rows]
