"""From a stable-baselines3 model to `policy.safetensors` + `policy.json`, which `al_gym.load_policy` reads (P9)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.config import ACTIVATIONS
from agents.environment import agent_spec, layers
from al_gym.policies.learned import SPEC, WEIGHTS, LearnedPolicy
from al_gym.policies.network import Network


def export_policy(model: BaseAlgorithm, folder: Path, env_id: str, training: Mapping[str, Any]) -> LearnedPolicy:
    """Write what the model does, without exploration, into `folder`; each file is replaced at once.

    Args:
        model: of `agents.algorithms`. folder: exists. env_id: of its environment.
        training: JSON-able, kept in policy.json.
    """
    assert model.env is not None
    spec = agent_spec(layers(model.env)[0], env_id)
    spec = replace(spec, training={**training, "timesteps": model.num_timesteps})
    policy = LearnedPolicy(spec, policy_network(model))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export") as temporary:
        policy.save(temporary)
        for name in (WEIGHTS, SPEC):
            (Path(temporary) / name).replace(folder / name)
    return policy


def policy_network(model: BaseAlgorithm) -> Network:
    """The part of a model that decides: LSTM layers if it has them, hidden layers, and one output an action."""
    policy: Any = model.policy
    if hasattr(policy, "q_net"):
        modules = list(policy.q_net.q_net)
    else:
        modules = [*policy.mlp_extractor.policy_net, policy.action_net]
    linear = [module for module in modules if isinstance(module, torch.nn.Linear)]
    tensors = {f"mlp.{i}.{part}": getattr(layer, part) for i, layer in enumerate(linear) for part in ("weight", "bias")}
    if hasattr(policy, "lstm_actor"):
        lstm = policy.lstm_actor
        for i in range(lstm.num_layers):
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                tensors[f"lstm.{i}.{part}"] = getattr(lstm, f"{part}_l{i}")
    return Network(tensors, _activation(modules))


def _activation(modules: Iterable[torch.nn.Module]) -> str:
    for name, kind in ACTIVATIONS.items():
        if any(isinstance(module, kind) for module in modules):
            return name
    return "tanh"  # no hidden layer, so that it is never used
