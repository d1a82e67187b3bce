"""Feature sets, their registry, and the observer that joins them into one vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.campaign import Campaign
from al_gym.pool import PoolView
from al_gym.registry import Registry
from al_gym.strategies import Strategy

BINS = 128
DEFAULT_FEATURES = ("uncertainty", "classes", "progress", "training", "prequential", "coverage", "last-action")


@dataclass(frozen=True)
class Setting:
    """What an observation depends on besides the campaign.

    Attributes:
        strategies: those that the agent chooses from.
        batch_choices: those that the agent chooses from; one entry if the batch is fixed.
    """

    strategies: tuple[Strategy, ...]
    batch_choices: tuple[int, ...]


class FeatureSet(ABC):
    """A group of observation components. Nothing but a `PoolView` and the agent's own last action goes in.

    Attributes:
        name: the registered name.
    """

    name: ClassVar[str] = ""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    @abstractmethod
    def names(self) -> dict[str, str]:
        """Component -> what it is, in the order of `compute`."""

    @abstractmethod
    def compute(self, view: PoolView, last_strategy: Tensor) -> Tensor:
        """Components of each campaign.

        Args:
            view: the campaigns. last_strategy: (tasks,) int64, index of the last strategy, -1 before the first round.

        Returns:
            (tasks, components) float32; the observer clips to [-1, 1].
        """


FEATURES: Registry[FeatureSet] = Registry("feature set", "al_gym.envs.observations")
register_features = FEATURES.register


class Observer:
    """Turns campaigns into observation vectors, the same in environments, evaluation and labelling (P1).

    Args:
        setting: strategies and batch choices of the agent.
        features: names of feature sets, in order.
    """

    low = -1.0
    high = 1.0

    def __init__(self, setting: Setting, features: Sequence[str] = DEFAULT_FEATURES) -> None:
        self.setting = setting
        self.features = tuple(features)
        self._sets = [FEATURES.get(name)(setting) for name in features]
        self.documentation = {f"{s.name}/{key}": text for s in self._sets for key, text in s.names().items()}

    @property
    def names(self) -> list[str]:
        """One name a component, `set/component`."""
        return list(self.documentation)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the observation of one campaign."""
        return (len(self),)

    def __len__(self) -> int:
        return len(self.documentation)

    def observe(
        self, campaign: Campaign, slots: NDArray[np.int64], last_strategy: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """(n, components) float32 in [-1, 1] for the campaigns in `slots`; `last_strategy` is (n,), -1 for none."""
        return self._pool_level(campaign, slots, last_strategy)

    def _pool_level(
        self, campaign: Campaign, slots: NDArray[np.int64], last_strategy: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """(n, components) float32: the feature sets."""
        out = np.zeros((len(slots), sum(len(s.names()) for s in self._sets)), np.float32)
        for at, view in campaign.views(slots):
            last = torch.from_numpy(last_strategy[at]).to(campaign.device)
            parts = [s.compute(view, last).to(torch.float32) for s in self._sets]
            out[at] = torch.cat(parts, dim=1).clamp_(self.low, self.high).cpu().numpy()
        return out


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """(tasks,) mean of `values` (tasks, items) where `mask`, 0 where nothing is."""
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def masked_quantiles(values: Tensor, mask: Tensor, levels: Sequence[float]) -> Tensor:
    """Quantiles of `values` (tasks, items) in [0, 1] where `mask`, from a histogram of 128 bins, linear inside a bin.

    Selection costs a sort here; a histogram is off by at most 1/128 and costs one pass.

    Returns:
        (tasks, levels) float32; 0 where nothing is masked in.
    """
    bins = (values * BINS).floor().clamp(0, BINS - 1).to(torch.int64)
    histogram = torch.zeros(len(values), BINS, dtype=torch.float64, device=values.device)
    histogram.scatter_add_(1, bins, mask.to(torch.float64))
    below = histogram.cumsum(dim=1)
    count = mask.sum(dim=1)
    target = torch.tensor(levels, dtype=torch.float64, device=values.device)[None, :] * count[:, None]
    at = torch.searchsorted(below, target).clamp(max=BINS - 1)
    inside = histogram.gather(1, at)
    share = (target - (below.gather(1, at) - inside)) / inside.clamp(min=1)
    return ((at + share) / BINS).masked_fill((count == 0)[:, None], 0.0).to(torch.float32)
