"""A labelled dataset: features, labels, and what splitting and reporting need to know."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import DatasetError, ParameterError
from al_gym.storage import block_rows

MODALITIES = ("tabular", "image-embedding", "image-raw", "text-embedding")
#: What `Dataset.sides` says of a row: where a split may put it.
ANY_SIDE, POOL_ONLY, HOLDOUT_ONLY = 0, 1, 2
SIDE_WORDS = {"any": ANY_SIDE, "pool": POOL_ONLY, "test": HOLDOUT_ONLY}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Features and labels of one classification dataset.

    Attributes:
        name: unique within a task distribution.
        X: (items, features), float16/32/64 or uint8, finite, not scaled; may be a memory map.
        y: (items,) int64 in 0..classes-1.
        class_names: one name a class; its length is the number of classes.
        modality: one of `MODALITIES`; decides the default scaling.
        family: datasets of one family never stand on both sides of a meta-split; `name` if empty.
        source: where the data came from, for reports.
        sides: (items,) int8 or None: `ANY_SIDE`, `POOL_ONLY` or `HOLDOUT_ONLY`, for data whose validation and test
            items come from another domain than the pool (other weather, next year); None if a split may put every row
            anywhere.
        groups: (items,) int64 or None: rows of one group (a hospital, a patient, a drive) never stand in pool and
            holdout of one task. Not together with `sides`.

    Raises:
        DatasetError: shapes do not match, a value is not finite, fewer than two classes, sides or groups that leave a
            split no choice.
        ParameterError: unknown modality.
    """

    name: str
    X: NDArray[Any]
    y: NDArray[np.int64]
    class_names: tuple[str, ...]
    modality: str = "tabular"
    family: str = ""
    source: str = ""
    sides: NDArray[np.int8] | None = None
    groups: NDArray[np.int64] | None = None
    check: bool = field(default=True, repr=False)

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise ParameterError(f"{self.name}: modality {self.modality!r} is not one of {', '.join(MODALITIES)}.")
        object.__setattr__(self, "y", np.asarray(self.y).astype(np.int64, copy=False))
        object.__setattr__(self, "family", self.family or self.name)
        object.__setattr__(self, "class_names", tuple(str(c) for c in self.class_names))
        if self.sides is not None:
            object.__setattr__(self, "sides", np.asarray(self.sides, dtype=np.int8))
        if self.groups is not None:
            object.__setattr__(self, "groups", np.asarray(self.groups, dtype=np.int64))
        if self.check:
            self._validate()
            self._check_sides()

    def _validate(self) -> None:
        X, y, name = self.X, self.y, self.name
        if X.ndim != 2 or y.ndim != 1:
            raise DatasetError(f"{name}: X must be (items, features) and y (items,), got {X.shape} and {y.shape}.")
        if len(X) != len(y):
            raise DatasetError(f"{name}: X has {len(X)} items but y has {len(y)} labels.")
        if X.shape[1] == 0:
            raise DatasetError(f"{name}: no feature column.")
        if len(y) and (y.min() < 0 or y.max() >= self.n_classes):
            raise DatasetError(f"{name}: labels must lie in 0..{self.n_classes - 1}, got {y.min()}..{y.max()}.")
        if len(np.unique(y)) < 2:
            raise DatasetError(f"{name}: one class only; a classifier needs two.")
        if X.dtype.kind == "f":
            self._check_finite()

    def _check_sides(self) -> None:
        if self.sides is not None and self.groups is not None:
            raise DatasetError(f"{self.name}: give sides or groups, not both; sides already keep pool and test apart.")
        for name, values in (("sides", self.sides), ("groups", self.groups)):
            if values is not None and values.shape != self.y.shape:
                raise DatasetError(
                    f"{self.name}: {name} must be (items,), got {values.shape} for {self.n_items} items."
                )
        if self.sides is not None and not np.isin(self.sides, (ANY_SIDE, POOL_ONLY, HOLDOUT_ONLY)).all():
            raise DatasetError(f"{self.name}: sides must be 0 (any), 1 (pool) or 2 (test), got {set(self.sides)}.")
        if self.groups is not None and len(np.unique(self.groups)) < 2:
            raise DatasetError(f"{self.name}: one group only; a split needs one for the pool and one to test on.")

    def _check_finite(self) -> None:
        largest = np.finfo(np.float32).max
        for start in range(0, len(self.X), 65536):
            part = self.X[start : start + 65536]
            low, high = part.min(), part.max()  # NaN if any value is NaN
            if not (np.isfinite(low) and np.isfinite(high)):
                raise DatasetError(f"{self.name}: non-finite values in X; fill or drop them.")
            if part.dtype == np.float64 and max(abs(low), abs(high)) > largest:
                raise DatasetError(f"{self.name}: values in X pass float32 ({largest:.3g}); rescale that column.")

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.y)

    @property
    def n_features(self) -> int:
        """Number of feature columns."""
        return int(self.X.shape[1])

    @property
    def n_classes(self) -> int:
        """Number of classes, whether or not each one has items."""
        return len(self.class_names)

    @cached_property
    def content_hash(self) -> bytes:
        """SHA-256 of the features as float32 (never of the labels); splits depend on it."""
        digest = hashlib.sha256(repr(self.X.shape).encode())
        size = block_rows(self.n_features)
        for start in range(0, len(self.X), size):
            digest.update(np.ascontiguousarray(self.X[start : start + size], dtype=np.float32).data)
        return digest.digest()

    @classmethod
    def from_arrays(
        cls,
        name: str,
        X: Any,
        y: Any,
        *,
        modality: str = "tabular",
        family: str = "",
        source: str = "",
        sides: Any = None,
        groups: Any = None,
    ) -> Dataset:
        """Build from any labels: integers or strings are mapped to 0..classes-1 in sorted order.

        `sides` may be words (see `SIDE_WORDS`) and `groups` any labels.

        Raises:
            DatasetError: X is not numeric, or as for the class.
        """
        labels = np.asarray(y)
        if labels.ndim != 1:
            raise DatasetError(f"{name}: y must be (items,), got shape {labels.shape}.")
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise DatasetError(f"{name}: labels hold NaN or inf; drop these rows.")
        classes, codes = np.unique(labels, return_inverse=True)
        features = np.asarray(X)
        if features.dtype.kind not in "fiub":
            raise DatasetError(f"{name}: X has dtype {features.dtype}; encode it as numbers.")
        if features.dtype.kind in "ib" or (features.dtype.kind == "u" and features.dtype != np.uint8):
            features = features.astype(np.float32)
        return cls(
            name,
            features,
            codes.reshape(-1),
            tuple(map(str, classes)),
            modality,
            family,
            source,
            sides=None if sides is None else _read_sides(name, sides),
            groups=None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1),
        )


def _read_sides(name: str, sides: Any) -> NDArray[np.int8]:
    """Codes from codes or words."""
    values = np.asarray(sides)
    if values.dtype.kind in "iu":
        return values.astype(np.int8)
    words = values.astype(str)
    unknown = sorted(set(words.ravel()) - set(SIDE_WORDS))
    if unknown:
        raise DatasetError(f"{name}: side {str(unknown[0])!r} is not one of {', '.join(map(repr, SIDE_WORDS))}.")
    return np.vectorize(SIDE_WORDS.__getitem__, otypes=[np.int8])(words)
