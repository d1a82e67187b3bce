"""Hyper-parameters as YAML, one file an algorithm."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from al_gym.errors import ParameterError, UnknownNameError
from al_gym.registry import call_with

CONFIGS = Path(__file__).parent / "configs"

ACTIVATIONS: dict[str, type[torch.nn.Module]] = {
    "elu": torch.nn.ELU,
    "relu": torch.nn.ReLU,
    "silu": torch.nn.SiLU,
    "tanh": torch.nn.Tanh,
}


@dataclass(frozen=True)
class Config:
    """One YAML file.

    Attributes:
        environment: keyword arguments of the environment besides tasks, split and reward.
        reward_scale: rewards are multiplied by it before the agent sees them; the logs keep the environment's unit.
        group_size: campaigns on the same task; above 1 the agent sees each reward minus the mean of the others of its
            group in the same round (`agents.environment.GroupBaseline`).
        algorithm: arguments of the stable-baselines3 algorithm, `hidden` and `activation` of its network, and
            `final_learning_rate` for a learning rate that falls (`agents.schedule`).
    """

    environment: dict[str, Any] = field(default_factory=dict)
    reward_scale: float = 1.0
    group_size: int = 1
    algorithm: dict[str, Any] = field(default_factory=dict)


def load_config(path: str | Path) -> Config:
    """Read a YAML file; a section that does not exist is an UnknownNameError."""
    path = Path(path)
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ParameterError(f"cannot read the configuration {path}: {error}.") from error
    if not isinstance(sections, dict):
        raise ParameterError(f"the configuration {path} must hold the sections of agents/configs/ppo.yaml.")
    return call_with(Config, "configuration", "configurations", sections)


def take_network(algorithm: dict[str, Any]) -> tuple[list[int], type[torch.nn.Module]]:
    """Take `hidden` and `activation` out of an algorithm's arguments."""
    hidden, name = algorithm.pop("hidden"), algorithm.pop("activation")
    if not isinstance(hidden, list) or any(not isinstance(width, int) or width < 1 for width in hidden):
        raise ParameterError(f"hidden must be a list of positive layer widths, got {hidden!r}.")
    if name not in ACTIVATIONS:
        raise UnknownNameError("activation", name, ACTIVATIONS)
    return hidden, ACTIVATIONS[name]
