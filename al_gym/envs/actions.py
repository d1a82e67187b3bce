"""Action spaces: from what an agent answers to (strategy, batch, stop)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from al_gym.errors import ActionError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Decision:
    """What n campaigns do next: strategy (n,) int64 index, batch (n,) int64, stop (n,) bool, invalid (n,) bool."""

    strategy: Ints
    batch: Ints
    stop: Bools
    invalid: Bools


class Actions(ABC):
    """One way to act on campaigns.

    Args:
        n_strategies: strategies to choose from.
        batch_size: labels a round where the agent does not choose.
        batch_choices: labels a round to choose from.
        allow_stop: whether the agent may end the campaign; masked until the first round is over.
    """

    def __init__(self, n_strategies: int, batch_size: int, batch_choices: tuple[int, ...], allow_stop: bool) -> None:
        self.n_strategies = n_strategies
        self.batch_size = batch_size
        self.batch_choices = np.asarray(batch_choices, dtype=np.int64)
        self.allow_stop = allow_stop

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

    def masks(self, rounds: Ints) -> list[Bools]:
        """One (n, size) bool array a component: what is valid after `rounds` (n,) rounds."""
        return [np.ones((len(rounds), size), np.bool_) for size in self.sizes]

    def decode(self, actions: Any, rounds: Ints) -> Decision:
        """Read actions; a masked component becomes its first valid choice.

        Args:
            actions: (n,) or (n, components), integers. rounds: (n,) rounds so far.

        Raises:
            ActionError: an action is outside the space.
        """
        components = self._components(actions, len(rounds))
        invalid = np.zeros(len(rounds), np.bool_)
        components = components.copy()
        for column, mask in enumerate(self.masks(rounds)):
            masked = ~mask[np.arange(len(rounds)), components[:, column]]
            components[masked, column] = mask[masked].argmax(axis=1)
            invalid |= masked
        return Decision(*self.meaning(components), invalid)

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

    def masks(self, rounds: Ints) -> list[Bools]:
        """See `Actions.masks`."""
        return _mask_stop(super().masks(rounds), rounds, self.allow_stop)

    def meaning(self, components: Ints) -> tuple[Ints, Ints, Bools]:
        """See `Actions.meaning`."""
        stop = components[:, 0] >= self.n_strategies
        return np.where(stop, 0, components[:, 0]), np.full(len(components), self.batch_size), stop


class BudgetActions(Actions):
    """How many labels the first strategy takes next."""

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

    def masks(self, rounds: Ints) -> list[Bools]:
        """See `Actions.masks`."""
        return _mask_stop(super().masks(rounds), rounds, self.allow_stop)

    def meaning(self, components: Ints) -> tuple[Ints, Ints, Bools]:
        """See `Actions.meaning`."""
        stop = components[:, 0] >= len(self.batch_choices)
        batch = self.batch_choices[np.where(stop, 0, components[:, 0])]
        return np.zeros(len(components), np.int64), batch, stop


class StrategyBudgetActions(BudgetActions):
    """Which strategy takes how many labels next."""

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


def _mask_stop(masks: list[Bools], rounds: Ints, allow_stop: bool) -> list[Bools]:
    if allow_stop:
        masks[-1][rounds == 0, -1] = False
    return masks
