"""Bandits that keep a weight for each strategy and draw one of them a round: the part that exp4p and comb share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from al_gym.policies.base import Choice, Context, Floats, Ints, Policy
from al_gym.policies.strategy_lists import parse_strategies
from al_gym.pool import PoolView
from al_gym.strategies import Strategy

UNIFORM = "random"  # its advice is known: every candidate alike


def propose(view: PoolView, strategies: Sequence[Strategy], k: Ints, width: int) -> Ints:
    """(tasks, strategies, width) int64: the batch that each strategy would take now, -1 after `k` (tasks,) items.

    Draws are keyed, so the batch of the strategy that is chosen is the very one that it takes afterwards.
    """
    out = np.full((len(view), len(strategies), width), -1, np.int64)
    sizes = torch.from_numpy(k).to(view.rows.device)
    for index, strategy in enumerate(strategies):
        picked = strategy.select(view, sizes, view.stream(strategy.name)).cpu().numpy()
        out[:, index, : picked.shape[1]] = picked
    return out


def draw(probability: Floats, uniform: Floats) -> Ints:
    """(n,) index drawn from each row of `probability` (n, N), with `uniform` (n,) in [0, 1)."""
    index = (probability.cumsum(axis=1) <= uniform[:, None]).sum(axis=1)
    return np.minimum(index, probability.shape[1] - 1)


def widened(array: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """`array` with at least `width` columns (last axis), new ones 0."""
    missing = width - array.shape[-1]
    return array if missing <= 0 else np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)])


class ExpertMixture(Policy):
    r"""Strategies as experts of an adversarial bandit, each with a weight; one is drawn a round and takes the batch.

    Strategy k is drawn with $p_k = (1 - N p_{min})\, w_k / \sum_j w_j + p_{min}$. Its advice $\psi_k(x)$ is the
    probability that its batch holds x: 1 or 0 for the batch that it proposes, batch size over candidates for `random`.
    So x is queried with probability $q(x) = \sum_k p_k \psi_k(x)$. From the reward r of a batch B the estimate for
    each strategy is

    $$\hat y_k = r \cdot \tfrac{1}{|B|} \sum_{x \in B} \psi_k(x) / q(x),$$

    unbiased if the reward is a mean over items. For batches of one item it is that of Hsu & Lin 2015 and Baram et al.
    2004; strategies whose batches overlap share what is learned.

    Args:
        strategies: those to choose from, as a list or as text such as 'margin+badge'.
    """

    def __init__(self, strategies: str | Sequence[str | Strategy]) -> None:
        self.strategies = parse_strategies(strategies)
        self.begin(0, 1)

    def begin(self, n_campaigns: int, batch_size: int) -> None:
        """See `Policy.begin`."""
        n = len(self.strategies)
        self.log_weight = np.zeros((n_campaigns, n))
        self._probability = np.zeros((n_campaigns, n))
        self._proposed = np.full((n_campaigns, n, batch_size), -1, np.int64)
        self._candidates = np.ones(n_campaigns)

    @abstractmethod
    def floor(self, context: Context) -> Floats:
        """(n,) the least probability of a strategy, in (0, 1 / strategies]."""

    @abstractmethod
    def reward(self, context: Context, queries: Ints, chance: Floats) -> Floats:
        """(n,) reward in [0, 1] of the batches `queries` (n, width), each item drawn with `chance` (n, width)."""

    @abstractmethod
    def log_update(self, context: Context, estimate: Floats, probability: Floats) -> Floats:
        """(n, N) what is added to the logarithm of the weights, from the estimated rewards (n, N)."""

    def probabilities(self, context: Context) -> Floats:
        """(n, N) of drawing each strategy."""
        weight = np.exp(self.log_weight[context.slots])
        floor = self.floor(context)[:, None]
        return (1 - weight.shape[1] * floor) * weight / weight.sum(axis=1, keepdims=True) + floor

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        k = np.minimum(context.batch_size, context.remaining)
        for at, view in context.views:
            slots = context.slots[at]
            self._proposed[slots] = propose(view, self.strategies, k[at], self._proposed.shape[2])
            self._candidates[slots] = view.candidates.sum(dim=1).cpu().numpy()
        probability = self._probability[context.slots] = self.probabilities(context)
        return context.choice(draw(probability, context.uniform(self.name)[:, 0]))

    def advice(self, slots: Ints, queries: Ints) -> Floats:
        """(n, N, width) probability that each strategy's batch held the items `queries` (n, width); 0 for none."""
        asked = queries >= 0
        held = self._proposed[slots][:, :, :, None] == queries[:, None, None, :]
        advice = (held.any(axis=2) & asked[:, None, :]).astype(np.float64)
        even = asked * (asked.sum(axis=1) / self._candidates[slots])[:, None]
        for index, strategy in enumerate(self.strategies):
            if strategy.name == UNIFORM:
                advice[:, index] = even
        return advice

    def observe(self, context: Context, queries: Ints) -> None:
        """See `Policy.observe`."""
        advice = self.advice(context.slots, queries)
        probability = self._probability[context.slots]
        chance = (probability[:, :, None] * advice).sum(axis=1)
        ratio = np.divide(advice, chance[:, None, :], out=np.zeros_like(advice), where=chance[:, None, :] > 0)
        share = ratio.sum(axis=2) / (queries >= 0).sum(axis=1, keepdims=True)
        estimate = self.reward(context, queries, chance)[:, None] * share
        moved = self.log_weight[context.slots] + self.log_update(context, estimate, probability)
        self.log_weight[context.slots] = moved - moved.max(axis=1, keepdims=True)
