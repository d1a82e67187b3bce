"""Deep Q-learning (Mnih et al. 2015, Nature 518), for environments with a Discrete action space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import VecEnv

from agents.config import take_network
from al_gym.errors import ParameterError
from al_gym.registry import call_with


def make_model(venv: VecEnv, algorithm: Mapping[str, Any], *, seed: int, device: str) -> DQN:
    """A DQN model; the arguments are those of `agents.ppo.make_model`.

    Raises:
        ParameterError: the action space is not `Discrete`.
    """
    if not isinstance(venv.action_space, spaces.Discrete):
        raise ParameterError(f"dqn needs a Discrete action space, got {venv.action_space}; use --algo ppo.")
    parameters = dict(algorithm)
    hidden, activation = take_network(parameters)
    parameters["policy_kwargs"] = {"net_arch": hidden, "activation_fn": activation}
    return call_with(
        DQN, "dqn", "algorithm", {**parameters, "policy": "MlpPolicy", "env": venv, "seed": seed, "device": device}
    )
