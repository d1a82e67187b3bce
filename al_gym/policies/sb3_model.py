"""A model saved by stable-baselines3, for those who trust the file: it is a pickle, and loading it can run code."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from al_gym.envs.engine import BATCH_CHOICES, DEFAULT_STRATEGIES, Settings
from al_gym.errors import PolicyError
from al_gym.policies.agent import AgentPolicy, AgentSpec
from al_gym.policies.base import Bools, Context
from al_gym.policies.learned import SPEC
from al_gym.strategies import make_strategy

_SIGNS = {"PPO": "clip_range", "DQN": "exploration_fraction"}


class SB3Policy(AgentPolicy):
    """Acts by `model.predict` of stable-baselines3.

    What the model was trained for is read from a `policy.json` beside the file; without one it must fit the default
    arguments of an environment.

    Args:
        path: a .zip of PPO or DQN.
        deterministic: as `model.predict` has it; sampling draws from torch's global generator and is refused.

    Raises:
        PolicyError: the file is missing, of another algorithm, or fits no environment.
    """

    def __init__(self, path: str | Path, *, deterministic: bool = True) -> None:
        if not deterministic:
            raise PolicyError("a stable-baselines3 model samples from a global generator; export it as policy.json.")
        self.path = Path(path)
        self.model = _load(self.path)
        super().__init__(_spec(self.path, self.model))

    def answer(self, context: Context, observation: NDArray[np.float32], masks: Sequence[Bools]) -> NDArray[Any]:
        """See `AgentPolicy.answer`."""
        actions, _ = self.model.predict(observation, deterministic=True)
        return np.asarray(actions)

    def fingerprint(self) -> str:
        """A digest of the file."""
        return f"sb3 {hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]}"


def _load(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            saved = json.loads(archive.read("data"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise PolicyError(f"{path} is not a model of stable-baselines3: {error}.") from error
    names = [name for name, sign in _SIGNS.items() if sign in saved]
    if len(names) != 1 or "lstm" in str(saved.get("policy_class")).lower():
        raise PolicyError(f"{path} is a model of another algorithm than {', '.join(_SIGNS)}; export it.")
    import stable_baselines3

    return getattr(stable_baselines3, names[0]).load(path, device="cpu")


def _spec(path: Path, model: Any) -> AgentSpec:
    if (path.parent / SPEC).is_file():
        return AgentSpec.read(path.parent / SPEC)[0]
    found = (model.observation_space.shape, repr(model.action_space))
    candidates = {
        "al_gym/Strategy-v0": DEFAULT_STRATEGIES,
        "al_gym/Budget-v0": ("margin",),
        "al_gym/StrategyBudget-v0": DEFAULT_STRATEGIES,
    }
    for env_id, strategies in candidates.items():
        spec = AgentSpec.of_settings(
            env_id, Settings(strategies=strategies, batch_choices=BATCH_CHOICES), name=path.stem
        )
        space = spec.actions([make_strategy(s) for s in spec.strategies], spec.batch_size).space()
        if found == ((len(spec.observation_names),), repr(space)):
            return spec
    raise PolicyError(
        f"{path} has observations {found[0]} and actions {found[1]}, which no environment with default arguments has; "
        f"put the {SPEC} of its training run beside it."
    )
