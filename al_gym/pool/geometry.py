"""Distances, kernels and coverage of a block's pools, computed when first asked for and kept.

The kernel is K(x, z) = exp(-d^2 / 2h^2) with d Euclidean on the scaled features and h the mean over
the pool of the mean distance to the 20 nearest other items, 1 if that is 0 (CONTRACT, campaign rules).

Pools of more than `EXACT_ITEMS` items hold no matrix of pairs. There h is the mean over `QUERIES` random
items of their exact mean distance to the 20 nearest others; `neighbour_distance` looks for neighbours
among `SAMPLE` random items, for fewer of them in proportion; kernels are computed between the candidates
asked for and `EXACT_ITEMS` random items that stand for the pool, or kept among a smaller sample (`sample`). The random
items depend on the task's key alone.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from al_gym import kernels
from al_gym.pool import distances
from al_gym.pool.arrays import PoolArrays, grow
from al_gym.pool.sample import PoolSample
from al_gym.pool.tiles import allocate_tiles, write_tiles
from al_gym.storage import feature_storage, grown_storage
from al_gym.streams import Stream

EXACT_ITEMS = 4096
QUERIES = 512
SAMPLE = 1024


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
        self._tiles = torch.zeros(0, *allocate_tiles(0, items, arrays.X.shape[2]).shape[1:])
        self._has_tiles = torch.zeros(rows, dtype=torch.bool)
        self._nearest = torch.zeros(rows, items, device=device)
        self._nearest_count = torch.zeros(rows, dtype=torch.int64, device=device)
        self._coverage = torch.zeros(rows, items, device=device)
        self._coverage_count = torch.zeros(rows, dtype=torch.int64, device=device)
        self._gain = torch.zeros(0, items, dtype=torch.float64, device=device)
        self._has_gain = torch.zeros(rows, dtype=torch.bool, device=device)
        self._sample: PoolSample | None = None

    def grow(self, arrays: PoolArrays) -> None:
        """Follow the storage to a larger number of rows."""
        rows = len(arrays.round)
        self.arrays = arrays
        for name, value in list(vars(self).items()):
            if isinstance(value, Tensor) and len(value) and name not in ("_kernel", "_tiles"):
                setattr(self, name, grow(value, rows))
        if len(self._tiles):
            self._tiles = grown_storage(self._tiles, rows)
        if len(self._kernel):
            self._kernel = self._allocate_kernel(self._kernel)
        if self._sample is not None:
            self._sample.grow(rows)

    def clear(self, row: int) -> None:
        """Forget one row; its storage now holds another task."""
        for flags in (self._has_neighbour, self._has_bandwidth, self._has_kernel, self._has_tiles, self._has_gain):
            flags[row] = False
        self._nearest_count[row] = self._coverage_count[row] = 0
        if self._sample is not None:
            self._sample.clear(row)

    def unlabel(self, rows: Tensor) -> None:
        """Forget what depends on the labelled items of `rows`; distances and kernels stay."""
        self._nearest_count[rows] = 0
        self._coverage_count[rows] = 0
        self._has_gain[rows] = False
        if self._sample is not None:
            self._sample.unlabel(rows)

    def __getstate__(self) -> dict[str, object]:
        """Caches are left out of pickles: they are recomputed to the same bits."""
        return {"arrays": self.arrays}

    def __setstate__(self, state: dict[str, PoolArrays]) -> None:
        Geometry.__init__(self, state["arrays"])

    @property
    def exact(self) -> bool:
        """Whether the pools are small enough for matrices of pairs."""
        return self.arrays.y.shape[1] <= EXACT_ITEMS

    @property
    def _backend(self) -> ModuleType:
        """Where the distances are computed: numba on the CPU if it can be used, else torch."""
        return kernels.load("geometry") if self._bandwidth.device.type == "cpu" and kernels.available() else distances

    def tiles(self, rows: Tensor) -> Tensor:
        """The (rows, tiles, features, TILE) storage of the features in tiles, up to date for `rows`; CPU only.

        It is that of the block where there is one, and of its own, written when first asked for, elsewhere.
        """
        arrays = self.arrays
        if len(arrays.tiles):
            return arrays.tiles
        if not len(self._tiles):
            self._tiles = feature_storage(len(self._has_tiles), *self._tiles.shape[1:], device=arrays.X.device)
        for row in rows[~self._has_tiles[rows]].tolist():
            n, d = int(arrays.n_items[row]), int(arrays.n_features[row])
            write_tiles(arrays.X[row, :n, :d].numpy(), self._tiles[row].numpy())
            self._has_tiles[row] = True
        return self._tiles

    def _features(self, rows: Tensor) -> Tensor:
        """The features in the layout of the backend."""
        return self.arrays.X if self._backend is distances else self.tiles(rows)

    def squared_distances(self, rows: Tensor) -> Tensor:
        """(tasks, items, items) float32, zero on the diagonal, inf where either item is padding."""
        X = self.arrays.X[rows]
        outside = distances.padding(X.shape[1], self.arrays.n_items[rows])
        d2 = distances.squared_distances(X, X)
        return d2.masked_fill_(outside[:, :, None] | outside[:, None, :], torch.inf)

    def random_items(self, rows: Tensor, size: int) -> Tensor:
        """(tasks, size) int64: distinct random items, in rising order; a function of the task's key."""
        keys = self.arrays.key[rows.cpu().numpy()]
        stream = Stream.of(keys, np.zeros(len(keys), np.int64), "geometry")
        noise = torch.from_numpy(stream.uniform(self.arrays.y.shape[1])).to(rows.device)
        chosen = (
            noise.masked_fill(distances.padding(noise.shape[1], self.arrays.n_items[rows]), 2.0)
            .topk(size, dim=1, largest=False)
            .indices
        )
        return chosen.sort(dim=1).values

    @property
    def sample(self) -> PoolSample:
        """Kernels among a random sample of each pool; for pools of more than `EXACT_ITEMS` items."""
        if self._sample is None:
            self._sample = PoolSample(self, self._backend)
        return self._sample

    # --- bandwidth and typicality -------------------------------------------------------------------
    def _ensure_bandwidth(self, rows: Tensor) -> None:
        rows = rows[~self._has_bandwidth[rows]]
        if not len(rows):
            return
        if self.exact:
            self._ensure_neighbour(rows)
            return
        for row, sample in zip(rows.tolist(), self.random_items(rows, QUERIES), strict=True):
            pool = torch.arange(int(self.arrays.n_items[row]), device=rows.device)
            mean = self._nearest_means(row, sample, pool, distances.NEIGHBOURS)
            self._bandwidth[row] = distances.positive_or_one(mean.mean())
        self._has_bandwidth[rows] = True

    def _ensure_neighbour(self, rows: Tensor) -> None:
        rows, a = rows[~self._has_neighbour[rows]], self.arrays
        if not len(rows):
            return
        if self.exact and len(self._kernel):
            self.ensure_kernel(rows)  # somebody uses kernels here: one pass over the pairs instead of two
        elif self.exact:
            self._backend.neighbour_means(
                self._features(rows), rows, a.n_items, a.n_features, self._neighbour, self._bandwidth
            )
            self._has_bandwidth[rows] = True
        else:
            for row, sample in zip(rows.tolist(), self.random_items(rows, SAMPLE), strict=True):
                n = int(a.n_items[row])
                pool = torch.arange(n, device=rows.device)
                used = max(1, round(distances.NEIGHBOURS * SAMPLE / n))
                self._neighbour[row, :n] = self._nearest_means(row, pool, sample, used)
                self._neighbour[row, n:] = 0
        self._has_neighbour[rows] = True

    def _nearest_means(self, row: int, items: Tensor, others: Tensor, used: int) -> Tensor:
        features = int(self.arrays.n_features[row])
        mean: Tensor = self._backend.nearest_means(self.arrays.X[row], features, items, others, used)
        return mean

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
        if not len(self._kernel):
            self._kernel = self._allocate_kernel(self._kernel)
        rows, a = rows[~self._has_kernel[rows]], self.arrays
        if len(rows):
            known, mean, h = self._has_neighbour, self._neighbour, self._bandwidth
            X = self._features(rows)
            self._backend.kernel_matrices(X, rows, a.n_items, a.n_features, known, mean, h, self._kernel)
            for flag in (self._has_neighbour, self._has_bandwidth, self._has_kernel):
                flag[rows] = True
        return self._kernel

    def kernel(self, rows: Tensor) -> Tensor:
        """(tasks, items, items) float32; 0 where either item is padding. Pools of up to `EXACT_ITEMS` items."""
        return self.ensure_kernel(rows)[rows]

    # --- the labelled items -------------------------------------------------------------------------
    def nearest_labelled(self, rows: Tensor) -> Tensor:
        """(tasks, items) float32: squared distance to the nearest labelled item, inf if none is; 0 on padding."""
        a, done = self.arrays, self._nearest_count
        stale = rows[(done[rows] != a.count[rows]) | (done[rows] == 0)]
        if len(stale):
            known = (a.n_items, a.n_features, a.order, a.count)
            self._backend.update_nearest(self._features(stale), stale, *known, done, self._nearest)
        return self._nearest[rows]

    def coverage(self, rows: Tensor) -> Tensor:
        """(tasks, items) float32 in [0, 1]: largest kernel value to a labelled item; 0 on padding."""
        a, done = self.arrays, self._coverage_count
        if not self.exact:
            scale = -0.5 / self.bandwidth(rows).square()
            covered = (self.nearest_labelled(rows) * scale[:, None]).exp_()
            return covered.masked_fill_(distances.padding(covered.shape[1], a.n_items[rows]), 0.0)
        kernel = self.ensure_kernel(rows)
        stale = rows[(done[rows] != a.count[rows]) | (done[rows] == 0)]
        if len(stale):
            self._backend.update_coverage(kernel, stale, a.n_items, a.order, a.count, done, self._coverage)
        return self._coverage[rows]

    def gain_bounds(self, rows: Tensor) -> Tensor:
        """(tasks, items) float64: what each item can at most add to the sum of `coverage`; inf if unknown.

        Coverage only grows, so gains only fall: a gain computed in an earlier round is a bound for this one.
        """
        if not len(self._gain):
            self._gain = torch.zeros(self.arrays.y.shape, dtype=torch.float64, device=rows.device)
        return torch.where(self._has_gain[rows][:, None], self._gain[rows], torch.inf)

    def keep_gain_bounds(self, rows: Tensor, bounds: Tensor) -> None:
        """Remember gains against the present coverage for later rounds; bounds as from `gain_bounds`."""
        self._gain[rows] = bounds
        self._has_gain[rows] = True
