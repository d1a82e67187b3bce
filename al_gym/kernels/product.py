"""Products of small matrices, in registers.

A general matrix product packs its operands first. For a campaign's sizes, say 5 x 50 by 50 x 50, packing costs more
than the product, so that small ones go through tiles here: one to six rows and 16 columns, 32 or 64 where there are
registers for their sums. A tile whose sums do not fit into the registers takes twice the time.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from al_gym.kernels.blas import gemm

Floats = NDArray[np.floating]

BLOCK = 16
"""Numbers in a vector of the tiles."""
HALF = 8
"""Numbers in a vector of the tiles at the right edge; `width` below is a multiple of it."""
MOST_ROWS = 6
WIDE = llvmlite.binding.get_host_cpu_features().get("avx512f", False)
"""Whether there are registers for the sums of six rows and four vectors."""
MOST_ENTRIES = 1 << 18
"""Up to so many entries of the right matrix (1 MiB of float32) it stays in the cache, and the tiles are faster."""


@intrinsic
def unowned(typing: Any, array: Any) -> Any:
    """The same array without its owner: views of it cost no atomic reference counts; keep the owner alive."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(array)(context, builder, args[0])
        view.meminfo, view.parent = (cgutils.get_null_value(part.type) for part in (view.meminfo, view.parent))
        return view._getvalue()

    return array(array), generate


def make_tile(rows: int, vectors: int, lanes: int = BLOCK, *, distances: bool = False) -> Any:
    """An intrinsic for a tile of C, `rows` x `vectors * lanes`, that starts at C[c], from A[a] and B[b] on.

    With `distances` the sums are of squared differences instead of products.
    """

    @intrinsic
    def tile(
        typing: Any, A: Any, a: Any, lda: Any, B: Any, b: Any, ldb: Any, n: Any, add: Any, C: Any, c: Any, ldc: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            left, right, out = (
                context.make_array(signature.args[at])(context, builder, args[at]).data for at in (0, 3, 8)
            )
            a, lda, b, ldb, n, add, c, ldc = (args[at] for at in (1, 2, 4, 5, 6, 7, 9, 10))
            scalar = out.type.pointee
            size = 4 if isinstance(scalar, ir.FloatType) else 8
            vector, i32 = ir.VectorType(scalar, lanes), ir.IntType(32)
            name = f"llvm.fmuladd.v{lanes}f{8 * size}"
            fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)

            def place(base: Any, offset: Any, pitch: Any, row: Any, v: int) -> Any:
                at = builder.add(offset, builder.add(builder.mul(row, pitch), ir.Constant(offset.type, v * lanes)))
                return builder.bitcast(builder.gep(base, [at]), vector.as_pointer())

            def splat(value: Any) -> Any:
                one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, i32(0))
                return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(i32, lanes), None))

            sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
            old = cgutils.is_true(builder, add)
            for r in range(rows):
                for v in range(vectors):
                    builder.store(ir.Constant(vector, None), sums[r][v])
            with builder.if_then(old):
                for r in range(rows):
                    for v in range(vectors):
                        here = place(out, c, ldc, ir.Constant(c.type, r), v)
                        builder.store(builder.load(here, align=size), sums[r][v])
            with cgutils.for_range(builder, n) as loop:
                columns = [builder.load(place(right, b, ldb, loop.index, v), align=size) for v in range(vectors)]
                for r in range(rows):
                    at = builder.add(builder.add(a, builder.mul(ir.Constant(a.type, r), lda)), loop.index)
                    share = splat(builder.load(builder.gep(left, [at])))
                    for v in range(vectors):
                        gap = builder.fsub(columns[v], share) if distances else None
                        factors = [share, columns[v]] if gap is None else [gap, gap]
                        builder.store(builder.call(fma, [*factors, builder.load(sums[r][v])]), sums[r][v])
            for r in range(rows):
                for v in range(vectors):
                    here = place(out, c, ldc, ir.Constant(c.type, r), v)
                    builder.store(builder.load(sums[r][v]), here, align=size)
            return context.get_dummy_value()

        i = types.int64
        return types.void(A, i, i, B, i, i, i, types.boolean, C, i, i), generate

    return tile


_TILE_11, _TILE_21, _TILE_31, _TILE_41, _TILE_51, _TILE_61 = (make_tile(rows, 1) for rows in range(1, 7))
_TILE_12, _TILE_22, _TILE_32, _TILE_42, _TILE_52, _TILE_62 = (make_tile(rows, 2) for rows in range(1, 7))
_TILE_14, _TILE_24, _TILE_34, _TILE_44, _TILE_54, _TILE_64 = (make_tile(rows, 4) for rows in range(1, 7))
_HALF_1, _HALF_2, _HALF_4, _HALF_8 = (make_tile(rows, 1, HALF) for rows in (1, 2, 4, 8))


@nb.njit(error_model="numpy")
def _one_vector(
    rows: int, n: int, A: Floats, a: int, lda: int, B: Floats, b: int, ldb: int, add: bool, C: Floats, c: int, ldc: int
) -> None:  # fmt: skip
    """A tile of `BLOCK` columns and 1 to 6 rows (float64: 1 or 2)."""
    if A.itemsize == 4 and rows == 6:
        _TILE_61(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif A.itemsize == 4 and rows == 5:
        _TILE_51(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif A.itemsize == 4 and rows == 4:
        _TILE_41(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif A.itemsize == 4 and rows == 3:
        _TILE_31(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif rows == 2:
        _TILE_21(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    else:
        _TILE_11(A, a, lda, B, b, ldb, n, add, C, c, ldc)


@nb.njit(error_model="numpy")
def _two_vectors(
    rows: int, n: int, A: Floats, a: int, lda: int, B: Floats, b: int, ldb: int, add: bool, C: Floats, c: int, ldc: int
) -> None:  # fmt: skip
    """A tile of `2 * BLOCK` columns and 1 to 6 rows (float64 and without `WIDE`: 1 or 2)."""
    if WIDE and A.itemsize == 4 and rows == 6:
        _TILE_62(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif WIDE and A.itemsize == 4 and rows == 5:
        _TILE_52(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif WIDE and A.itemsize == 4 and rows == 4:
        _TILE_42(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif WIDE and A.itemsize == 4 and rows == 3:
        _TILE_32(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif rows == 2:
        _TILE_22(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    else:
        _TILE_12(A, a, lda, B, b, ldb, n, add, C, c, ldc)


@nb.njit(error_model="numpy")
def _four_vectors(
    rows: int, n: int, A: Floats, a: int, lda: int, B: Floats, b: int, ldb: int, add: bool, C: Floats, c: int, ldc: int
) -> None:  # fmt: skip
    """A tile of `4 * BLOCK` columns and 1 to 6 rows, float32 and `WIDE` alone."""
    if rows == 6:
        _TILE_64(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif rows == 5:
        _TILE_54(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif rows == 4:
        _TILE_44(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif rows == 3:
        _TILE_34(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    elif rows == 2:
        _TILE_24(A, a, lda, B, b, ldb, n, add, C, c, ldc)
    else:
        _TILE_14(A, a, lda, B, b, ldb, n, add, C, c, ldc)


@nb.njit(error_model="numpy")
def _edge(k: int, n: int, A: Floats, lda: int, B: Floats, b: int, ldb: int, add: bool, C: Floats, ldc: int) -> None:
    """The last `HALF` columns, from column `b` on."""
    r = 0
    while r < k:
        a, c = r * lda, r * ldc + b
        if k - r >= 8:
            _HALF_8(A, a, lda, B, b, ldb, n, add, C, c, ldc)
            r += 8
        elif k - r >= 4:
            _HALF_4(A, a, lda, B, b, ldb, n, add, C, c, ldc)
            r += 4
        elif k - r >= 2:
            _HALF_2(A, a, lda, B, b, ldb, n, add, C, c, ldc)
            r += 2
        else:
            _HALF_1(A, a, lda, B, b, ldb, n, add, C, c, ldc)
            r += 1


@nb.njit(error_model="numpy")
def product(
    k: int, n: int, width: int, A: Floats, lda: int, B: Floats, ldb: int, add: bool, C: Floats, ldc: int
) -> None:  # fmt: skip
    """C (k, width) = A (k, n) @ B (n, width), plus the old C if `add`; row-major, `ld*` are row strides.

    `width` is a multiple of `HALF`. A row of the result depends on that row of A, on B and on the sizes alone.
    """
    if n * width > MOST_ENTRIES:
        gemm(False, False, k, width, n, 1, A, lda, B, ldb, 1 if add else 0, C, ldc)
        return
    most = MOST_ROWS if A.itemsize == 4 else 2  # float64 fills the registers with fewer rows, and compiles faster
    groups = (k + most - 1) // most
    pairs, fours = WIDE or k <= 2, WIDE and A.itemsize == 4
    left = 0
    while left + BLOCK <= width:
        two, four, r = pairs and left + 2 * BLOCK <= width, fours and left + 4 * BLOCK <= width, 0
        for group in range(groups):
            rows = (k - r) // (groups - group)
            if four:
                _four_vectors(rows, n, A, r * lda, lda, B, left, ldb, add, C, r * ldc + left, ldc)
            elif two:
                _two_vectors(rows, n, A, r * lda, lda, B, left, ldb, add, C, r * ldc + left, ldc)
            else:
                _one_vector(rows, n, A, r * lda, lda, B, left, ldb, add, C, r * ldc + left, ldc)
            r += rows
        left += 4 * BLOCK if four else 2 * BLOCK if two else BLOCK
    if left < width:
        _edge(k, n, A, lda, B, left, ldb, add, C, ldc)
