"""Storage of large pools in temporary files that are mapped into memory.

The features of a large pool, scaled, do not have to stay in memory: the operating system drops pages of a mapped file
when it needs the memory. A file has no name once it is open, so that it goes with its process, whatever ends that.
"""

from __future__ import annotations

import tempfile
from math import prod

import numpy as np
import torch
from torch import Tensor

MAPPED_BYTES = 2**26
"""From this size on, the features of ONE campaign lie in a file."""

BLOCK_BYTES = 2**24
"""Float64 bytes that work on large features holds at once."""


def is_large(items: int, features: int) -> bool:
    """Whether features (items, features) float32 lie in a file: a function of one task, not of its batch."""
    return 4 * items * features >= MAPPED_BYTES


def block_rows(features: int) -> int:
    """Rows of features to work on at once."""
    return max(1, BLOCK_BYTES // (8 * max(features, 1)))


def feature_storage(rows: int, *shape: int, device: torch.device) -> Tensor:
    """(rows, *shape) float32 zeros: on the CPU and if large, in a file in Python's temporary folder (TMPDIR)."""
    if device.type != "cpu" or not is_large(prod(shape), 1):
        return torch.zeros(rows, *shape, device=device)
    size = 4 * rows * prod(shape)
    with tempfile.TemporaryFile(prefix="al_gym-pool-") as file:
        file.truncate(size)
        return torch.from_numpy(np.memmap(file, np.float32, "r+", shape=(rows, *shape)).view(np.ndarray))


def grown_storage(old: Tensor, rows: int) -> Tensor:
    """A copy with `rows` rows, the new ones zero, one row of the old at a time."""
    new = feature_storage(rows, *old.shape[1:], device=old.device)
    for row in range(len(old)):
        new[row] = old[row]
    return new
