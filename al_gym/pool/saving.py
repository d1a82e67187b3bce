"""Copies of what a round changes, for looking one round ahead and going back."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from al_gym.pool.arrays import PoolArrays

_CHANGING = (
    "labelled", "y", "order", "XL", "yL", "count", "seen", "proba", "top1", "top2", "entropy", "predicted", "previous",
    "round", "last_batch", "prequential",
)  # fmt: skip

Saved = tuple[dict[str, Tensor], dict[str, Any]]


def save_rows(pool: PoolArrays, state: dict[str, Any], rows: Tensor) -> Saved:
    """A copy of some rows of the storage and of a learner's state; lists of objects are deep-copied."""
    learned = {
        key: copy.deepcopy([value[r] for r in rows.tolist()]) if isinstance(value, list) else value[rows]
        for key, value in state.items()
    }
    return {name: getattr(pool, name)[rows] for name in _CHANGING}, learned


def restore_rows(pool: PoolArrays, state: dict[str, Any], rows: Tensor, saved: Saved) -> None:
    """Put back what `save_rows` copied."""
    arrays, learned = saved
    for name, array in arrays.items():
        getattr(pool, name)[rows] = array
    for key, values in learned.items():
        if isinstance(values, list):
            for row, value in zip(rows.tolist(), values, strict=True):
                state[key][row] = value
        else:
            state[key][rows] = values
