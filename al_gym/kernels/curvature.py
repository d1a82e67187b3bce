"""The preconditioner of the softmax fit: weighted curvature of the labelled items, inverted by blocked elimination."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from al_gym.kernels.blas import FASTMATH, gemm

Floats = NDArray[np.floating]

BLOCK = 16
RIDGE = 1e-6
"""Smallest ridge of the inverted matrix as a share of its trace, for float32's sake."""


class Preconditioner(NamedTuple):
    """The inverse of [[A, a], [a', s]], applied to (g, gb) as ub = (gb - k.g) / schur, u = P'g - ub n.

    Attributes:
        P: (n, stride), multiplies rows of coefficients from the right.
        n: (stride,) A^-1 a.
        k: (stride,) the same, as what pairs with a gradient.
        schur: (1,) Schur complement of A.
        weight: (items,) curvature of the labelled items.
        scratch: (items, stride).
        panel: (2, BLOCK, stride).
    """

    P: Floats
    n: Floats
    k: Floats
    schur: Floats
    weight: Floats
    scratch: Floats
    panel: Floats


@nb.njit(fastmath=FASTMATH)
def _invert_small(A: Floats, start: int, size: int, out: Floats) -> None:
    """out[:size, :size] = inverse of the SPD block of A at `start`, by Gauss-Jordan elimination."""
    for i in range(size):
        for j in range(size):
            out[i, j] = A[start + i, start + j]
    for p in range(size):
        pivot = 1 / out[p, p]
        out[p, p] = 1
        for j in range(size):
            out[p, j] *= pivot
        for i in range(size):
            if i != p:
                share = out[i, p]
                out[i, p] = 0
                for j in range(size):
                    out[i, j] -= share * out[p, j]


@nb.njit(fastmath=FASTMATH)
def invert_spd(A: Floats, n: int, panel: Floats) -> None:
    """Replace the SPD matrix A[:n, :n] by its inverse: Gauss-Jordan on blocks, most of it in matrix products."""
    stride = A.shape[1]
    block = np.empty((BLOCK, BLOCK), A.dtype)
    column, row = panel[0].reshape(-1), panel[1]
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        _invert_small(A, start, size, block)
        for i in range(n):
            inside = start <= i < start + size
            for j in range(size):
                column[i * BLOCK + j] = 0 if inside else A[i, start + j]
                A[i, start + j] = 0
        for i in range(size):
            A[start + i, start + i] = 1
        gemm(False, False, size, n, size, 1, block, BLOCK, A[start:], stride, 0, row, stride)
        for i in range(size):
            for j in range(n):
                A[start + i, j] = row[i, j]
        gemm(False, False, n, n, size, -1, column, BLOCK, row, stride, 1, A, stride)


@nb.njit(fastmath=FASTMATH)
def _add_ridge(A: Floats, n: int, penalty: float) -> float:
    trace = A.dtype.type(0)
    for i in range(n):
        trace += A[i, i]
    ridge = max(penalty, RIDGE * trace)
    for i in range(n):
        A[i, i] += ridge
    return ridge


@nb.njit(fastmath=FASTMATH)
def factor_features(pre: Preconditioner, X: Floats, items: int, n: int, penalty: float) -> None:
    """Preconditioner over feature weights: A = X' diag(weight) X + penalty.

    Args:
        pre: written, from `pre.weight`.
        X: (items or more, features or more) item-major.
        items: true number of labelled items.
        n: true number of features.
        penalty: L2 weight.
    """
    P, S, a = pre.P, pre.scratch, pre.k
    stride = P.shape[1]
    a[:] = 0
    total = P.dtype.type(0)
    for i in range(items):
        root = math.sqrt(pre.weight[i])
        total += pre.weight[i]
        for j in range(n):
            S[i, j] = root * X[i, j]
            a[j] += pre.weight[i] * X[i, j]
    gemm(True, False, n, n, items, 1, S, stride, S, stride, 0, P, stride)
    _add_ridge(P, n, penalty)
    invert_spd(P, n, pre.panel)
    gemm(False, False, 1, n, n, 1, a, stride, P, stride, 0, pre.n, stride)
    covered = P.dtype.type(0)
    for j in range(n):
        covered += a[j] * pre.n[j]
        a[j] = pre.n[j]
    pre.schur[0] = max(total - covered, 1e-4 * total)


@nb.njit(fastmath=FASTMATH)
def factor_items(pre: Preconditioner, K: Floats, items: int, penalty: float) -> None:
    """The same over coefficients of the labelled items (weights = coefficients @ X), from K = X X'.

    (X' D X + penalty)^-1 X' = X' (D K + penalty)^-1, and the inverse is D^1/2 (D^1/2 K D^1/2 + penalty)^-1 D^-1/2.
    """
    P, root, weight = pre.P, pre.scratch[0], pre.weight
    stride = P.shape[1]
    for i in range(items):
        root[i] = math.sqrt(weight[i])
    for i in range(items):
        for j in range(items):
            P[i, j] = root[i] * K[i, j] * root[j]
    ridge = _add_ridge(P, items, penalty)
    invert_spd(P, items, pre.panel)
    for i in range(items):
        inverse = 1 / root[i]
        for j in range(items):
            P[i, j] *= inverse * root[j]
    gemm(False, False, 1, items, items, 1, weight, stride, P, stride, 0, pre.n, stride)
    gemm(False, False, 1, items, items, 1, pre.n, stride, K, stride, 0, pre.k, stride)
    total = P.dtype.type(0)
    for i in range(items):
        total += pre.n[i]
    pre.schur[0] = ridge * total
