"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347), the default algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from agents.config import take_network
from al_gym.registry import call_with


def make_model(venv: VecEnv, algorithm: Mapping[str, Any], *, seed: int, device: str) -> PPO:
    """A PPO model with separate networks for policy and value.

    Args:
        venv: the training environments.
        algorithm: the section of that name in `configs/ppo.yaml`; for continuous actions it may hold `log_std_init`.
        seed: of weights, action noise and minibatches; the environments have their own.
        device: of the networks.
    """
    parameters = dict(algorithm)
    hidden, activation = take_network(parameters)
    parameters["batch_size"] = min(parameters["batch_size"], parameters["n_steps"] * venv.num_envs)
    spread = {"log_std_init": parameters.pop("log_std_init")} if "log_std_init" in parameters else {}
    parameters["policy_kwargs"] = {"net_arch": {"pi": hidden, "vf": hidden}, "activation_fn": activation, **spread}
    return call_with(
        PPO, "ppo", "algorithm", {**parameters, "policy": "MlpPolicy", "env": venv, "seed": seed, "device": device}
    )
