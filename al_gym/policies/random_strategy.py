"""Another strategy each round, by chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.policies.base import Choice, Context, Policy, register_policy
from al_gym.policies.strategy_lists import parse_strategies
from al_gym.strategies import Strategy


@register_policy("random-strategy")
class RandomStrategy(Policy):
    """A strategy drawn uniformly each round: what a policy that learned nothing does.

    Args:
        strategies: those to draw from, as a list or as text such as 'margin+badge'.
    """

    name = "random-strategy"

    def __init__(self, *, strategies: str | Sequence[str | Strategy] = DEFAULT_STRATEGIES) -> None:
        self.strategies = parse_strategies(strategies)

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        return context.choice((context.uniform(self.name)[:, 0] * len(self.strategies)).astype(np.int64))
