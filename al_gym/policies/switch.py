"""A schedule made by hand."""

from __future__ import annotations

import numpy as np

from al_gym.errors import ParameterError
from al_gym.policies.base import Choice, Context, Policy, register_policy
from al_gym.policies.strategy_lists import parse_strategies


@register_policy("switch")
class Switch(Policy):
    """MaxHerding for four rounds, then margin-kcenter: cover the pool first, then look for the boundary.

    Args:
        rounds: rounds before the switch, at least 0.
        first: strategy before the switch.
        then: strategy after it.

    Raises:
        ParameterError: `rounds` is negative, or `first` or `then` is not one strategy.
    """

    name = "switch"

    def __init__(self, *, rounds: int = 4, first: str = "maxherding", then: str = "margin-kcenter") -> None:
        if not isinstance(rounds, int) or rounds < 0:
            raise ParameterError(f"switch: rounds must be an integer of at least 0, got {rounds!r}.")
        self.rounds = rounds
        sides = {"first": parse_strategies([first]), "then": parse_strategies([then])}
        for key, value in {"first": first, "then": then}.items():
            if len(sides[key]) != 1:
                raise ParameterError(f"switch: {key} must be one strategy, got {value!r}, which is {len(sides[key])}.")
        self.strategies = sides["first"] + sides["then"]

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        return context.choice((context.rounds >= self.rounds).astype(np.int64))
