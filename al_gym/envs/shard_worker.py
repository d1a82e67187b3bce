"""The process behind one shard of a `ShardedVectorEnv`: a native vector environment that answers requests."""

from __future__ import annotations

import pickle
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from al_gym.threads import pin_threads

MakeShard = Callable[[int], VectorEnv[Any, Any, Any]]


class Rows:
    """Arrays that all shards and the main process share, one row an environment.

    Args:
        memory: at least `size` bytes.
        num_envs: rows.
        shape: of one observation.
        dtype: of observations.

    Attributes:
        observation: (num_envs, *shape). reward: (num_envs,) float64. terminated, truncated: (num_envs,) bool.
    """

    def __init__(self, memory: SharedMemory, num_envs: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.memory = memory
        start = 0
        arrays = []
        for kind, tail in (
            (np.dtype(np.float64), ()),
            (dtype, shape),
            (np.dtype(np.bool_), ()),
            (np.dtype(np.bool_), ()),
        ):
            arrays.append(np.ndarray((num_envs, *tail), kind, memory.buf, start))
            start += arrays[-1].nbytes
        self.reward, self.observation, self.terminated, self.truncated = arrays

    @staticmethod
    def size(num_envs: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
        """Bytes for `num_envs` rows."""
        return num_envs * (8 + 2 + dtype.itemsize * int(np.prod(shape, dtype=np.int64)))


class _Shard:
    """The environment of one worker, and the rows that it writes."""

    def __init__(self, make: bytes, num_envs: int) -> None:
        self.env: VectorEnv[Any, Any, Any] = pickle.loads(make)(num_envs)
        self.rows: Rows | None = None
        self.at = slice(0, num_envs)

    def spaces(self) -> tuple[Any, ...]:
        """What the main process has to know of the environment."""
        env = self.env
        return env.single_observation_space, env.single_action_space, env.metadata, env.render_mode, env.spec

    def attach(self, name: str, num_envs: int, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Write rows `start`, ... of the shared arrays from now on."""
        self.rows = Rows(SharedMemory(name), num_envs, shape, dtype)
        self.at = slice(start, start + self.env.num_envs)

    def reset(self, seeds: list[int | None] | None, options: dict[str, Any] | None) -> dict[str, Any]:
        """`VectorEnv.reset`; the infos alone go through the pipe."""
        assert self.rows is not None
        self.rows.observation[self.at], infos = self.env.reset(seed=seeds, options=options)  # type: ignore[arg-type]
        return infos

    def step(self, actions: Any) -> dict[str, Any]:
        """`VectorEnv.step`; the infos alone go through the pipe."""
        assert self.rows is not None
        rows = self.rows
        rows.observation[self.at], rows.reward[self.at], rows.terminated[self.at], rows.truncated[self.at], infos = (
            self.env.step(actions)
        )
        return infos

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An attribute, or what a method returns."""
        value = getattr(self.env, name)
        return value(*args, **kwargs) if callable(value) else value

    def set(self, name: str, value: Any) -> None:
        """Set an attribute of the environment itself, below wrappers."""
        setattr(self.env.unwrapped, name, value)

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """`function(env, *args)`."""
        return function(self.env, *args)

    def replace(self, function: Callable[..., VectorEnv[Any, Any, Any]], args: tuple[Any, ...]) -> None:
        """`function(env, *args)` is the environment from now on."""
        self.env = function(self.env, *args)

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


def serve(connection: Connection, make: bytes, num_envs: int) -> None:
    """Answer requests (number, method, arguments) with (number, failed, result) until `close` or the pipe's end.

    Ctrl-C is left to the main process, which closes its workers; one whose main process has gone ends by itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pin_threads()
    shard: _Shard | None = None
    try:
        while True:
            number, method, arguments = connection.recv()
            try:
                if shard is None:
                    shard = _Shard(make, num_envs)
                answer: tuple[int, bool, Any] = (number, False, getattr(shard, method)(*arguments))
            except Exception as error:  # noqa: BLE001 - whatever it is, the main process raises it
                answer = (number, True, (error, traceback.format_exc()))
            _send(connection, answer)
            if method == "close":
                return
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _send(connection: Connection, answer: tuple[int, bool, Any]) -> None:
    """Send an answer; what cannot be pickled becomes an error that says so."""
    number, failed, result = answer
    try:
        connection.send(answer)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        text = result[1] if failed else traceback.format_exc()
        connection.send((number, True, (TypeError(f"the answer of a shard cannot be sent: {error}"), text)))
