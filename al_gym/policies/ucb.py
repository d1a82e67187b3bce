"""UCB1 over strategies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.policies.base import Choice, Context, Ints, Policy, register_policy
from al_gym.policies.strategy_lists import parse_strategies
from al_gym.policies.thompson import REWARDS, class_values, successes
from al_gym.strategies import Strategy
from al_gym.strategies.checks import number, one_of


@register_policy("ucb")
class UCB(Policy):
    r"""UCB1: each strategy once in a random order, then the one of the largest upper confidence bound.

    $$k_t = \arg\max_k\; \bar r_k + c \sqrt{2 \ln t / n_k}$$

    with $n_k$ rounds and mean reward $\bar r_k$ of strategy k, and t rounds so far. The reward of a batch is that of
    `thompson`: the mean over its items of $v_y$ times whether the item counts, with $v_c = 1 / \max(1, n_c)$ for $n_c$
    labels of class c before the batch, divided by the largest of them, so that it lies in [0, 1].

    **Source:** Auer, Cesa-Bianchi & Fischer 2002, *Finite-time analysis of the multiarmed bandit problem* (figure 1).
    **Assumes** that a strategy's rewards come from one distribution, which labels change: a baseline. With N
    strategies the first N rounds explore. **Cost:** none beside the strategy's.

    Args:
        strategies: those to choose from, as a list or as text such as 'margin+badge'.
        reward: `balance` (every label counts) or `mistake` (those that the model had predicted wrongly).
        exploration: c, at least 0.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "ucb"

    def __init__(
        self,
        *,
        strategies: str | Sequence[str | Strategy] = DEFAULT_STRATEGIES,
        reward: str = "balance",
        exploration: float = 1.0,
    ) -> None:
        self.strategies = parse_strategies(strategies)
        self.reward = one_of(self.name, "reward", reward, REWARDS)
        self.exploration = number(self.name, "exploration", exploration, 0)
        self.begin(0, 1)

    def begin(self, n_campaigns: int, batch_size: int) -> None:
        """See `Policy.begin`."""
        self.rounds = np.zeros((n_campaigns, len(self.strategies)))
        self.total = np.zeros((n_campaigns, len(self.strategies)))

    def act(self, context: Context) -> Choice:
        """See `Policy.act`; equal bounds by chance."""
        rounds, total = self.rounds[context.slots], self.total[context.slots]
        played = np.maximum(rounds, 1)
        t = np.maximum(rounds.sum(axis=1, keepdims=True), 1)
        bound = np.where(rounds > 0, total / played + self.exploration * np.sqrt(2 * np.log(t) / played), np.inf)
        noise = context.uniform(self.name, len(self.strategies))
        return context.choice(np.where(bound == bound.max(axis=1, keepdims=True), noise, -1.0).argmax(axis=1))

    def observe(self, context: Context, queries: Ints) -> None:
        """See `Policy.observe`."""
        for at, view in context.views:
            hit, label = successes(context, at, view, queries, self.reward)
            gain = (hit * class_values(view, label)[:, None, :]).sum(axis=(1, 2)) / (label >= 0).sum(axis=1)
            slots, arm = context.slots[at], context.last_strategy[at]
            self.rounds[slots, arm] += 1
            self.total[slots, arm] += gain
