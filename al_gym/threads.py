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
    return threadpoolctl.ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the body with one torch and one BLAS thread, and restore the caller's settings after it.

    With more threads, results depend on the batch size in the last bits, and small kernels wait on each other.
    """
    before = torch.get_num_threads()
    if before == 1 and all(pool["num_threads"] == 1 for pool in _pools()):
        yield
        return
    torch.set_num_threads(1)
    try:
        with _controller().limit(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


def _pools() -> list[dict[str, Any]]:
    return list(_controller().info())


def pin_threads() -> None:
    """Set one torch and one BLAS thread for the rest of the process (workers, training, benchmarks)."""
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)
