"""A labelled dataset: features, labels, and what splitting and reporting need to know."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import DatasetError, ParameterError

MODALITIES = ("tabular", "image-embedding", "image-raw", "text-embedding")


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

    Raises:
        DatasetError: shapes do not match, a value is not finite, fewer than two classes.
        ParameterError: unknown modality.
    """

    name: str
    X: NDArray[Any]
    y: NDArray[np.int64]
    class_names: tuple[str, ...]
    modality: str = "tabular"
    family: str = ""
    source: str = ""
    check: bool = field(default=True, repr=False)

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise ParameterError(f"{self.name}: modality {self.modality!r} is not one of {', '.join(MODALITIES)}.")
        object.__setattr__(self, "y", np.asarray(self.y).astype(np.int64, copy=False))
        object.__setattr__(self, "family", self.family or self.name)
        object.__setattr__(self, "class_names", tuple(str(c) for c in self.class_names))
        if self.check:
            self._validate()

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
        for start in range(0, len(self.X), 65536):
            digest.update(np.ascontiguousarray(self.X[start : start + 65536], dtype=np.float32).tobytes())
        return digest.digest()

    @classmethod
    def from_arrays(
        cls, name: str, X: Any, y: Any, *, modality: str = "tabular", family: str = "", source: str = ""
    ) -> Dataset:
        """Build from any labels: integers or strings are mapped to 0..classes-1 in sorted order.

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
        return cls(name, features, codes.reshape(-1), tuple(map(str, classes)), modality, family, source)
