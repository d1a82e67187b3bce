"""Features of any dataset in a fixed number of columns, fitted on the pool without labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FITTED_ON = 2048
"""Pool items that the projection is fitted on; a pool is in random order, so that the first ones are a sample."""
NEGLIGIBLE = 1e-5
"""Directions whose standard deviation is below this share of the largest one's are dropped."""


@dataclass(frozen=True)
class Projection:
    """An affine map.

    Attributes:
        matrix: (features, width) float32. mean: (features,) float32.
    """

    matrix: Tensor
    mean: Tensor


def fit_projection(X: Tensor, width: int, whitening: float) -> Projection:
    r"""Principal components of the pool, the leading ones, partly whitened.

    Component j, of variance $\lambda_j$, is divided by $\lambda_j^{a/2}$ with $a$ the whitening, and all of them by one
    number, so that the mean squared length of an item is `width`. Columns beyond the rank are zero. The sign of a
    component makes its largest loading positive.

    Args:
        X: (items, features), the pool at its true size, in the order of the pool.
        width: columns of the result.
        whitening: a in [0, 1]: 0 keeps the variances in proportion, 1 makes them equal.
    """
    sample = X[:FITTED_ON].double()
    mean = sample.mean(dim=0)
    _, scale, loadings = torch.linalg.svd(sample - mean, full_matrices=False)
    scale, loadings = scale[:width] / len(sample) ** 0.5, loadings[:width]
    kept = (scale > NEGLIGIBLE * scale[0]) & (scale > 0)
    scale, loadings = scale[kept], loadings[kept]
    matrix = torch.zeros(X.shape[1], width, dtype=torch.float64, device=X.device)
    if len(scale):
        largest = loadings.gather(1, loadings.abs().argmax(dim=1, keepdim=True))
        length = scale.pow(2 - 2 * whitening).sum().sqrt()
        gain = largest.sign()[:, 0] * scale.pow(-whitening) * (width**0.5 / length)
        matrix[:, : len(scale)] = (loadings * gain[:, None]).T
    return Projection(matrix.float(), mean.float())
