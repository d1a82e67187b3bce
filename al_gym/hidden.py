"""What strategies, observations and policies never see of a campaign (promise P2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.pool import Shape
from al_gym.pool.arrays import grow
from al_gym.pool.tiles import allocate_tiles, read_tiles, write_tiles


@dataclass
class Hidden:
    """What a campaign must not show: the oracle's answers `y`, and the holdout with its class sizes.

    Attributes:
        y: (rows, items) int64, what the oracle answers, -1 on padding.
        X: (rows, holdout items, features) float32, or in tiles (`al_gym.pool.tiles`) for learners that read them.
        labels: (rows, holdout items) int64, -1 on padding.
        count: (rows,) int64, holdout items. size: (rows, classes) int64, of each class.
    """

    y: Tensor
    X: Tensor
    labels: Tensor
    count: Tensor
    size: Tensor

    @classmethod
    def allocate(cls, shape: Shape, rows: int, device: torch.device, *, tiled: bool) -> Hidden:
        """Empty storage for `rows` campaigns; `tiled`: with the holdout in tiles."""
        size = rows, shape.holdout, shape.features
        return cls(
            torch.full((rows, shape.items), -1, device=device),
            allocate_tiles(*size) if tiled else torch.zeros(size, device=device),
            torch.full((rows, shape.holdout), -1, device=device),
            torch.zeros(rows, dtype=torch.int64, device=device),
            torch.zeros(rows, shape.classes, dtype=torch.int64, device=device),
        )

    def load(self, row: int, X: NDArray[np.float32]) -> None:
        """Write the features (items, features) of one holdout; what lies beyond becomes zero."""
        if self.X.dim() == 4:
            write_tiles(X, self.X[row].numpy())
        else:
            self.X[row] = 0
            self.X[row, : len(X), : X.shape[1]] = torch.from_numpy(X)

    def features(self, rows: Tensor) -> Tensor:
        """(n, items, features) of some rows."""
        return read_tiles(self.X[rows], self.labels.shape[1]) if self.X.dim() == 4 else self.X[rows]

    def grown(self, rows: int) -> Hidden:
        """A copy with room for `rows` campaigns."""
        return Hidden(*(grow(a, rows) for a in (self.y, self.X, self.labels, self.count, self.size)))
