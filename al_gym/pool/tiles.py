"""Features in tiles of items: what linear models score a pool from, and what distances are computed from.

A tile holds 64 items feature-major, so that one pass over it in memory order gives the logits, or the distances to an
item, of all of them with the items side by side. Rows of `X` (items, features) become (tiles, features, 64).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TILE = 64
"""Items of a tile."""


def allocate_tiles(rows: int, items: int, features: int) -> Tensor:
    """(rows, tiles, features, TILE) float32 zeros with room for `items`."""
    return torch.zeros(rows, -(-items // TILE), features, TILE)


def write_tiles(X: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write X (items, features) to `out` (tiles, features, TILE), as large or larger; what lies beyond becomes zero."""
    n, d = X.shape
    whole = n // TILE
    out[whole:] = 0
    out[:whole, d:] = 0
    out[:whole, :d] = X[: whole * TILE].reshape(whole, TILE, d).swapaxes(1, 2)
    if n % TILE:
        out[whole, :d, : n % TILE] = X[whole * TILE :].T


def as_tiles(X: Tensor) -> Tensor:
    """(rows, tiles, features, TILE) from X (rows, items, features), zero beyond the items."""
    whole = torch.nn.functional.pad(X, (0, 0, 0, -X.shape[1] % TILE))
    return whole.unflatten(1, (-1, TILE)).mT.contiguous()


def read_tiles(tiles: Tensor, items: int) -> Tensor:
    """(rows, items, features) from (rows, tiles, features, TILE)."""
    return tiles.mT.flatten(1, 2)[:, :items]
