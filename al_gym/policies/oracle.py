"""A greedy look-ahead that peeks at hidden labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.errors import PolicyError
from al_gym.policies.base import Choice, Context, Policy, register_policy
from al_gym.policies.strategy_lists import parse_strategies
from al_gym.strategies import Strategy


@register_policy("oracle")
class Oracle(Policy):
    """Tries each strategy's batch and takes the best by test accuracy (reads hidden labels: a reference, not a bound).

    Greedy for one round: a batch that pays off later is passed over. Equal accuracies go to the strategy named first.

    Args:
        strategies: those to try, as a list or as text such as 'margin+badge'.
    """

    name = "oracle"
    privileged = True

    def __init__(self, *, strategies: str | Sequence[str | Strategy] = DEFAULT_STRATEGIES) -> None:
        self.strategies = parse_strategies(strategies)

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        campaign, n = context.campaign, len(context)
        if campaign is None:
            raise PolicyError("the oracle needs hidden labels, so it runs in an evaluation only.")
        k = np.minimum(context.batch_size, context.remaining)
        accuracy = np.zeros((n, len(self.strategies)))
        for index in range(len(self.strategies)):
            queries = campaign.select(context.slots, self.strategies, np.full(n, index, np.int64), k)
            accuracy[:, index] = campaign.trial_accuracy(context.slots, queries)
        return context.choice(accuracy.argmax(axis=1))
