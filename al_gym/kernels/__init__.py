"""Fused numba twins of the hottest torch code, used on the CPU when numba can be imported.

Each module here has the functions, arguments and results of its torch twin. Set AL_GYM_NO_NUMBA=1 to do without.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache, lru_cache
from types import ModuleType

from torch import Tensor


@lru_cache(maxsize=1)
def _installed() -> bool:
    return importlib.util.find_spec("numba") is not None


def available() -> bool:
    """Whether numba is installed and not switched off by AL_GYM_NO_NUMBA=1."""
    return os.environ.get("AL_GYM_NO_NUMBA", "") != "1" and _installed()


@cache
def load(name: str) -> ModuleType:
    """The kernel module `al_gym.kernels.<name>`."""
    return importlib.import_module(f"al_gym.kernels.{name}")


def twin(reference: ModuleType, name: str, tensor: Tensor) -> ModuleType:
    """The kernel module that does what `reference` does where it can be used on `tensor`, else `reference`."""
    return load(name) if tensor.device.type == "cpu" and available() else reference
