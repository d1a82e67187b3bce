"""exp and log that LLVM vectorises, accurate to a few units in the last place.

float32 follows the polynomials of Cephes (Moshier 1992, expf.c, logf.c); float64 calls the mathematical library.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from al_gym.kernels.blas import FASTMATH

_F, _I = np.float32, np.int32
_LOG2E, _LN2_HIGH, _LN2_LOW = _F(1.44269504088896341), _F(0.693359375), _F(-2.12194440e-4)
_E = (_F(1.9875691500e-4), _F(1.3981999507e-3), _F(8.3334519073e-3), _F(4.1665795894e-2), _F(1.6666665459e-1), _F(0.5))
_L = (
    _F(7.0376836292e-2), _F(-1.1514610310e-1), _F(1.1676998740e-1), _F(-1.2420140846e-1), _F(1.4249322787e-1),
    _F(-1.6668057665e-1), _F(2.0000714765e-1), _F(-2.4999993993e-1), _F(3.3333331174e-1),
)  # fmt: skip


@intrinsic
def _float_of_bits(typing: Any, bits: Any) -> Any:
    """The float32 with these bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _bits_of_float(typing: Any, value: Any) -> Any:
    """The bits of a float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), generate


def exp(x: float) -> float:
    """The exponential function, inside kernels only; float32: at most 88, and constant below -87."""
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
        return p * _float_of_bits((_I(n) + _I(127)) << _I(23))

    return exp32 if x == types.float32 else exp64


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def log32(x: float) -> float:
    """The natural logarithm of a positive, normal float32, inside kernels."""
    bits = _bits_of_float(x)
    m = _float_of_bits((bits & _I(0x7FFFFF)) | _I(0x3F000000))
    small = m < _F(0.70710678)
    e = _F((bits >> _I(23)) - _I(126)) - (_F(1.0) if small else _F(0.0))
    m = (m + m if small else m) - _F(1.0)
    p = _L[0] * m + _L[1]
    p = p * m + _L[2]
    p = p * m + _L[3]
    p = p * m + _L[4]
    p = p * m + _L[5]
    p = p * m + _L[6]
    p = p * m + _L[7]
    p = p * m + _L[8]
    z = m * m
    return (m + (p * m * z + e * _LN2_LOW - _F(0.5) * z)) + e * _LN2_HIGH
