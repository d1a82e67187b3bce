"""Thompson sampling over strategies, with a posterior for each strategy and class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import betaincinv

from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.errors import ParameterError
from al_gym.policies.base import Choice, Context, Floats, Ints, Policy, register_policy
from al_gym.policies.mixture import widened
from al_gym.policies.strategy_lists import parse_strategies
from al_gym.pool import PoolView
from al_gym.strategies import Strategy
from al_gym.strategies.checks import number, one_of

REWARDS = ("balance", "mistake")


def class_values(view: PoolView, left_out: Ints | None = None) -> Floats:
    """(tasks, classes) in [0, 1]: 1 / max(1, labels of the class), over the largest of them; 0 on padding.

    Args:
        view: the campaigns.
        left_out: (tasks, width) int64 labels that are not counted, -1 for none.
    """
    classes = np.arange(view.seen.shape[1])
    counts = (view.y.cpu().numpy()[:, :, None] == classes).sum(axis=1)
    if left_out is not None:
        counts = counts - (left_out[:, :, None] == classes).sum(axis=1)
    value = (classes < view.n_classes.cpu().numpy()[:, None]) / np.maximum(counts, 1)
    return np.asarray(value / value.max(axis=1, keepdims=True))


def successes(context: Context, at: Ints, view: PoolView, queries: Ints, reward: str) -> tuple[Floats, Ints]:
    """What the batch brought, class by class.

    Args:
        context: after the reveal. at, view: one of its views. queries: (n, width), of all campaigns.
        reward: `balance` counts every item, `mistake` those that the model had predicted wrongly.

    Returns:
        (tasks, width, classes) 1 where the item counts for that class, else 0; and (tasks, width) labels, -1 for none.
    """
    asked = queries[at]
    label = view.y.cpu().numpy()[np.arange(len(at))[:, None], asked.clip(min=0)]
    label = np.where(asked >= 0, label, -1)
    hit = (label[:, :, None] == np.arange(view.seen.shape[1])).astype(np.float64)
    if reward == "mistake":
        hit *= (context.foreseen(queries)[at] == 0)[:, :, None]
    return hit, label


@register_policy("thompson")
class Thompson(Policy):
    r"""TAILOR-like Thompson sampling: a Beta posterior for each strategy and class, rare classes worth more.

    $\theta_{k,c}$ is the probability that an item taken by strategy k counts for class c. Each round draws
    $\theta_{k,c} \sim \mathrm{Beta}(1 + a_{k,c}, 1 + b_{k,c})$ and takes the strategy of the largest
    $\sum_c v_c \theta_{k,c}$ with $v_c \propto 1 / \max(1, n_c)$ for $n_c$ labels of class c. Then all counts are
    multiplied by the discount, and each label y of the batch adds 1 to $a_{k,y}$ if it counts, and 1 to every other
    $b_{k,c}$. What counts: every label (`reward=balance`, the class diversity reward of the paper), or those that the
    model had predicted wrongly before they came (`reward=mistake`, ours).

    **Source:** Zhang, Shao, Verma & Nowak 2023, *Algorithm selection for deep active learning with imbalanced
    datasets* (TAILOR, class diversity reward). Ours: one strategy takes the whole batch, where TAILOR
    draws one for each item. **Assumes** labels that are independent given strategy and class, and arms that drift no
    faster than the discount forgets. **Cost:** none beside the strategy's.

    Args:
        strategies: those to choose from, as a list or as text such as 'margin+badge'.
        reward: `balance` or `mistake`.
        discount: in (0, 1]; 1 forgets nothing.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "thompson"

    def __init__(
        self,
        *,
        strategies: str | Sequence[str | Strategy] = DEFAULT_STRATEGIES,
        reward: str = "balance",
        discount: float = 0.9,
    ) -> None:
        self.strategies = parse_strategies(strategies)
        self.reward = one_of(self.name, "reward", reward, REWARDS)
        self.discount = number(self.name, "discount", discount, 0, above=True)
        if self.discount > 1:
            raise ParameterError(f"thompson: discount must lie in (0, 1], got {discount!r}.")
        self.begin(0, 1)

    def begin(self, n_campaigns: int, batch_size: int) -> None:
        """See `Policy.begin`."""
        self.hits = np.zeros((n_campaigns, len(self.strategies), 0))
        self.misses = np.zeros((n_campaigns, len(self.strategies), 0))

    def _widen(self, classes: int) -> None:
        self.hits, self.misses = widened(self.hits, classes), widened(self.misses, classes)

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        strategy = np.zeros(len(context), np.int64)
        for at, view in context.views:
            value = class_values(view)
            classes, slots, stream = value.shape[1], context.slots[at], view.stream(self.name)
            self._widen(classes)
            uniform = np.stack([stream.uniform(classes, arm) for arm in range(len(self.strategies))], axis=1)
            a, b = self.hits[slots, :, :classes], self.misses[slots, :, :classes]
            theta = betaincinv(1 + a, 1 + b, uniform)
            strategy[at] = (theta * value[:, None, :]).sum(axis=2).argmax(axis=1)
        return context.choice(strategy)

    def observe(self, context: Context, queries: Ints) -> None:
        """See `Policy.observe`."""
        for at, view in context.views:
            hit, label = successes(context, at, view, queries, self.reward)
            classes, slots, arm = hit.shape[2], context.slots[at], context.last_strategy[at]
            self._widen(classes)
            miss = (label >= 0)[:, :, None] - hit
            for counts, new in ((self.hits, hit), (self.misses, miss)):
                counts[slots] *= self.discount
                counts[slots, arm, :classes] += new.sum(axis=1)
