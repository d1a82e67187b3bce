"""One thread for every kernel: torch, BLAS and OpenMP (promise P5)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import threadpoolctl
import torch


@lru_cache(maxsize=1)
def _controller() -> Any:
    import scipy.linalg  # noqa: F401 (loads SciPy's BLAS, which the compiled kernels call, before libraries are listed)

    return threadpoolctl.ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the body with one torch and one BLAS thread, and restore the caller's settings after it.

    With more threads, results depend on the batch size in the last bits, and small kernels wait on each other.
    """
    before = torch.get_num_threads()
    if before == 1 and all(library.num_threads == 1 for library in _controller().lib_controllers):
        yield
        return
    if before != 1:
        torch.set_num_threads(1)
    try:
        with _controller().limit(limits=1):
            yield
    finally:
        if before != 1:
            torch.set_num_threads(before)


def pin_threads() -> None:
    """Set one torch and one BLAS thread for the rest of the process (workers, training, benchmarks)."""
    torch.set_num_threads(1)
    _controller().limit(limits=1)
