"""Random streams that belong to one task and are keyed, not advanced (promise P5).

A draw is a pure function of (task key, round, name, draw number, item), so that computing a
proposal that is not used changes nothing, and that a task's draws do not depend on the tasks
that share its batch. The task key comes from `numpy.random.SeedSequence`; the draws use the
SplitMix64 finaliser (Steele, Lea & Flood 2014, OOPSLA) as a counter-based generator.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


def task_key(content_hash: bytes, seed: int) -> int:
    """64-bit key of a task: `SeedSequence` over the dataset's content hash and the seed.

    Args:
        content_hash: digest of the features, any length.
        seed: non-negative integer.
    """
    words = np.frombuffer(content_hash[:16].ljust(16, b"\0"), dtype=np.uint32).tolist()
    return int(np.random.SeedSequence([int(seed), *words]).generate_state(1, np.uint64)[0])


@lru_cache(maxsize=4096)
def name_key(name: str) -> int:
    """64-bit key of a name (BLAKE2b), stable across processes and versions."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 finaliser, element-wise, uint64 to uint64."""
    z = values + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _M1
    z = (z ^ (z >> np.uint64(27))) * _M2
    return z ^ (z >> np.uint64(31))


@dataclass(frozen=True)
class Stream:
    """Draws for a batch of tasks under one name.

    Attributes:
        keys: (tasks,) uint64, one key a task, already mixed with round and name.
    """

    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, task_keys: NDArray[np.uint64], rounds: NDArray[np.integer], name: str) -> Stream:
        """The stream of `name` at each task's round. Shapes (tasks,), (tasks,)."""
        with np.errstate(over="ignore"):
            keys = mix(mix(task_keys ^ np.uint64(name_key(name))) + rounds.astype(np.uint64))
        return cls(keys)

    def child(self, name: str) -> Stream:
        """An independent stream under a further name (for a strategy inside a wrapper)."""
        with np.errstate(over="ignore"):
            return Stream(mix(self.keys ^ np.uint64(name_key(name))))

    def take(self, rows: NDArray[np.integer]) -> Stream:
        """The streams of some of the tasks."""
        return Stream(self.keys[rows])

    def integers(self, n: int, draw: int = 0) -> NDArray[np.uint64]:
        """(tasks, n) uint64: item i's value depends on (stream, draw, i) alone, not on n."""
        with np.errstate(over="ignore"):
            base = mix(self.keys + np.uint64(draw) * _M1)
            return mix(base[:, None] + np.arange(n, dtype=np.uint64)[None, :] * _GOLDEN)

    def uniform(self, n: int, draw: int = 0) -> NDArray[np.float64]:
        """(tasks, n) float64 in [0, 1): item i's value depends on (stream, draw, i) alone."""
        return (self.integers(n, draw) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def gumbel(self, n: int, draw: int = 0) -> NDArray[np.float64]:
        """(tasks, n) float64 standard Gumbel noise."""
        u = np.maximum(self.uniform(n, draw), 2.0**-54)
        return -np.log(-np.log(u))

    def normal(self, n: int, draw: int = 0) -> NDArray[np.float64]:
        """(tasks, n) float64 standard normal noise (Box-Muller)."""
        u = np.maximum(self.uniform(n, 2 * draw), 2.0**-54)
        v = self.uniform(n, 2 * draw + 1)
        return np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v)

    def seeds(self) -> list[int]:
        """One 32-bit seed a task, for libraries that want an integer."""
        return [int(key >> np.uint64(32)) for key in mix(self.keys)]
