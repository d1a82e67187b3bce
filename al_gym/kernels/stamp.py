"""A stamp of the kernels' sources for numba's on-disk cache.

numba looks only at the file of the cached function, so that a change in a module that it calls, or whose constants it
compiles in, would leave the old machine code in use. Two ways mend that. `njit` here puts the stamp in the place of
numba's own (date and size of one file). Entry points that are built by a function close over `sources_stamp()`: numba
also looks at the variables that a function closes over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba

_PACKAGE = Path(__file__).resolve().parent
_ALSO = tuple(
    _PACKAGE.parent / name
    for name in (
        "learners/softmax_fit.py",
        "pool/arrays.py",
        "pool/distances.py",
        "pool/rounds.py",
        "pool/tiles.py",
        "pool/view.py",
    )
)


@lru_cache(maxsize=1)
def sources_stamp() -> str:
    """A hash of every kernel module and of the modules whose constants they compile in."""
    digest = hashlib.sha256()
    for path in (*sorted(_PACKAGE.glob("*.py")), *_ALSO):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit`; with `cache=True` the code on disk is used as long as no kernel source changes."""

    def compile_lazily(function: Callable[..., Any]) -> Any:
        dispatcher: Any = numba.njit(**options)(function)
        if options.get("cache"):
            dispatcher._cache._cache_file._source_stamp = sources_stamp()
        return dispatcher

    return compile_lazily
