"""What trained policies share: the environment they know, its observation and the meaning of their actions."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.envs.registration import load_env_creator
from numpy.typing import NDArray

from al_gym.envs.actions import Actions
from al_gym.envs.engine import Settings
from al_gym.envs.registration import ENVIRONMENTS, NAMESPACE
from al_gym.errors import PolicyError, UnknownNameError
from al_gym.policies.base import Bools, Choice, Context, Policy
from al_gym.strategies import Strategy, make_strategy

FORMAT = 1


@dataclass(frozen=True)
class AgentSpec:
    """The environment that an agent was trained in, as policy.json holds it.

    Attributes:
        env_id: registered id.
        strategies: those to choose from, as text.
        features: names of the observation's feature sets.
        batch_choices: labels a round to choose from, where the agent chooses.
        batch_size: labels a round of its training where it does not; an evaluation may use another one.
        allow_stop: whether it may end a campaign.
        observation_names: one name a component.
        action_dims: number of choices of each action component.
        name: of the policy, and key of its random draws.
        draws: proposals of each strategy that is not deterministic, where the agent chooses among proposals.
        training: anything about how it was trained.
        al_gym: version that it was trained with.
        format: of the file.
    """

    env_id: str
    strategies: tuple[str, ...]
    features: tuple[str, ...]
    batch_choices: tuple[int, ...]
    batch_size: int
    allow_stop: bool
    observation_names: tuple[str, ...]
    action_dims: tuple[int, ...]
    name: str = "learned"
    draws: int = 1
    training: dict[str, Any] = field(default_factory=dict)
    al_gym: str = field(default_factory=lambda: metadata.version("al-gym"))
    format: int = FORMAT

    @classmethod
    def of_settings(
        cls, env_id: str, settings: Settings, *, name: str = "learned", training: dict[str, Any] | None = None
    ) -> AgentSpec:
        """The spec of an environment with these settings (`envs.unwrapped.engine.settings`)."""
        specs = tuple(s.name if isinstance(s, Strategy) else s for s in settings.strategies)
        choices = tuple(map(int, settings.batch_choices))
        strategies = tuple(map(make_strategy, settings.strategies))
        actions = _kind(env_id)(strategies, settings.batch_size, choices, settings.allow_stop, settings.draws)
        observer = actions.observer(settings.features)
        return cls(
            env_id,
            specs,
            tuple(settings.features),
            choices,
            settings.batch_size,
            settings.allow_stop,
            tuple(observer.names),
            actions.sizes,
            name,
            settings.draws,
            training or {},
        )

    @classmethod
    def read(cls, path: Path) -> tuple[AgentSpec, dict[str, Any]]:
        """The spec in a policy.json, and what else the file holds.

        Raises:
            PolicyError: the file is not one of this format.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PolicyError(f"cannot read {path}: {error}.") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise PolicyError(f"{path} is not a policy of format {FORMAT}; train it again with this version of al_gym.")
        names = {f.name for f in fields(cls)}
        absent = sorted(names - set(content) - {"draws"})  # younger than the format
        if absent:
            raise PolicyError(f"{path} lacks {', '.join(absent)}; train the policy again.")
        values: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in content.items() if key in names
        }
        return cls(**values), {key: value for key, value in content.items() if key not in names}

    def json(self, extra: dict[str, Any]) -> str:
        """The content of policy.json."""
        return json.dumps(asdict(self) | extra, indent=2, allow_nan=False) + "\n"

    def actions(self, strategies: Sequence[Strategy], batch_size: int) -> Actions:
        """The meaning of its answers with these strategies when the default batch is `batch_size`."""
        return _kind(self.env_id)(strategies, batch_size, self.batch_choices, self.allow_stop, self.draws)


def _kind(env_id: str) -> type[Actions]:
    known = {f"{NAMESPACE}/{name}": entry for name, (entry, _) in ENVIRONMENTS.items()}
    if env_id not in known:
        raise UnknownNameError("environment", env_id, known)
    creator: Any = load_env_creator(known[env_id])
    kind: type[Actions] = creator.kind
    return kind


class AgentPolicy(Policy):
    """A policy that reads an observation and answers with an action of its environment.

    Args:
        spec: the environment that it knows.

    Raises:
        PolicyError: this version of al_gym computes another observation or has another action space.
    """

    def __init__(self, spec: AgentSpec) -> None:
        self.agent = spec
        self.name = spec.name
        self.strategies = tuple(make_strategy(s) for s in spec.strategies)
        self._prepare(spec.batch_size)
        assert self.observer is not None  # for the type checker
        if tuple(self.observer.names) != spec.observation_names:
            differ = sorted(set(self.observer.names) ^ set(spec.observation_names))
            raise PolicyError(
                f"policy {self.name!r} (al_gym {spec.al_gym}) was trained with other observations than this version "
                f"computes, {differ[:3] or 'in another order'}; train it again."
            )
        if self.actions.sizes != spec.action_dims:
            raise PolicyError(
                f"policy {self.name!r} has action dimensions {spec.action_dims}, "
                f"{spec.env_id} has {self.actions.sizes}."
            )

    def _prepare(self, batch_size: int) -> None:
        self.actions = self.agent.actions(self.strategies, batch_size)
        self.observer = self.actions.observer(self.agent.features)

    @property
    def labels(self) -> tuple[str, ...]:
        """The strategies' specs."""
        return self.agent.strategies

    def begin(self, n_campaigns: int, batch_size: int) -> None:
        """See `Policy.begin`."""
        self._prepare(batch_size)

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        if context.observation is None:
            raise PolicyError(f"policy {self.name!r} needs an observation in its context.")
        masks = self.actions.masks(context.slots, context.rounds)
        answer = self.answer(context, context.observation, masks)
        decision = self.actions.decode(answer, context.slots, context.rounds)
        k = np.minimum(decision.batch, context.remaining)
        queries = self.actions.pick(context.slots, context.views, decision, k)
        return Choice(decision.strategy, decision.batch, decision.stop, queries)

    @abstractmethod
    def answer(self, context: Context, observation: NDArray[np.float32], masks: Sequence[Bools]) -> NDArray[Any]:
        """Actions as the environment takes them, (n,) or (n, components).

        Args:
            context: the campaigns. observation: (n, ...) float32.
            masks: one (n, size) bool array an action component.
        """
