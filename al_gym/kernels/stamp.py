"""A stamp of the kernels' sources for numba's on-disk cache.

numba looks only at the file of the cached function, so that a change in a module that it calls would leave the old
machine code in use. It also looks at the variables that the function closes over: entry points close over the stamp.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_ALSO = (_PACKAGE.parent / "learners" / "softmax_fit.py",)


@lru_cache(maxsize=1)
def sources_stamp() -> str:
    """A hash of every kernel module and of the modules whose constants they compile in."""
    digest = hashlib.sha256()
    for path in (*sorted(_PACKAGE.glob("*.py")), *_ALSO):
        digest.update(path.read_bytes())
    return digest.hexdigest()
