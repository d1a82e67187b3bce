"""The algorithms of `--algo`, imported when they are asked for."""

from __future__ import annotations

import importlib
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.config import CONFIGS, Config
from agents.schedule import with_schedule
from al_gym.errors import UnknownNameError

ALGORITHMS = {"ppo": "agents.ppo", "recurrent-ppo": "agents.recurrent_ppo", "dqn": "agents.dqn"}


def default_config(name: str) -> Path:
    """The YAML file of an algorithm.

    Raises:
        UnknownNameError: no such algorithm.
    """
    if name not in ALGORITHMS:
        raise UnknownNameError("algorithm", name, ALGORITHMS)
    return CONFIGS / f"{name}.yaml"


def make_model(name: str, venv: VecEnv, config: Config, *, seed: int, device: str) -> BaseAlgorithm:
    """Build a model; its environments have not been reset.

    Args:
        name: a key of `ALGORITHMS`. venv: the environments. config: hyper-parameters.
        seed: of the model. device: where it lives.

    Raises:
        UnknownNameError: no such algorithm, or no such parameter of it.
        ParameterError: a hyper-parameter outside its range.
        MissingExtraError: the algorithm needs a library that is not installed.
    """
    default_config(name)
    model: BaseAlgorithm = importlib.import_module(ALGORITHMS[name]).make_model(
        venv, with_schedule(config.algorithm), seed=seed, device=device
    )
    return model
