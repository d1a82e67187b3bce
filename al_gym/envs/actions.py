"""Action spaces: from what an agent answers to (strategy, batch, stop), and to the items where it says more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from al_gym.envs.observations import Observer, Setting
from al_gym.errors import ActionError
from al_gym.pool import PoolView
from al_gym.strategies import Strategy

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Views = Sequence[tuple[Ints, PoolView]]  # positions among the slots asked for, and the campaigns there


@dataclass(frozen=True)
class Decision:
    """What n campaigns do next: strategy (n,) int64 index, batch (n,) int64, stop (n,) bool, invalid (n,) bool.

    `parameters` (n, ...) is what `Actions.pick` needs besides; None where the strategy's name says all.
    """

    strategy: Ints
    batch: Ints
    stop: Bools
    invalid: Bools
    parameters: NDArray[Any] | None = None

    def take(self, which: Bools) -> Decision:
        """The decisions of some campaigns."""
        rest = None if self.parameters is None else self.parameters[which]
        return Decision(self.strategy[which], self.batch[which], self.stop[which], self.invalid[which], rest)


class Actions(ABC):
    """One way to act on campaigns.

    Args:
        strategies: to choose from.
        batch_size: labels a round where the agent does not choose.
        batch_choices: labels a round to choose from.
        allow_stop: whether the agent may end the campaign; masked until the first round is over.
        draws: proposals of each strategy that is not deterministic, where the agent chooses among proposals.

    Attributes:
        continuous: whether actions are numbers in [-1, 1] instead of choices.
    """

    continuous: ClassVar[bool] = False

    def __init__(
        self,
        strategies: Sequence[Strategy],
        batch_size: int,
        batch_choices: tuple[int, ...],
        allow_stop: bool,
        draws: int = 1,
    ) -> None:
        self.strategies = tuple(strategies)
        self.n_strategies = len(self.strategies)
        self.batch_size = batch_size
        self.batch_choices = np.asarray(batch_choices, dtype=np.int64)
        self.allow_stop = allow_stop
        self.draws = draws

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Number of choices of each component."""

    @abstractmethod
    def space(self) -> spaces.Space[Any]:
        """The action space of one campaign."""

    @abstractmethod
    def meaning(self, components: Ints) -> tuple[Ints, Ints, Bools]:
        """Strategy, batch and stop (n,) of valid components (n, len(sizes))."""

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes that an agent can ask for."""
        return (self.batch_size,)

    @property
    def names(self) -> list[str]:
        """What each choice of each component is, or each number of a continuous action."""
        stop = ["stop"] if self.allow_stop else []
        return [strategy.name for strategy in self.strategies] + stop

    def observer(self, features: Sequence[str]) -> Observer:
        """What an agent with these actions observes."""
        return Observer(Setting(self.strategies, self.batches), features)

    def pick(self, slots: Ints, views: Views, decision: Decision, k: Ints) -> Ints | None:
        """The items that the decision itself names; None where `decision.strategy` selects them.

        Args:
            slots: (n,) campaigns. views: of them. decision: what they do, none of them stops.
            k: (n,) batch sizes, clipped to what is left.

        Returns:
            (n, width) int64 positions in the pools, -1 after each campaign's `k`.
        """
        return None

    def parameters(self, components: Ints) -> NDArray[Any] | None:
        """`Decision.parameters` of valid components (n, len(sizes))."""
        return None

    def best(self, scores: Floats, masks: Sequence[Bools]) -> NDArray[Any]:
        """The valid actions of the highest scores (n, sum(sizes)), (n,) or (n, components) int64."""
        scores = np.where(np.concatenate(masks, axis=1), scores, -np.inf)
        parts = np.split(scores, np.cumsum(self.sizes)[:-1], axis=1)
        columns = [part.argmax(axis=1) for part in parts]
        return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)

    def masks(self, slots: Ints, rounds: Ints) -> list[Bools]:
        """One (n, size) bool array a component: what is valid in `slots` (n,) after `rounds` (n,) rounds."""
        return [np.ones((len(rounds), size), np.bool_) for size in self.sizes]

    def decode(self, actions: Any, slots: Ints, rounds: Ints) -> Decision:
        """Read actions; a masked component becomes its first valid choice.

        Args:
            actions: (n,) or (n, components), integers. slots: (n,) campaigns. rounds: (n,) rounds so far.

        Raises:
            ActionError: an action is outside the space.
        """
        components = self._components(actions, len(rounds))
        invalid = np.zeros(len(rounds), np.bool_)
        components = components.copy()
        for column, mask in enumerate(self.masks(slots, rounds)):
            masked = ~mask[np.arange(len(rounds)), components[:, column]]
            components[masked, column] = mask[masked].argmax(axis=1)
            invalid |= masked
        return Decision(*self.meaning(components), invalid, self.parameters(components))

    def _components(self, actions: Any, n: int) -> Ints:
        raw = np.asarray(actions)
        expected = (n,) if len(self.sizes) == 1 else (n, len(self.sizes))
        if raw.shape != expected or raw.dtype.kind not in "iu":
            raise ActionError(
                f"actions must be integers of shape {expected}, got {raw.dtype} of shape {raw.shape}: {actions!r}."
            )
        components = raw.astype(np.int64).reshape(n, len(self.sizes))
        outside = (components < 0) | (components >= np.asarray(self.sizes))
        if outside.any():
            row, column = np.argwhere(outside)[0]
            raise ActionError(
                f"action {raw[row].tolist()} of campaign {row} is outside the space: "
                f"component {column} must be in 0..{self.sizes[column] - 1}."
            )
        return components


class StrategyActions(Actions):
    """Which query strategy takes the next batch of fixed size."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """See `Actions.sizes`."""
        return (self.n_strategies + int(self.allow_stop),)

    def space(self) -> spaces.Space[Any]:
        """`Discrete`."""
        return spaces.Discrete(self.sizes[0])

    def masks(self, slots: Ints, rounds: Ints) -> list[Bools]:
        """See `Actions.masks`."""
        return mask_stop(super().masks(slots, rounds), rounds, self.allow_stop)

    def meaning(self, components: Ints) -> tuple[Ints, Ints, Bools]:
        """See `Actions.meaning`."""
        stop = components[:, 0] >= self.n_strategies
        return np.where(stop, 0, components[:, 0]), np.full(len(components), self.batch_size), stop


class BudgetActions(Actions):
    """How many labels the first strategy takes next."""

    @property
    def names(self) -> list[str]:
        """See `Actions.names`."""
        return [f"{size} labels" for size in self.batch_choices.tolist()] + (["stop"] if self.allow_stop else [])

    @property
    def sizes(self) -> tuple[int, ...]:
        """See `Actions.sizes`."""
        return (len(self.batch_choices) + int(self.allow_stop),)

    def space(self) -> spaces.Space[Any]:
        """`Discrete`."""
        return spaces.Discrete(self.sizes[0])

    @property
    def batches(self) -> tuple[int, ...]:
        """See `Actions.batches`."""
        return tuple(self.batch_choices.tolist())

    def masks(self, slots: Ints, rounds: Ints) -> list[Bools]:
        """See `Actions.masks`."""
        return mask_stop(super().masks(slots, rounds), rounds, self.allow_stop)

    def meaning(self, components: Ints) -> tuple[Ints, Ints, Bools]:
        """See `Actions.meaning`."""
        stop = components[:, 0] >= len(self.batch_choices)
        batch = self.batch_choices[np.where(stop, 0, components[:, 0])]
        return np.zeros(len(components), np.int64), batch, stop


class StrategyBudgetActions(BudgetActions):
    """Which strategy takes how many labels next."""

    @property
    def names(self) -> list[str]:
        """See `Actions.names`."""
        return [strategy.name for strategy in self.strategies] + super().names

    @property
    def sizes(self) -> tuple[int, ...]:
        """See `Actions.sizes`."""
        return (self.n_strategies, *super().sizes)

    def space(self) -> spaces.Space[Any]:
        """`MultiDiscrete`."""
        return spaces.MultiDiscrete(list(self.sizes))

    def meaning(self, components: Ints) -> tuple[Ints, Ints, Bools]:
        """See `Actions.meaning`."""
        _, batch, stop = super().meaning(components[:, 1:])
        return components[:, 0], batch, stop


def mask_stop(masks: list[Bools], rounds: Ints, allow_stop: bool) -> list[Bools]:
    """Mask the last choice of the last component, to stop, before the first round."""
    if allow_stop:
        masks[-1][rounds == 0, -1] = False
    return masks
