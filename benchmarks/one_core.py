"""What the benchmarks that measure one core share: one thread for every library."""

from __future__ import annotations

import os
import sys

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def pin(threads: int = 1) -> None:
    """Start this script again with so many threads a library, unless it was started so; libraries read it at import."""
    if any(os.environ.get(name) != str(threads) for name in THREAD_VARIABLES):
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
