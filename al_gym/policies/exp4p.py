"""Active learning by learning: an Exp4.P bandit over strategies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.errors import ParameterError
from al_gym.policies.base import Context, Floats, Ints, register_policy
from al_gym.policies.mixture import ExpertMixture, widened
from al_gym.strategies import Strategy
from al_gym.strategies.checks import number


def horizon(context: Context) -> Floats:
    """(n,) rounds of the whole campaign at the default batch size."""
    return np.ceil((context.spent + context.remaining) / context.batch_size).clip(min=1)


@register_policy("exp4p")
class Exp4P(ExpertMixture):
    r"""ALBL: an Exp4.P bandit over the strategies, rewarded by importance-weighted accuracy on the revealed labels.

    A strategy is drawn as in `ExpertMixture`, with $p_{min} = \sqrt{\ln N / (N T)}$ (at most 1 / N) for N strategies
    and T rounds. Every queried item carries the weight $W = 1 / q(x)$; after the refit the reward is

    $$r_t = \tfrac{1}{nT} \sum_{s \le t} \sum_{x \in B_s} W_x\, [f_t(x) = y_x]$$

    for a pool of n items, cut at 1, and the weights become

    $$w_k \leftarrow w_k \exp\Big(\tfrac{p_{min}}{2} \Big(\hat y_k + \tfrac{1}{p_k}
    \sqrt{\tfrac{\ln(N / \delta)}{N T}}\Big)\Big).$$

    **Source:** Hsu & Lin 2015, *Active learning by learning* (IW-ACC is its unbiased estimate of test
    accuracy), with Exp4.P of Beygelzimer et al. 2011. As in the authors' code the arms of the confidence
    term are the strategies. Batches are ours: the drawn strategy takes the whole batch, an item's q(x) counts every
    strategy that proposes it, and each round adds an estimate of its own (Horvitz & Thompson). **Assumes** rewards of
    [0, 1], a horizon known before, and `random` among the strategies: without it q(x) = 0 for items that nobody
    proposes, and IW-ACC is no longer unbiased. **Cost:** the selection of every strategy each round. What the regret
    bound promises and what not: see the page *Theory*.

    Args:
        strategies: those to choose from, as a list or as text such as 'margin+badge+random'.
        delta: the bound holds with probability 1 - delta; in (0, 1).
        p_min: the least probability of each strategy, in (0, 1 / strategies]; the formula above if None.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "exp4p"

    def __init__(
        self,
        *,
        strategies: str | Sequence[str | Strategy] = DEFAULT_STRATEGIES,
        delta: float = 0.1,
        p_min: float | None = None,
    ) -> None:
        super().__init__(strategies)
        self.delta = number(self.name, "delta", delta, 0, above=True)
        self.p_min = None if p_min is None else number(self.name, "p_min", p_min, 0, above=True)
        n = len(self.strategies)
        if self.delta >= 1:
            raise ParameterError(f"exp4p: delta must lie in (0, 1), got {delta!r}.")
        if self.p_min is not None and self.p_min * n > 1:
            raise ParameterError(f"exp4p: p_min must be at most 1 / {n}, one over the strategies, got {p_min!r}.")

    def begin(self, n_campaigns: int, batch_size: int) -> None:
        """See `Policy.begin`."""
        super().begin(n_campaigns, batch_size)
        self._weight = np.zeros((n_campaigns, 0))

    def floor(self, context: Context) -> Floats:
        """See `ExpertMixture.floor`."""
        n = len(self.strategies)
        if self.p_min is not None:
            return np.full(len(context), self.p_min)
        return np.minimum(np.sqrt(np.log(n) / (n * horizon(context))), 1 / n)

    def reward(self, context: Context, queries: Ints, chance: Floats) -> Floats:
        """IW-ACC of the refitted model on every item queried so far; see `ExpertMixture.reward`."""
        total, size = np.zeros(len(context)), np.zeros(len(context))
        for at, view in context.views:
            right = (view.predicted == view.y).cpu().numpy()
            self._weight = widened(self._weight, right.shape[1])
            row, column = np.nonzero((queries[at] >= 0) & (chance[at] > 0))
            self._weight[context.slots[at][row], queries[at][row, column]] = 1 / chance[at][row, column]
            total[at] = (self._weight[context.slots[at], : right.shape[1]] * right).sum(axis=1)
            size[at] = view.n_items.cpu().numpy()
        return np.minimum(total / (size * horizon(context)), 1.0)

    def log_update(self, context: Context, estimate: Floats, probability: Floats) -> Floats:
        """See `ExpertMixture.log_update`."""
        n = len(self.strategies)
        width = np.sqrt(np.log(n / self.delta) / (n * horizon(context)))[:, None]
        return self.floor(context)[:, None] / 2 * (estimate + width / probability)
