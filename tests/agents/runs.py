"""Training runs that take a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SMALL = {
    "pool_size": 40,
    "validation_size": 20,
    "budget": 12,
    "batch_size": 3,
    "strategies": ["random", "margin", "entropy"],
}

ALGORITHMS: dict[str, dict[str, Any]] = {
    "ppo": {
        "hidden": [8, 8], "activation": "tanh", "learning_rate": 0.01, "n_steps": 6, "batch_size": 12, "n_epochs": 2,
        "gamma": 1.0, "ent_coef": 0.01,
    },
    "recurrent-ppo": {
        "hidden": [8], "activation": "relu", "lstm_hidden_size": 8, "learning_rate": 0.01, "n_steps": 6,
        "batch_size": 12, "n_epochs": 2, "gamma": 1.0,
    },
    "dqn": {
        "hidden": [8, 8], "activation": "relu", "learning_rate": 0.01, "buffer_size": 100, "learning_starts": 24,
        "batch_size": 16, "train_freq": 3, "gradient_steps": 2, "target_update_interval": 24, "gamma": 1.0,
    },
}  # fmt: skip


def write_config(folder: Path, algo: str = "ppo", **environment: Any) -> str:
    """A YAML file of tiny hyper-parameters."""
    path = folder / f"{algo}.yaml"
    sections = {"environment": {**SMALL, **environment}, "reward_scale": 100.0, "algorithm": ALGORITHMS[algo]}
    path.write_text(yaml.safe_dump(sections))
    return str(path)


def change_config(path: str, **sections: Any) -> None:
    """Set values in a YAML file; those of a mapping are added to its section."""
    config = yaml.safe_load(Path(path).read_text())
    for name, value in sections.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    Path(path).write_text(yaml.safe_dump(config))


def arguments(folder: Path, name: str, algo: str = "ppo", **more: Any) -> dict[str, Any]:
    """Arguments of a run in `folder / name`."""
    return {
        "tasks": "synthetic-small", "total_timesteps": 144, "n_envs": 4, "seed": 5, "out": str(folder / name),
        "algo": algo, "no_eval": True, "config": write_config(folder, algo), "checkpoint_every": 24, **more,
    }  # fmt: skip
