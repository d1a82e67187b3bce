"""The environments of a checkpoint: campaigns and generators, without the datasets; of one process or of shards."""

from __future__ import annotations

import io
import pickle
from typing import Any

from gymnasium.vector import VectorEnv
from stable_baselines3.common.vec_env import VecEnv

from agents.environment import layers
from al_gym.envs.engine import Engine
from al_gym.envs.sharded import ShardedVectorEnv
from al_gym.tasks import Dataset


class _Pickler(pickle.Pickler):
    """Leaves out the datasets, which the run reads again from where its arguments say."""

    def __init__(self, file: io.BytesIO, engine: Engine) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.tasks = engine.tasks
        self.shared = _shared(engine)

    def persistent_id(self, obj: Any) -> tuple[str, ...] | None:
        if isinstance(obj, Dataset) and obj.name in self.tasks:
            return ("dataset", obj.name, obj.content_hash.hex())
        return next((("shared", name) for name, value in self.shared.items() if value is obj), None)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, engine: Engine) -> None:
        super().__init__(file)
        self.tasks = engine.tasks
        self.shared = _shared(engine)

    def persistent_load(self, pid: tuple[str, ...]) -> Any:
        if pid[0] == "shared":
            return self.shared[pid[1]]
        _, name, content = pid
        dataset = self.tasks.get(name)
        if dataset.content_hash.hex() != content:
            raise ValueError(f"the dataset {name!r} has changed since")
        return dataset


def _shared(engine: Engine) -> dict[str, Any]:
    own = {} if isinstance(engine.settings.tasks, str) else {"settings.tasks": engine.settings.tasks}
    return {**own, "tasks": engine.tasks}


def _dump(env: VectorEnv[Any, Any, Any], *more: Any) -> bytes:
    """A native environment and what goes with it; in a shard, run by its worker."""
    file = io.BytesIO()
    _Pickler(file, env.unwrapped.engine).dump((env, *more))  # type: ignore[attr-defined]
    return file.getvalue()


def _load(env: VectorEnv[Any, Any, Any], data: bytes) -> tuple[Any, ...]:
    """What `_dump` wrote, with the datasets of `env`."""
    loaded: tuple[Any, ...] = _Unpickler(io.BytesIO(data), env.unwrapped.engine).load()  # type: ignore[attr-defined]
    return loaded


def _load_shard(env: VectorEnv[Any, Any, Any], data: bytes) -> VectorEnv[Any, Any, Any]:
    loaded: VectorEnv[Any, Any, Any] = _load(env, data)[0]
    return loaded


def dump_environments(venv: VecEnv) -> bytes:
    """Everything that changes while the environments of `make_training_env` run.

    Args:
        venv: between two steps.
    """
    adapter, monitor = layers(venv)
    episodes = (monitor.episode_returns, monitor.episode_lengths, monitor.episode_count)
    if isinstance(adapter.vector_env, ShardedVectorEnv):
        return pickle.dumps((adapter.vector_env.apply(_dump), *episodes))
    return _dump(adapter.vector_env, *episodes)


def load_environments(venv: VecEnv, data: bytes) -> None:
    """Go on where `dump_environments` was.

    Args:
        venv: made with the same arguments, `shards` among them. data: read with pickle, so trust it.

    Raises:
        ValueError: a dataset is not the one of then.
    """
    adapter, monitor = layers(venv)
    env = adapter.vector_env
    if isinstance(env, ShardedVectorEnv):
        parts, *episodes = pickle.loads(data)
        env.replace(_load_shard, [(part,) for part in parts])
    else:
        adapter.vector_env, *episodes = _load(env, data)
    monitor.episode_returns, monitor.episode_lengths, monitor.episode_count = episodes
