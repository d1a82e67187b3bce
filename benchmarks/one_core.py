"""What the benchmarks that measure one core share: one thread for every library, and a raw file of rows."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def pin(threads: int = 1) -> None:
    """Start this script again with so many threads a library, unless it was started so; libraries read it at import."""
    if any(os.environ.get(name) != str(threads) for name in THREAD_VARIABLES):
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def measure_rows(description: str | None, raw: Path, measure: Callable[..., Any], shapes: Iterable[Any]) -> None:
    """The command line of a benchmark: measure each shape, write the rows to `raw` or --json, and print them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=raw, help="where to write")
    args = parser.parse_args()
    pin()
    content = [measure(*shape) for shape in shapes]
    args.json.write_text(json.dumps(content, indent=1) + "\n")
    for row in content:
        print(row)
