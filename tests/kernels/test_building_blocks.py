"""What the softmax kernels are made of, against numpy."""

from __future__ import annotations

import importlib.util
import pkgutil

import numpy as np
import pytest

from al_gym import kernels

if not kernels.available():
    pytest.skip("numba is not installed", allow_module_level=True)

import numba as nb
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

from al_gym.kernels import stamp
from al_gym.kernels.blas import gemm
from al_gym.kernels.curvature import invert_spd
from al_gym.kernels.elementwise import exp, log32
from al_gym.kernels.product import BLOCK


@nb.njit
def product(ta, tb, m, n, k, alpha, A, B, beta, C):
    gemm(ta, tb, m, n, k, alpha, A, A.shape[1], B, B.shape[1], beta, C, C.shape[1])


@nb.njit
def map_exp(x, out):
    for i in range(x.size):
        out[i] = exp(x[i])


@nb.njit
def map_log(x, out):
    for i in range(x.size):
        out[i] = log32(x[i])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", [(False, False), (False, True), (True, False)])
def test_gemm_reads_padded_storage(dtype, transposed):
    rng = np.random.default_rng(0)
    m, n, k = 5, 7, 3
    A, B = (rng.normal(size=(9, 9)).astype(dtype) for _ in range(2))
    C = np.ones((6, 8), dtype)
    product(*transposed, m, n, k, 2.0, A, B, 1.0, C)
    left = A[:k, :m].T if transposed[0] else A[:m, :k]
    right = B[:n, :k].T if transposed[1] else B[:k, :n]
    np.testing.assert_allclose(C[:m, :n], 1 + 2 * left @ right, rtol=1e-4)
    assert C[m:].min() == C[m:].max() == C[:, n:].max() == 1


@pytest.mark.parametrize("n", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 50, 100])
def test_blocked_inverse(n):
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, n))
    A = X @ X.T + np.eye(n)
    stride = -(-n // BLOCK) * BLOCK
    padded = np.full((n, stride), 7.0)
    padded[:, :n] = A
    invert_spd(padded, n, np.empty((2 * BLOCK, stride)))
    np.testing.assert_allclose(padded[:, :n] @ A, np.eye(n), atol=1e-8)


def test_exp_and_log_are_accurate():
    x = np.concatenate([np.linspace(-87, 80, 10001), -np.logspace(-9, 1, 999)]).astype(np.float32)
    out = np.empty_like(x)
    map_exp(x, out)
    assert np.abs(out / np.exp(x.astype(np.float64)) - 1).max() < 3e-7
    map_exp(np.array([-1e9, -np.inf], np.float32), out[:2])
    assert 0 <= out[:2].max() < 1e-37
    positive = np.logspace(-30, 30, 10001).astype(np.float32)
    out = np.empty_like(positive)
    map_log(positive, out)
    exact = np.log(positive.astype(np.float64))
    assert (np.abs(out - exact) <= 1e-7 + 3e-7 * np.abs(exact)).all()


def test_kernels_can_be_switched_off(monkeypatch):
    assert kernels.available()
    monkeypatch.setenv("AL_GYM_NO_NUMBA", "1")
    assert not kernels.available()


def test_stamp_follows_every_kernel_source(monkeypatch, tmp_path):
    before = stamp.sources_stamp.__wrapped__()
    assert before == stamp.sources_stamp()
    (tmp_path / "kernel.py").write_text("changed = 1\n")
    monkeypatch.setattr(stamp, "_PACKAGE", tmp_path)
    assert stamp.sources_stamp.__wrapped__() != before


CACHED_FUNCTION = "from al_gym.kernels.stamp import njit\n\n@njit(cache=True)\ndef double(x):\n    return 2 * x\n"


def test_changed_sources_make_the_cached_code_stale(monkeypatch, tmp_path):
    path = tmp_path / "cached_function.py"
    path.write_text(CACHED_FUNCTION)
    monkeypatch.setattr(nb.config, "CACHE_DIR", str(tmp_path / "cache"))

    def hits():
        spec = importlib.util.spec_from_file_location("cached_function", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.double(3) == 6
        return sum(module.double.stats.cache_hits.values())

    assert [hits(), hits()] == [0, 1]
    monkeypatch.setattr(stamp, "sources_stamp", lambda: "other sources")
    assert [hits(), hits()] == [0, 1]


def test_every_cached_kernel_carries_the_stamp():
    found = 0
    for module in pkgutil.iter_modules(kernels.__path__):
        for name, kernel in vars(kernels.load(module.name)).items():
            if isinstance(kernel, Dispatcher) and isinstance(kernel._cache, FunctionCache):
                inside = [cell.cell_contents for cell in kernel.py_func.__closure__ or ()]
                marks = [kernel._cache._cache_file._source_stamp, *(x for x in inside if isinstance(x, str))]
                assert stamp.sources_stamp() in marks, f"{module.name}.{name}"
                found += 1
    assert found > 20
