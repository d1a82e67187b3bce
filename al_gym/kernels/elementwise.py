"""exp and log that LLVM vectorises, accurate to a few units in the last place.

float32 follows the polynomials of Cephes (Moshier 1992, expf.c, logf.c); float64 calls the mathematical library.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from al_gym.kernels.blas import FASTMATH

_F = np.float32
_LOG2E, _LN2_HIGH, _LN2_LOW = _F(1.44269504088896341), _F(0.693359375), _F(-2.12194440e-4)
_E = tuple(map(_F, (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)))


@intrinsic
def _float_of_bits(typing: Any, bits: Any) -> Any:
    """The float32 with these bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


def exp(x: float) -> float:
    """The exponential inside kernels; float32 arguments must be at most 88, and below -87 it stays at exp(-87)."""
    raise NotImplementedError("call exp inside a numba kernel")


@overload(exp, jit_options={"fastmath": FASTMATH})
def _exp(x: Any) -> Any:
    def exp64(x: Any) -> Any:
        return math.exp(x)

    def exp32(x: Any) -> Any:
        x = max(x, _F(-87.0))
        n = np.floor(x * _LOG2E + _F(0.5))
        r = x - n * _LN2_HIGH
        r = r - n * _LN2_LOW
        p = _E[0] * r + _E[1]
        p = p * r + _E[2]
        p = p * r + _E[3]
        p = p * r + _E[4]
        p = p * r + _E[5]
        p = p * r * r + r + _F(1.0)
        return p * _float_of_bits((np.int32(n) + np.int32(127)) << np.int32(23))

    return exp32 if x == types.float32 else exp64
