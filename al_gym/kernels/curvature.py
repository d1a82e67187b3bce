"""The preconditioner of the softmax fit: weighted curvature of the labelled items, inverted by blocked elimination."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from al_gym.kernels.blas import INLINED
from al_gym.kernels.product import BLOCK, Floats, product

RIDGE = 8
"""Smallest ridge of the inverted matrix, as a share of its trace in units of the rounding error."""


class Preconditioner(NamedTuple):
    """The inverse of [[A, a], [a', s]], applied to (g, gb) as ub = (gb - k.g) / schur, u = inverse' g - ub n.

    Attributes:
        inverse: (n, stride), multiplies rows of coefficients from the right.
        column: (3, stride): n = A^-1 a; k, the same as what pairs with a gradient; the Schur complement of A.
        scratch: (n, width), one row is enough over items.
        panel: (2 * BLOCK, stride).
        weight: (1, width), curvature of each labelled item.
    """

    inverse: Floats
    column: Floats
    scratch: Floats
    panel: Floats
    weight: Floats


@intrinsic
def _eliminate(typing: Any, block: Any) -> Any:
    """Replace a contiguous SPD matrix of `BLOCK` rows by its inverse: Gauss-Jordan elimination, in registers."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = context.make_array(block)(context, builder, args[0]).data
        scalar, i32 = start.type.pointee, ir.IntType(32)
        vector, same = ir.VectorType(scalar, BLOCK), ir.Constant(ir.VectorType(i32, BLOCK), None)
        size = 4 if isinstance(scalar, ir.FloatType) else 8

        def splat(value: Any) -> Any:
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, i32(0))
            return builder.shuffle_vector(first, first, same)

        places = [
            builder.bitcast(builder.gep(start, [ir.IntType(64)(row * BLOCK)]), vector.as_pointer())
            for row in range(BLOCK)
        ]
        rows = [builder.load(place, align=size) for place in places]
        for p in range(BLOCK):
            pivot = builder.fdiv(ir.Constant(scalar, 1.0), builder.extract_element(rows[p], i32(p)))
            rows[p] = builder.fmul(builder.insert_element(rows[p], ir.Constant(scalar, 1.0), i32(p)), splat(pivot))
            for row in range(BLOCK):
                if row != p:
                    share = splat(builder.extract_element(rows[row], i32(p)))
                    rest = builder.insert_element(rows[row], ir.Constant(scalar, 0.0), i32(p))
                    rows[row] = builder.fsub(rest, builder.fmul(share, rows[p], flags=["contract"]), flags=["contract"])
        for place, row in zip(places, rows, strict=True):
            builder.store(row, place, align=size)
        return context.get_dummy_value()

    return types.void(block), generate


@nb.njit(**INLINED)
def invert_spd(A: Floats, n: int, panel: Floats) -> None:
    """Replace the SPD matrix A[:n, :n] by its inverse: Gauss-Jordan on blocks, most of it in matrix products.

    `panel` is (2 * BLOCK, stride of A). Columns of A beyond n are zero and stay so.
    """
    stride = A.shape[1]
    block = np.empty((BLOCK, BLOCK), A.dtype)
    column, row = panel[:BLOCK].reshape((stride, BLOCK)), panel[BLOCK:]
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for i in range(BLOCK):
            for j in range(BLOCK):
                block[i, j] = A[start + i, start + j] if i < size else 0
        for i in range(size, BLOCK):
            block[i, i] = 1
        _eliminate(block)
        for i in range(n):
            for j in range(BLOCK):
                column[i, j] = -A[i, start + j]
                A[i, start + j] = 0
        for i in range(size):
            for j in range(BLOCK):
                column[start + i, j] = 0
            A[start + i, start + i] = 1
        product(size, size, stride, block, BLOCK, A[start:], stride, False, row, stride)
        for i in range(size):
            for j in range(stride):
                A[start + i, j] = row[i, j]
        product(n, size, stride, column, BLOCK, row, stride, True, A, stride)


@nb.njit(**INLINED)
def _add_ridge(A: Floats, n: int, penalty: float) -> float:
    trace = A.dtype.type(0)
    for i in range(n):
        trace += A[i, i]
    ridge = max(penalty, RIDGE * np.finfo(A.dtype).eps * trace)
    for i in range(n):
        A[i, i] += ridge
    return ridge


@nb.njit(**INLINED)
def factor_features(pre: Preconditioner, F: Floats, X: Floats, items: int, n: int, penalty: float) -> None:
    """Preconditioner over feature weights, from `pre.weight`: A = X' diag(weight) X + penalty.

    Args:
        pre: written.
        F: (n, width) features, zero beyond the items.
        X: (items, stride) the same item-major, zero beyond n.
        items: true number of labelled items.
        n: true number of features.
        penalty: L2 weight.
    """
    A, S, weight = pre.inverse, pre.scratch, pre.weight[0]
    stride, width = A.shape[1], F.shape[1]
    pre.column[:] = 0
    n_vector, a = pre.column[0], pre.column[1]
    for j in range(n):
        for i in range(items):
            S[j, i] = weight[i] * F[j, i]
    product(n, items, stride, S, width, X, stride, False, A, stride)
    product(1, items, stride, weight, width, X, stride, False, a, stride)
    _add_ridge(A, n, penalty)
    invert_spd(A, n, pre.panel)
    product(1, n, stride, a, stride, A, stride, False, n_vector, stride)
    covered, total = A.dtype.type(0), A.dtype.type(0)
    for j in range(n):
        covered += a[j] * n_vector[j]
        a[j] = n_vector[j]
    for i in range(items):
        total += pre.weight[0, i]
    pre.column[2, 0] = max(total - covered, 100 * np.finfo(A.dtype).eps * total)


@nb.njit(**INLINED)
def factor_items(pre: Preconditioner, K: Floats, items: int, penalty: float) -> None:
    """The same over coefficients of the labelled items (weights = coefficients @ X), from K = X X'.

    (X' D X + penalty)^-1 X' = X' (D K + penalty)^-1, and the inverse is D^1/2 (D^1/2 K D^1/2 + penalty)^-1 D^-1/2.
    """
    A, stride, root, weight = pre.inverse, pre.inverse.shape[1], pre.scratch[0], pre.weight[0]
    for i in range(items):
        root[i] = math.sqrt(weight[i])
    for i in range(items):
        for j in range(items):
            A[i, j] = root[i] * K[i, j] * root[j]
        for j in range(items, stride):
            A[i, j] = 0
    ridge = _add_ridge(A, items, penalty)
    invert_spd(A, items, pre.panel)
    for i in range(items):
        inverse = 1 / root[i]
        for j in range(items):
            A[i, j] *= inverse * root[j]
    product(1, items, stride, weight, stride, A, stride, False, pre.column[0], stride)
    product(1, items, stride, pre.column[0], stride, K, stride, False, pre.column[1], stride)
    total = A.dtype.type(0)
    for i in range(items):
        total += pre.column[0, i]
    pre.column[2, 0] = ridge * total
