"""One strategy with batches that change from round to round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from al_gym.errors import ParameterError
from al_gym.policies.base import Choice, Context, Policy, register_policy
from al_gym.policies.batch_lists import parse_batches
from al_gym.policies.strategy_lists import parse_strategies


@register_policy("schedule")
class Schedule(Policy):
    """One strategy; the first round takes the first batch, the second round the second, and the last one repeats.

    Learning curves are steep at first and flat later. Where a round costs something (`round_cost`), batches that grow
    pay for many looks where the curve bends and for few where it does not. Nothing here looks at the campaign: it is
    the rival of a policy that claims to.

    Args:
        strategy: one strategy, its parameters separated by ';' (`strategy=uherding:power=2;width=0.5`).
        batches: labels of each round, '5+10+20' or a sequence; the default was tuned for 100 labels and 0.002 AULC a
            round (docs/round-cost.md).

    Raises:
        ParameterError: `strategy` is not one strategy, or a batch is not a positive integer.
    """

    name = "schedule"

    def __init__(
        self, *, strategy: str = "uherding:radius=adaptive", batches: str | int | Sequence[int] = "8+12+20+30"
    ) -> None:
        self.strategies = parse_strategies([strategy])
        if len(self.strategies) != 1:
            raise ParameterError(
                f"schedule: strategy must be one strategy, got {strategy!r}, which is {len(self.strategies)}."
            )
        self.batches = np.array(parse_batches("schedule", batches), np.int64)

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        position = np.minimum(context.rounds, len(self.batches) - 1)
        return context.choice(np.zeros(len(context), np.int64), self.batches[position])
