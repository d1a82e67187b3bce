"""A policy that was trained: plain torch inference from safetensors and JSON, without stable-baselines3."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.errors import PolicyError
from al_gym.policies.agent import AgentPolicy, AgentSpec
from al_gym.policies.base import Bools, Context, Floats
from al_gym.policies.network import Network
from al_gym.strategies.references import registered_only

WEIGHTS = "policy.safetensors"
SPEC = "policy.json"


class LearnedPolicy(AgentPolicy):
    """A trained network.

    Args:
        spec: the environment that it knows.
        network: its weights; one output an action, all components behind each other.
        deterministic: take the best action; else draw one by its probability, from the task's own stream.

    Raises:
        PolicyError: network and environment do not fit.
    """

    def __init__(self, spec: AgentSpec, network: Network, *, deterministic: bool = True) -> None:
        super().__init__(spec)
        found, wanted = (network.inputs, network.outputs), (len(spec.observation_names), sum(spec.action_dims))
        if found != wanted:
            raise PolicyError(f"policy {spec.name!r}: its network has (inputs, outputs) {found}, it needs {wanted}.")
        if self.actions.continuous and not deterministic:
            raise PolicyError(f"policy {spec.name!r} has continuous actions and no spread; use deterministic=True.")
        self.network = network
        self.deterministic = deterministic
        self._state = network.start(0)

    @classmethod
    def load(cls, folder: str | Path, *, deterministic: bool = True, trusted: bool = False) -> LearnedPolicy:
        """Read `policy.json` and `policy.safetensors` from a run folder; runs no code unless `trusted` (promise P9).

        Args:
            folder: of the run.
            deterministic: take the best action; else draw one by its probability.
            trusted: import strategies that the policy names by 'module:attribute'.

        Raises:
            PolicyError: a file is missing or damaged, belongs to another version of al_gym, or needs `trusted`.
        """
        absent = [name for name in (SPEC, WEIGHTS) if not (Path(folder) / name).is_file()]
        if absent:
            raise PolicyError(f"{folder} holds no {' and no '.join(absent)}; is it the folder of a training run?")
        spec, extra = AgentSpec.read(Path(folder) / SPEC)
        network = Network.read(Path(folder) / WEIGHTS, extra.get("activation", "tanh"))
        with nullcontext() if trusted else registered_only():
            return cls(spec, network, deterministic=deterministic)

    def save(self, folder: str | Path) -> None:
        """Write `policy.json` and `policy.safetensors`."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        extra: dict[str, Any] = {
            "activation": self.network.activation,
            "layers": {key: list(value.shape) for key, value in self.network.tensors.items()},
        }
        (Path(folder) / WEIGHTS).write_bytes(self.network.bytes())
        (Path(folder) / SPEC).write_text(self.agent.json(extra), encoding="utf-8")

    def begin(self, n_campaigns: int, batch_size: int) -> None:
        """See `Policy.begin`."""
        super().begin(n_campaigns, batch_size)
        self._state = self.network.start(n_campaigns)

    def answer(self, context: Context, observation: NDArray[np.float32], masks: Sequence[Bools]) -> NDArray[Any]:
        """See `AgentPolicy.answer`."""
        slots = torch.from_numpy(context.slots)
        scores, self._state[slots] = self._scores(observation, self._state[slots])
        if not self.deterministic:
            scores = scores + _gumbel(context.uniform(self.name, scores.shape[1]))
        return self.actions.best(scores, masks)

    def predict(self, observation: NDArray[np.float32], action_mask: Any = None) -> NDArray[Any]:
        """The best actions, for a loop over an environment (without LSTM layers only).

        Args:
            observation: (n, ...) float32, or the one of a single campaign.
            action_mask: `info["action_mask"]`; nothing is masked if None.

        Returns:
            Actions as the environment takes them: (n,), (n, components), or one of them.
        """
        if self._state.shape[1]:
            raise PolicyError(f"policy {self.name!r} is recurrent; use it in an evaluation, which keeps its state.")
        assert self.observer is not None  # for the type checker
        single = np.ndim(observation) == len(self.observer.shape)
        rows = np.asarray(observation, np.float32).reshape(-1, *self.observer.shape)
        ones = [np.ones((len(rows), size), np.bool_) for size in self.agent.action_dims]
        given = action_mask if isinstance(action_mask, tuple) else (action_mask,)
        masks = ones if action_mask is None else [np.atleast_2d(mask).astype(np.bool_) for mask in given]
        actions = self.actions.best(self._scores(rows, self.network.start(len(rows)))[0], masks)
        return actions[0] if single else actions

    def _scores(self, observation: NDArray[np.float32], state: Tensor) -> tuple[Floats, Tensor]:
        """(n, all components' sizes) float64, and the next state."""
        with torch.no_grad():
            scores, state = self.network(torch.from_numpy(observation.reshape(len(observation), -1)), state)
        return scores.double().numpy(), state

    def fingerprint(self) -> str:
        """A digest of weights and environment."""
        text = self.agent.json({}) + self.network.digest()
        mode = "" if self.deterministic else ", sampling"
        return f"learned {hashlib.sha256(text.encode()).hexdigest()[:16]}{mode}"


def _gumbel(uniform: Floats) -> Floats:
    return -np.log(-np.log(np.maximum(uniform, 2.0**-54)))
