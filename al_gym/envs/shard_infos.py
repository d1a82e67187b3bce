"""Vector infos of the shards, put together to those of all environments, and options taken apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

NESTED = "final_info"  # the one info that is a vector info itself


def join_infos(parts: Sequence[Mapping[str, Any] | None], sizes: Sequence[int]) -> dict[str, Any]:
    """One vector info, in the layout of `VectorEnv._add_info`.

    Args:
        parts: the infos of each shard, None for one that was not asked.
        sizes: environments of each shard.
    """
    keys = dict.fromkeys(key for part in parts if part is not None for key in part)
    joined: dict[str, Any] = {}
    for key in keys:
        columns = [None if part is None else part.get(key) for part in parts]
        if key == NESTED:
            joined[key] = join_infos(columns, sizes)
        else:
            joined[key] = _join_columns(columns, sizes)
    return joined


def _join_columns(columns: Sequence[Any], sizes: Sequence[int]) -> np.ndarray[Any, Any]:
    """(sum of sizes, ...) array; the rows of a shard without the column are 0, or None for objects."""
    first = next(column for column in columns if column is not None)
    missing = None if first.dtype == object else 0
    filled = [
        np.full((size, *first.shape[1:]), missing, dtype=first.dtype) if column is None else column
        for column, size in zip(columns, sizes, strict=True)
    ]
    return np.concatenate(filled)
