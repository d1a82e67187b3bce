"""Struct-of-arrays storage of the campaigns that share one padded shape."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from al_gym.pool.tiles import allocate_tiles
from al_gym.storage import feature_storage, grown_storage, is_large

_FEATURE_PADS = (8, 32, 128, 256, 384, 512, 768, 1024)
_CLASS_PADS = (2, 8, 24, 64, 128)
# Compiled kernels work at true sizes: padding costs them memory alone, and fewer shapes mean fewer calls.
_COMPILED_FEATURE_PADS = (32, 128, 256, 384, 512, 768, 1024)
_COMPILED_CLASS_PADS = (24, 64, 128)


def pad(size: int, pads: tuple[int, ...]) -> int:
    """The smallest of `pads` that holds `size`, else the next multiple of the largest."""
    for bound in pads:
        if size <= bound:
            return bound
    return -(-size // pads[-1]) * pads[-1]


def pad_power(size: int, least: int = 16) -> int:
    """The next power of two, at least `least`."""
    return max(least, 1 << (max(size, 1) - 1).bit_length())


def pad_nominal(size: int, nominal: int) -> int:
    """`nominal` if `size` is at least an eighth of it, else the next power of two."""
    return nominal if size <= nominal <= 8 * size else pad_power(size)


@dataclass(frozen=True)
class Shape:
    """Padded sizes of a block: a function of the task and the campaign's settings, never of batch mates."""

    items: int
    features: int
    classes: int
    labels: int
    holdout: int

    @classmethod
    def of(
        cls,
        items: int,
        features: int,
        classes: int,
        labels: int,
        holdout: int,
        nominal: tuple[int, int] = (0, 0),
        compiled: bool = False,
    ) -> Shape:
        """The padded shape for true sizes.

        Args:
            items, features, classes, labels, holdout: true sizes; labels is the seed set plus the budget.
            nominal: pool and holdout sizes of the settings; a size of at least an eighth of its own is padded to it.
            compiled: whether numba kernels will work on the storage.

        Features and classes of a large pool are hardly padded: `al_gym.storage`.
        """
        if is_large(items, features):
            return cls(
                pad_nominal(items, nominal[0]),
                -(-features // 8) * 8,
                max(classes, 2),
                pad_power(labels),
                pad_nominal(holdout, nominal[1]),
            )
        return cls(
            pad_nominal(items, nominal[0]),
            pad(features, _COMPILED_FEATURE_PADS if compiled else _FEATURE_PADS),
            pad(classes, _COMPILED_CLASS_PADS if compiled else _CLASS_PADS),
            min(pad_power(labels), pad_power(items)),
            pad_nominal(holdout, nominal[1]),
        )


Array = TypeVar("Array", Tensor, np.ndarray)


@dataclass
class PoolArrays:
    """What may be known about each campaign: no unrevealed label is stored here (promise P2).

    The first dimension is the row of the block; everything outside a task's true sizes is zero
    (labels: -1). Features are item-major, everything with classes is class-major.

    Attributes:
        X: (rows, items, features) float32, scaled.
        tiles: (rows, tiles, features, 64) float32, the same as `al_gym.pool.tiles` lays it out; no rows where the
            learner does not read tiles, and for large pools.
        n_items, n_features, n_classes: (rows,) int64 true sizes.
        labelled: (rows, items) bool.
        y: (rows, items) int64, the revealed label or -1.
        order: (rows, labels) int64, positions in the order they were labelled, seed set first, or -1.
        XL: (rows, labels, features) float32, features in that order. yL: (rows, labels) int64, or -1.
        count: (rows,) int64 labels so far. initial: (rows,) int64 size of the seed set.
        seen: (rows, classes) bool, classes with a revealed label.
        proba: (rows, classes, items) float32 of the current model.
        top1, top2, entropy: (rows, items) float32, largest and second probability, entropy in nats.
        predicted: (rows, items) int64, class of `top1`. previous: (rows, items) int64, that of the last round.
        round: (rows,) int64, queries so far. budget: (rows,) int64, labels to buy after the seed set.
        last_batch: (rows,) int64, labels of the last round.
        prequential: (rows, 4) float32: accuracy and log-loss of the model on the last batch before its
            labels came, and their exponential means (rate 0.3); 0.5 and 0 before the first round.
        key: (rows,) uint64 on the CPU, the tasks' stream keys.
    """

    X: Tensor
    tiles: Tensor
    n_items: Tensor
    n_features: Tensor
    n_classes: Tensor
    labelled: Tensor
    y: Tensor
    order: Tensor
    XL: Tensor
    yL: Tensor
    count: Tensor
    initial: Tensor
    seen: Tensor
    proba: Tensor
    top1: Tensor
    top2: Tensor
    entropy: Tensor
    predicted: Tensor
    previous: Tensor
    round: Tensor
    budget: Tensor
    last_batch: Tensor
    prequential: Tensor
    key: np.ndarray

    @cached_property
    def numpy(self) -> SimpleNamespace:
        """The same storage as numpy arrays, for compiled kernels; CPU only."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        return SimpleNamespace(**{name: a if isinstance(a, np.ndarray) else a.numpy() for name, a in arrays.items()})

    def __getstate__(self) -> dict[str, Tensor | np.ndarray]:
        """Pickled without the numpy aliases, which would become copies."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def allocate(cls, shape: Shape, rows: int, device: torch.device, *, tiled: bool = False) -> PoolArrays:
        """Empty storage for `rows` campaigns; `tiled`: with `tiles`, where the pools are not large."""

        def full(value: float, dtype: torch.dtype, *size: int) -> Tensor:
            return torch.full((rows, *size), value, dtype=dtype, device=device)

        n, d, c, m = shape.items, shape.features, shape.classes, shape.labels
        f, i, b = torch.float32, torch.int64, torch.bool
        return cls(
            X=feature_storage(rows, n, d, device=device),
            tiles=allocate_tiles(rows if tiled and not is_large(n, d) else 0, n, d),
            n_items=full(0, i), n_features=full(0, i), n_classes=full(0, i),
            labelled=full(0, b, n), y=full(-1, i, n), order=full(-1, i, m), XL=full(0, f, m, d), yL=full(-1, i, m),
            count=full(0, i), initial=full(0, i), seen=full(0, b, c), proba=full(0, f, c, n), top1=full(0, f, n),
            top2=full(0, f, n), entropy=full(0, f, n), predicted=full(0, i, n), previous=full(0, i, n),
            round=full(0, i), budget=full(0, i), last_batch=full(0, i), prequential=full(0, f, 4),
            key=np.zeros(rows, np.uint64),
        )  # fmt: skip

    def grown(self, rows: int) -> PoolArrays:
        """A copy with room for `rows` campaigns."""
        apart = ("X",) if len(self.tiles) else ("X", "tiles")
        arrays: dict[str, Any] = {
            f.name: grow(getattr(self, f.name), rows) for f in fields(self) if f.name not in apart
        }
        arrays["X"] = grown_storage(self.X, rows)
        arrays.setdefault("tiles", self.tiles)
        return PoolArrays(**arrays)

    def clear(self, row: int) -> None:
        """Empty one row."""
        arrays = vars(self.numpy if self.X.device.type == "cpu" else self)  # numpy's writes cost a tenth of torch's
        for name, array in arrays.items():
            if name != "tiles":  # a new campaign writes them whole
                array[row] = -1 if name in ("y", "order", "yL") else 0


def grow(array: Array, rows: int) -> Array:
    """A copy of `array` with `rows` rows, the new ones zero."""
    if isinstance(array, np.ndarray):
        return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])
    return torch.cat([array, array.new_zeros((rows - len(array), *array.shape[1:]))])
