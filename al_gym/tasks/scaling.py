"""Scaling of features, always fitted on the pool (CONTRACT, campaign rules)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import ParameterError

_ROUNDING = 1e-6
"""A constant feature deviates from its mean by less than this share of it, by rounding."""
SCALINGS = ("auto", "standardize", "center", "none")


def resolve_scaling(scaling: str, modality: str) -> str:
    """The scaling that `auto` stands for: `standardize` for tables, `center` for everything else.

    Raises:
        ParameterError: unknown scaling.
    """
    if scaling not in SCALINGS:
        raise ParameterError(f"scaling {scaling!r} is not one of {', '.join(SCALINGS)}.")
    if scaling != "auto":
        return scaling
    return "standardize" if modality == "tabular" else "center"


class Scaler:
    """An affine map of each feature, fitted on pool rows.

    Args:
        pool: (items, features) of any real dtype.
        scaling: `standardize` (per feature, ddof 0; a constant feature becomes 0), `center` (subtract each
            feature's mean, divide by one number so that the mean square of all entries is 1) or `none`.
    """

    def __init__(self, pool: NDArray[Any], scaling: str) -> None:
        features = pool.shape[1]
        self.shift = np.zeros(features)
        self.factor = np.ones(features)
        if scaling != "none":
            self._fit(pool, pool.astype(np.float64), scaling)

    def _fit(self, pool: NDArray[Any], values: NDArray[np.float64], scaling: str) -> None:
        """Fit on the pool, of which `values` is a copy; subtracts the shift from it."""
        self.shift = values.mean(axis=0)
        values -= self.shift
        if scaling == "standardize":
            deviation = np.sqrt(np.einsum("ij,ij->j", values, values) / len(values))
            doubtful = np.flatnonzero(deviation <= _ROUNDING * np.abs(self.shift))
            constant = doubtful[(pool[:, doubtful] == pool[0, doubtful]).all(axis=0) | (deviation[doubtful] == 0)]
            deviation[constant] = 1.0
            self.factor = 1.0 / deviation
            self.factor[constant] = 0.0
        elif scaling == "center":
            mean_square = float(np.einsum("ij,ij->", values, values)) / values.size
            self.factor[:] = 1.0 / np.sqrt(mean_square) if mean_square > 0 else 0.0
        else:
            raise ParameterError(f"scaling {scaling!r} must be resolved first; see resolve_scaling.")

    @classmethod
    def and_scaled(cls, pool: NDArray[Any], scaling: str) -> tuple[Scaler, NDArray[np.float32]]:
        """The scaler of a pool and the scaled pool, in one conversion."""
        scaler, values = cls(pool[:1], "none"), pool.astype(np.float64)
        if scaling != "none":
            scaler._fit(pool, values, scaling)
        values *= scaler.factor
        return scaler, values.astype(np.float32)

    @classmethod
    def of_blocks(cls, blocks: Callable[[], Iterable[NDArray[Any]]], scaling: str) -> Scaler:
        """The same fit in two passes over blocks of the pool; equal to rounding, without a copy of the pool.

        Args:
            blocks: starts a pass; each block is (items, features) of any real dtype.
            scaling: as for the class.
        """
        first = next(iter(blocks()))
        scaler = cls(first[:1], "none")
        if scaling == "none":
            return scaler
        count, total = 0, np.zeros(first.shape[1])
        low, high = first[0].astype(np.float64), first[0].astype(np.float64)
        for block in blocks():
            count += len(block)
            total += block.sum(axis=0, dtype=np.float64)
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        scaler.shift = total / count
        squares = np.zeros(first.shape[1])
        for block in blocks():
            values = block - scaler.shift
            squares += np.einsum("ij,ij->j", values, values)
        if scaling == "standardize":
            constant = (low == high) | (squares == 0)
            scaler.factor = np.where(constant, 0.0, 1.0 / np.sqrt(np.where(constant, 1.0, squares / count)))
        elif scaling == "center":
            mean_square = float(squares.sum()) / (count * len(squares))
            scaler.factor[:] = 1.0 / np.sqrt(mean_square) if mean_square > 0 else 0.0
        else:
            raise ParameterError(f"scaling {scaling!r} must be resolved first; see resolve_scaling.")
        return scaler

    def __call__(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Scaled copy of `X`, (items, features) float32."""
        values = X.astype(np.float64)
        values -= self.shift
        values *= self.factor
        return values.astype(np.float32)
