"""PPO with an LSTM (sb3-contrib), whose state lasts one campaign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.config import take_network
from al_gym.errors import MissingExtraError
from al_gym.registry import call_with

try:
    from sb3_contrib import RecurrentPPO
except ImportError as error:
    raise MissingExtraError("sb3-contrib", "contrib") from error


def make_model(venv: VecEnv, algorithm: Mapping[str, Any], *, seed: int, device: str) -> OnPolicyAlgorithm:
    """A recurrent PPO model; the arguments are those of `agents.ppo.make_model`."""
    parameters = dict(algorithm)
    hidden, activation = take_network(parameters)
    parameters["batch_size"] = min(parameters["batch_size"], parameters["n_steps"] * venv.num_envs)
    parameters["policy_kwargs"] = {
        "net_arch": {"pi": hidden, "vf": hidden},
        "activation_fn": activation,
        "lstm_hidden_size": parameters.pop("lstm_hidden_size"),
    }
    arguments = {**parameters, "policy": "MlpLstmPolicy", "env": venv, "seed": seed, "device": device}
    return call_with(RecurrentPPO, "recurrent-ppo", "algorithm", arguments)
