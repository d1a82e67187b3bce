"""Parameters that adapt during a user's own campaign: the outer loop at deployment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from al_gym.errors import ParameterError
from al_gym.policies.base import Choice, Context, Floats, Ints, Policy, register_policy
from al_gym.policies.batch_lists import parse_batches
from al_gym.policies.mixture import draw, propose
from al_gym.policies.progress import Prequential, Progress, Validated
from al_gym.policies.strategy_lists import parse_strategies
from al_gym.strategies import Strategy, make_strategy
from al_gym.strategies.checks import number, whole

DEFAULT_MIXTURE = (
    "uherding:radius=adaptive", "uherding:width=0.5", "uherding:candidates=all", "margin-kcenter", "maxherding",
)  # fmt: skip
MEMORY = 0.3  # rate of the running mean of the rewards


@register_policy("adaptive")
class Adaptive(Policy):
    r"""Adapts a mixture of strategies (and the batch) to the campaign it is in, with no validation label or with a few.

    The outer loop $\min_\phi L(\theta^*(\phi), D_{val})$ by exponentiated gradient steps: $\phi$ are the weights of a
    mixture of strategies (the candidate ratio of UHerding and the like adapt by offering several values),
    $\theta^*(\phi)$ the learner refitted to the labels that the mixture bought. A strategy is drawn with
    $p_k = (1 - \epsilon) w_k / \sum_j w_j + \epsilon / K$, and

    $$w_k \leftarrow w_k^{1 - \lambda} \exp(\eta\, (r - \bar r)\, \hat a_k), \qquad
    \hat a_k = \tfrac{1}{|B|} \sum_{x \in B} \psi_k(x) / q(x)$$

    with r the fall of a log-loss that the batch B brought, $\bar r$ its running mean, $\psi_k(x)$ whether strategy k
    had proposed x, and $q(x) = \sum_k p_k \psi_k(x)$. Two losses, see `al_gym.policies.progress`:

    - **no validation label** (`validation=0`): prequential. Batch t is new to the models before and after batch t - 1,
      so it tells what batch t - 1 brought: honest, a round late, and measured where the mixture asks.
    - **a validation set** (`validation=n`): the first n labels of the budget go to random items, and the reward is the
      fall of the loss on them, for models that are fitted without them. They are labels of the user's own pool and
      are paid from the same budget; the campaign's model is trained on them too, as a user would in the end.

    With `round_cost` the batch adapts as well. Waiting for b labels costs about $\kappa s b / 2T$ of area a label,
    where s is what a label brings and T the budget, and saves rounds: $b^* = \sqrt{2 c T / \kappa s}$, to the nearest
    of `batches`. s is the expected error of the model on the pool over the number of labels (a curve like 1 / n).

    **Source:** ours; exponentiated gradient is Kivinen & Warmuth 1997, the batch rule that of economic order quantities
    (Harris 1913). **Assumes** that the worth of a strategy changes slowly and can be told from a handful of labels:
    20 rounds are few. What it brings, and what not: see the page *Adapting in a campaign*. **Cost:** the selection of
    every strategy each round; with a validation set one fit more.

    Args:
        strategies: those to mix, as a list or as text such as 'margin+badge'.
        validation: labels of the budget that go to random validation items first, at least 0.
        rate: eta, at least 0; 0 never adapts.
        forget: lambda in [0, 1), how fast the weights go back to equal.
        explore: epsilon in (0, 1], the share of uniform draws.
        round_cost: c, price of a round in AULC, at least 0; 0 leaves the batch alone.
        batches: labels a round to choose from under a cost, as a list or as text such as '2+5+10'.
        staleness: kappa above 0.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "adaptive"

    def __init__(
        self,
        *,
        strategies: str | Sequence[str | Strategy] = DEFAULT_MIXTURE,
        validation: int = 0,
        rate: float = 1.0,
        forget: float = 0.05,
        explore: float = 0.2,
        round_cost: float = 0.0,
        batches: str | int | Sequence[int] = "1+2+5+10+20",
        staleness: float = 0.3,
    ) -> None:
        self.mixed = parse_strategies(strategies)
        self.strategies = (*self.mixed, make_strategy("random")) if validation else self.mixed
        self.validation = whole(self.name, "validation", validation, 0)
        self.rate = number(self.name, "rate", rate, 0)
        self.forget = number(self.name, "forget", forget, 0)
        self.explore = number(self.name, "explore", explore, 0, above=True)
        self.round_cost = number(self.name, "round_cost", round_cost, 0)
        self.staleness = number(self.name, "staleness", staleness, 0, above=True)
        self.batches = np.array(parse_batches("adaptive", batches))
        if self.forget >= 1 or self.explore > 1:
            raise ParameterError(
                f"adaptive: forget must be below 1 and explore at most 1, got {forget!r}, {explore!r}."
            )
        self._held = Validated()
        self.progress: Progress = self._held if self.validation else Prequential()
        self.begin(0, 1)

    def begin(self, n_campaigns: int, batch_size: int) -> None:
        """See `Policy.begin`."""
        shape = (n_campaigns, len(self.mixed))
        self.log_weight = np.zeros(shape)
        self._probability, self._proposed = np.ones(shape), np.full((*shape, 1), -1, np.int64)
        self._shares = np.full((2, *shape), np.nan)  # of the last batch, and of the one before it
        self._mean = np.full(n_campaigns, np.nan)
        self._validating = np.zeros(n_campaigns, np.bool_)
        self.progress.begin(n_campaigns)

    def probabilities(self, slots: Ints) -> Floats:
        """(n, strategies) of drawing each strategy of the mixture."""
        weight = np.exp(self.log_weight[slots])
        return (1 - self.explore) * weight / weight.sum(axis=1, keepdims=True) + self.explore / weight.shape[1]

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        slots, batch = context.slots, self.batch(context)
        self.progress.before(context)
        self._probability[slots] = self.probabilities(slots)
        chosen = draw(self._probability[slots], context.uniform(self.name)[:, 0])
        if self.validation:
            missing = self.validation - self._held.number(slots)
            self._validating[slots] = missing > 0
            chosen = np.where(missing > 0, len(self.mixed), chosen)
            batch = np.where(missing > 0, np.minimum(batch, missing), batch)
        k = np.minimum(batch, context.remaining)
        width = max(int(k.max()), self._proposed.shape[2])
        if width > self._proposed.shape[2]:
            self._proposed = np.full((*self._proposed.shape[:2], width), -1, np.int64)
        for at, view in context.views:
            self._proposed[slots[at]] = propose(view, self.mixed, k[at], width)
        return context.choice(chosen, batch)

    def batch(self, context: Context) -> Ints:
        """(n,) labels of the next round."""
        out = np.full(len(context), context.batch_size)
        if not self.round_cost:
            return out
        for at, view in context.views:
            candidates = view.candidates.sum(dim=1).clamp(min=1)
            error = ((1 - view.top1) * view.candidates).sum(dim=1) / candidates
            worth = (error / view.n_labelled).cpu().numpy().clip(min=1e-6)
            budget = (context.spent + context.remaining)[at]
            best = np.sqrt(2 * self.round_cost * budget / (self.staleness * worth))
            out[at] = self.batches[np.abs(np.log(best[:, None] / self.batches)).argmin(axis=1)]
        return out

    def shares(self, slots: Ints, queries: Ints) -> Floats:
        """(n, strategies): the batch's part in each strategy's proposal, over the chance of its items."""
        asked = queries >= 0
        held = (self._proposed[slots][:, :, :, None] == queries[:, None, None, :]).any(axis=2) & asked[:, None, :]
        chance = (self._probability[slots][:, :, None] * held).sum(axis=1, keepdims=True)
        ratio = np.divide(held, chance, out=np.zeros(held.shape), where=chance > 0)
        share: Floats = ratio.sum(axis=2) / asked.sum(axis=1, keepdims=True)
        return share

    def observe(self, context: Context, queries: Ints) -> None:
        """See `Policy.observe`."""
        slots = context.slots
        self._shares[1, slots] = self._shares[0, slots]
        self._shares[0, slots] = self.shares(slots, queries)
        bought = self._validating[slots]
        self._shares[0, slots[bought]] = np.nan  # no strategy of the mixture took part
        if self.validation:
            self._held.hold(context, queries, bought)
        reward = self.progress.after(context, queries)
        share = self._shares[self.progress.lag, slots]
        known = np.isfinite(reward) & np.isfinite(share).all(axis=1)
        mean = self._mean[slots]
        ahead = np.where(known & np.isfinite(mean), reward - mean, 0.0)
        moved = (1 - self.forget) * self.log_weight[slots] + self.rate * ahead[:, None] * np.nan_to_num(share)
        self.log_weight[slots] = moved - moved.max(axis=1, keepdims=True)
        fresh = np.where(np.isfinite(mean), (1 - MEMORY) * mean + MEMORY * reward, reward)
        self._mean[slots] = np.where(known, fresh, mean)
