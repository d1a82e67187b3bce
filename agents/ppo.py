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
        algorithm: the section of that name in `configs/ppo.yaml`.
        seed: of weights, action noise and minibatches; the environments have their own.
        device: of the networks.
    """
    parameters = dict(algorithm)
    hidden, activation = take_network(parameters)
    parameters["batch_size"] = min(parameters["batch_size"], parameters["n_steps"] * venv.num_envs)
    parameters["policy_kwargs"] = {"net_arch": {"pi": hidden, "vf": hidden}, "activation_fn": activation}
    return call_with(
        PPO, "ppo", "algorithm", {**parameters, "policy": "MlpPolicy", "env": venv, "seed": seed, "device": device}
    )
