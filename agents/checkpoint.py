"""Exact checkpoints of a training run at rollout boundaries (promise P10).

A checkpoint is one file, written beside its place and moved there. It holds the networks and their optimiser, the
algorithm's counters and buffers, the unfinished log entry, every global generator, and the environments with their
own generators and campaigns. A run that continues from it takes the same steps as one that was never stopped.

Everything but the environments is plain tensors and numbers, read by `torch.load(weights_only=True)`, which runs no
code. The environments are Python objects and stored as a pickle, and reading a pickle can run code: continue runs
of your own only. Policies are shared as `policy.safetensors` + `policy.json` instead (promise P9).
"""

from __future__ import annotations

import contextlib
import pickle
import random
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer

from agents.environment import shards_of
from agents.environment_state import dump_environments, load_environments
from al_gym.errors import ResumeError
from al_gym.evaluation.files import write_atomically

KEEP = 2
FORMAT = 1

# Attributes of stable-baselines3 algorithms that change while they learn; each algorithm has some of them.
COUNTERS = (
    "num_timesteps",
    "_n_updates",
    "_episode_num",
    "_current_progress_remaining",
    "_n_calls",
    "exploration_rate",
)
REPLAY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


@dataclass(frozen=True)
class Restored:
    """What a run continues from: environment steps so far, and seconds spent on them."""

    timesteps: int
    seconds: float


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted((folder / "checkpoints").glob("[0-9]*.pt"))


def save_checkpoint(folder: Path, model: BaseAlgorithm, seconds: float) -> Path:
    """Write a checkpoint and delete all but the newest `KEEP`; to be called between two rollouts.

    Args:
        folder: of the run. model: as it is before the next rollout. seconds: spent so far.
    """
    assert model.env is not None
    state = {
        "format": FORMAT,
        "algorithm": type(model).__name__,
        "seconds": seconds,
        "model": _model_state(model),
        "log": _log_state(model),
        "generators": _generator_state(model),
        "shards": shards_of(model.env),
        "environments": torch.frombuffer(bytearray(dump_environments(model.env)), dtype=torch.uint8),
    }
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoints" / f"{model.num_timesteps:012d}.pt"
    write_atomically(path, lambda file: torch.save(state, file))
    for old in checkpoints(folder)[:-KEEP]:
        old.unlink()
    return path


def restore_checkpoint(path: Path, model: BaseAlgorithm) -> Restored:
    """Put a checkpoint into a model that was built with the same arguments; its logger is set already.

    Args:
        path: of the checkpoint; its environments are read with pickle, so trust it. model: to be filled.

    Raises:
        ResumeError: the file cannot be read or belongs to other arguments, such as another number of shards.
    """
    try:
        state = torch.load(path, map_location=model.device, weights_only=True)
        if (state["format"], state["algorithm"]) != (FORMAT, type(model).__name__):
            raise ValueError(f"it holds {state['algorithm']} in format {state['format']}")
        assert model.env is not None
        before, now = state.get("shards", 1), shards_of(model.env)
        if before != now:
            raise ResumeError(f"{path} holds the environments of --shards {before}, got {now}: continue with {before}.")
        _put_model(model, state["model"])
        load_environments(model.env, state["environments"].cpu().numpy().tobytes())
    except (OSError, KeyError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ResumeError(
            f"cannot continue from {path}: {error}. Delete it to continue from the one before it."
        ) from error
    for name, values in state["log"].items():
        getattr(model.logger, name).update(values)
    _put_generators(model, state["generators"])
    return Restored(model.num_timesteps, state["seconds"])


def elapsed(model: BaseAlgorithm) -> float:
    """Seconds since the start of the run, as the log counts them."""
    return (time.time_ns() - model.start_time) / 1e9


# --- the algorithm -------------------------------------------------------------------------------------------
def _model_state(model: BaseAlgorithm) -> dict[str, Any]:
    assert isinstance(model._last_obs, np.ndarray)
    assert model.ep_info_buffer is not None
    state: dict[str, Any] = {
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
        "last_obs": torch.from_numpy(model._last_obs),
        "last_episode_starts": torch.from_numpy(np.asarray(model._last_episode_starts)),
        "episodes": [{key: float(value) for key, value in info.items()} for info in model.ep_info_buffer],
    }
    lstm = getattr(model, "_last_lstm_states", None)
    if lstm is not None:
        state["lstm"] = [list(lstm.pi), list(lstm.vf)]
    replay = getattr(model, "replay_buffer", None)
    if isinstance(replay, ReplayBuffer):
        filled = replay.buffer_size if replay.full else replay.pos
        arrays = {name: torch.from_numpy(getattr(replay, name)[:filled]).clone() for name in REPLAY}
        state["replay"] = {"pos": replay.pos, "full": replay.full, "arrays": arrays}
    return state


def _put_model(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    model.policy.load_state_dict(state["policy"])
    model.policy.optimizer.load_state_dict(state["optimizer"])
    for name, value in state["counters"].items():
        setattr(model, name, value)
    model._last_obs = state["last_obs"].cpu().numpy()
    model._last_episode_starts = state["last_episode_starts"].cpu().numpy()
    episodes = [{**info, "r": np.float32(info["r"]), "l": np.int32(info["l"])} for info in state["episodes"]]
    model.ep_info_buffer = deque(episodes, maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    if "lstm" in state:
        pi, vf = (tuple(part) for part in state["lstm"])
        model._last_lstm_states = type(model._last_lstm_states)(pi, vf)  # type: ignore[attr-defined]
    if "replay" in state:
        replay = model.replay_buffer  # type: ignore[attr-defined]
        for name, values in state["replay"]["arrays"].items():
            getattr(replay, name)[: len(values)] = values.cpu().numpy()
        replay.pos, replay.full = state["replay"]["pos"], state["replay"]["full"]


def _log_state(model: BaseAlgorithm) -> dict[str, Any]:
    """The log entry that is not complete yet: what training recorded since the last row."""
    logger = model.logger
    return {
        "name_to_value": {name: float(value) for name, value in logger.name_to_value.items()},
        "name_to_count": dict(logger.name_to_count),
        "name_to_excluded": dict(logger.name_to_excluded),
    }


# --- generators ----------------------------------------------------------------------------------------------
def _generator_state(model: BaseAlgorithm) -> dict[str, Any]:
    """Global generators, which stable-baselines3 draws from, and the one of the action space."""
    state: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    kind, keys, position, has_gauss, gauss = state
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if model.device.type == "cuda" else [],
        "actions": model.action_space.np_random.bit_generator.state,
    }


def _put_generators(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if model.device.type == "cuda":
        torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda"]])
    model.action_space.np_random.bit_generator.state = state["actions"]


def remove_leftovers(folder: Path) -> None:
    """Delete what a kill left of a checkpoint that was being written."""
    for path in (folder / "checkpoints").glob("*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
