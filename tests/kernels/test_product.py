"""Products in registers against numpy's."""

import numpy as np
import pytest
from numba import njit

from al_gym.kernels.product import HALF, MOST_ENTRIES, product


@njit(error_model="numpy")
def multiply(A, B, add, C):
    product(len(A), A.shape[1], B.shape[1], A, A.shape[1], B, B.shape[1], add, C, C.shape[1])


def matrices(rows, inner, width, dtype):
    rng = np.random.default_rng(rows)
    sizes = (rows, inner), (inner, width), (rows, width)
    return [rng.standard_normal(size).astype(dtype) for size in sizes]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [*range(1, 10), 13, 17])
@pytest.mark.parametrize("halves", range(1, 8))
def test_equals_numpy(rows, halves, dtype):
    A, B, C = matrices(rows, 7, halves * HALF, dtype)
    fresh, added = C.copy(), C.copy()
    multiply(A, B, False, fresh)
    multiply(A, B, True, added)
    exact = A.astype(np.float64) @ B.astype(np.float64)
    bound = 20 * np.finfo(dtype).eps * (np.abs(A) @ np.abs(B) + np.abs(C))
    assert (np.abs(fresh - exact) <= bound).all()
    assert (np.abs(added - exact - C) <= bound).all()


def test_a_large_matrix_goes_to_the_blas():
    A, B, C = matrices(3, MOST_ENTRIES // 64 + 1, 64, np.float64)
    multiply(A, B, True, added := C.copy())
    np.testing.assert_allclose(added, A @ B + C, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("width", [8, 40, 48])
def test_a_row_does_not_depend_on_the_rows_beside_it(width):
    A, B, C = matrices(17, 33, width, np.float32)
    multiply(A, B, False, C)
    for row in range(17):
        multiply(A[row : row + 1], B, False, alone := np.empty((1, width), np.float32))
        np.testing.assert_array_equal(alone[0], C[row])
