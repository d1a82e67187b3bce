"""The protocol of rewards and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from al_gym.registry import Registry

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Reference:
    """Learning curves of a reference strategy on the same task, split and seed.

    Attributes:
        spent: (n, points) int64, labels bought at each point, from 0, repeated at the end where a curve is shorter.
        accuracy: (n, points) float64, validation accuracy there.
    """

    spent: Ints
    accuracy: Floats

    def integral(self, spent: Ints) -> Floats:
        """(n,) area under the piece-wise linear curve from 0 to `spent` (n,) labels, flat after its last point."""
        left, right = self.spent[:, :-1], self.spent[:, 1:]
        low, high = self.accuracy[:, :-1], self.accuracy[:, 1:]
        end = np.minimum(right, spent[:, None])
        width = np.maximum(end - left, 0)
        slope = (high - low) / np.maximum(right - left, 1)
        area = (width * (low + 0.5 * slope * width)).sum(axis=1)
        return area + np.maximum(spent - self.spent[:, -1], 0) * self.accuracy[:, -1]


@dataclass(frozen=True)
class Transition:
    """One round of n campaigns, measured on the validation split.

    Attributes:
        before, after: (n,) float64 accuracy before and after the round.
        batch: (n,) int64 labels bought; 0 when the agent stopped.
        spent: (n,) int64 labels bought so far, this round included.
        budget: (n,) int64.
        ended: (n,) bool, the campaign is over. stopped: (n,) bool, because the agent chose to.
        reference: the reference curves, for rewards that ask for them.
    """

    before: Floats
    after: Floats
    batch: Ints
    spent: Ints
    budget: Ints
    ended: NDArray[np.bool_]
    stopped: NDArray[np.bool_]
    reference: Reference | None = None


class Reward(ABC):
    """Pays for one round; the environment subtracts the cost per round from it.

    Attributes:
        name: the registered name.
        needs_reference: whether the environment has to run the reference strategy at each reset.
        needs_target: whether `target_accuracy=` has to be set.
    """

    name: ClassVar[str] = ""
    needs_reference: ClassVar[bool] = False
    needs_target: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, transition: Transition) -> Floats:
        """(n,) float64."""


REWARDS: Registry[Reward] = Registry("reward", "al_gym.envs.rewards")
register_reward = REWARDS.register
