"""Matrix products and SPD inverses inside numba kernels, on padded storage and without copies.

`gemm` calls the BLAS that SciPy ships (its Cython interface) with leading dimensions. The symbols are registered
by name, so that compiled kernels can be cached on disk. The number of BLAS threads is the caller's business
(`al_gym.threads`).
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import get_cython_function_address, intrinsic

FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""Fast-math flags of every kernel: sums may be reordered (vectorised); NaN and infinity keep their meaning."""
INLINED: dict[str, Any] = {"fastmath": FASTMATH, "error_model": "numpy", "forceinline": True}
"""Options of the parts of a fit. A call hands over each array of a `Fit` as several numbers, which costs as much as the
work of a small fit, and LLVM by itself does not inline a function whose loops it has vectorised."""

for _name in ("sgemm", "dgemm"):
    llvmlite.binding.add_symbol(f"al_gym_{_name}", get_cython_function_address("scipy.linalg.cython_blas", _name))


@intrinsic
def _fortran_gemm(
    typing: Any, ta: Any, tb: Any, m: Any, n: Any, k: Any, alpha: Any, a: Any, lda: Any, b: Any, ldb: Any, beta: Any,
    c: Any, ldc: Any,
) -> Any:  # fmt: skip
    """Call Fortran's ?gemm(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc), all by reference."""
    real = a.dtype
    integers = (types.int32,) * 2 + (types.int32,) * 3
    signature = types.void(*integers, real, a, types.int32, b, types.int32, real, c, types.int32)
    symbol = "al_gym_sgemm" if real == types.float32 else "al_gym_dgemm"

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        char = ir.IntType(8)
        values = []
        for position, (kind, value) in enumerate(zip(sig.args, args, strict=True)):
            if isinstance(kind, types.Array):
                values.append(context.make_array(kind)(context, builder, value).data)
            else:
                scalar = builder.trunc(value, char) if position < 2 else value
                values.append(cgutils.alloca_once_value(builder, scalar))
        callee = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(cgutils.get_or_insert_function(builder.module, callee, symbol), values)
        return context.get_dummy_value()

    return signature, generate


@nb.njit(error_model="numpy")
def gemm(ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """C (m, n) = alpha * op(A) (m, k) @ op(B) (k, n) + beta * C, row-major; `t*`: transpose, `ld*`: row strides."""
    real = C.dtype.type
    no, yes = np.int32(78), np.int32(84)  # "N", "T"
    _fortran_gemm(
        yes if tb else no, yes if ta else no, np.int32(n), np.int32(m), np.int32(k),
        real(alpha), B, np.int32(ldb), A, np.int32(lda), real(beta), C, np.int32(ldc),
    )  # fmt: skip
