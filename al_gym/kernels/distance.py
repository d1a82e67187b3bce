"""Squared Euclidean distances from a few items to the items of a tile (`al_gym.pool.tiles`), in registers.

Differences are formed before they are squared (see `al_gym.pool.distances`), and a distance is one sum in the order of
the features, so that it does not depend on what is computed beside it and d(a, b) has the bits of d(b, a).
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from al_gym.kernels.product import BLOCK, WIDE, make_tile
from al_gym.pool.tiles import TILE

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

ROWS = 6 if WIDE else 2
"""Items to compare with a tile at once."""
_STEPS = TILE // BLOCK

_TILE_14, _TILE_24, _TILE_34, _TILE_44, _TILE_54, _TILE_64 = (make_tile(n, 4, distances=True) for n in range(1, 7))
_TILE_22 = make_tile(2, 2, distances=True)
_PRODUCT_14 = make_tile(1, 4)


@nb.njit(error_model="numpy")
def tile_distances(k: int, d: int, A: Floats, tiles: Floats, t: int, out: Floats, start: int) -> None:
    """Write squared distances of A[:k, :d] to the items of tile `t` of a pool to out[:k, start : start + TILE].

    k is at most `ROWS`; `tiles` is (tiles, d or more, TILE), `out` long enough for whole tiles. Places are offsets here
    and below: a slice of an array costs as much as half a tile.
    """
    b, lda, ldo = t * tiles.shape[1] * TILE, A.shape[1], out.shape[1]
    if WIDE and k == 6:
        _TILE_64(A, 0, lda, tiles, b, TILE, d, False, out, start, ldo)
    elif WIDE and k == 5:
        _TILE_54(A, 0, lda, tiles, b, TILE, d, False, out, start, ldo)
    elif WIDE and k == 4:
        _TILE_44(A, 0, lda, tiles, b, TILE, d, False, out, start, ldo)
    elif WIDE and k == 3:
        _TILE_34(A, 0, lda, tiles, b, TILE, d, False, out, start, ldo)
    elif WIDE and k == 2:
        _TILE_24(A, 0, lda, tiles, b, TILE, d, False, out, start, ldo)
    elif k == 1:
        _TILE_14(A, 0, lda, tiles, b, TILE, d, False, out, start, ldo)
    else:
        for left in (0, 2 * BLOCK):
            _TILE_22(A, 0, lda, tiles, b + left, TILE, d, False, out, start + left, ldo)


@nb.njit(error_model="numpy")
def tile_products(d: int, a: Floats, tiles: Floats, t: int, out: Floats) -> None:
    """Write inner products of a[:d] with the items of tile `t` of `tiles` (tiles, d or more, TILE) to out (TILE,)."""
    _PRODUCT_14(a, 0, d, tiles, t * tiles.shape[1] * TILE, TILE, d, False, out, 0, TILE)


@nb.njit(error_model="numpy")
def copy_item(tiles: Floats, item: int, out: Floats) -> None:
    """Fill `out` with the first features of one item of a pool in tiles (tiles, features, TILE)."""
    tile, at = tiles[item // TILE], item % TILE
    for t in range(len(out)):
        out[t] = tile[t, at]


@intrinsic
def _count_up_to(typing: Any, values: Any, steps: Any, bound: Any) -> Any:
    """How many of the first `steps * TILE` values do not exceed the bound; a loop takes three times longer."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base = context.make_array(signature.args[0])(context, builder, args[0]).data
        i32 = ir.IntType(32)
        floats, ints = ir.VectorType(ir.FloatType(), BLOCK), ir.VectorType(i32, BLOCK)
        one = builder.insert_element(ir.Constant(floats, ir.Undefined), args[2], i32(0))
        bound = builder.shuffle_vector(one, one, ir.Constant(ints, None))
        counts = [cgutils.alloca_once(builder, ints) for _ in range(_STEPS)]
        for count in counts:
            builder.store(ir.Constant(ints, None), count)
        with cgutils.for_range(builder, args[1]) as loop:
            start = builder.mul(loop.index, ir.Constant(loop.index.type, TILE))
            for v, count in enumerate(counts):
                place = builder.gep(base, [builder.add(start, ir.Constant(start.type, v * BLOCK))])
                some = builder.load(builder.bitcast(place, floats.as_pointer()), align=4)
                within = builder.sext(builder.fcmp_ordered("<=", some, bound), ints)
                builder.store(builder.sub(builder.load(count), within), count)
        total = builder.load(counts[0])
        for count in counts[1:]:
            total = builder.add(total, builder.load(count))
        name = f"llvm.vector.reduce.add.v{BLOCK}i32"
        return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(i32, [ints]), name), [total])

    return types.int32(values, types.int64, types.float32), generate


@nb.njit(error_model="numpy")
def count_up_to(values: Floats, bound: np.float32) -> int:
    """How many values do not exceed the bound; their number is a multiple of TILE and NaN counts as none."""
    return int(_count_up_to(values, len(values) // TILE, bound))
