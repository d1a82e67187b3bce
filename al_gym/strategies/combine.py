"""Several scores in one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.pool.view import PoolView
from al_gym.strategies.base import ScoreStrategy, Strategy, register_strategy
from al_gym.strategies.checks import number, one_of
from al_gym.strategies.nested import inner_strategy


@register_strategy("combine")
class Combine(ScoreStrategy):
    r"""A weighted sum or product of the scores of two or more strategies.

    $$x^* = \arg\max_x \sum_j w_j s_j(x) \quad\text{or}\quad \arg\max_x \prod_j s_j(x)^{w_j}$$

    with each score $s_j$ shifted and scaled to [0, 1] over the candidates (1 if all are equal) and $\sum_j w_j = 1$.
    Any strategy that scores items can take part. In text the strategies and their weights are separated by '+',
    parameters of a strategy inside by ';':
    `combine:of=margin+quire:width=2;regularization=0.1,weights=2+1,how=product`.

    **Source:** Settles & Craven 2008 for the product (their information density), Ebert, Fritz & Schiele 2012, *RALF*,
    for the sum. **Cost:** that of all its scores. **Wins** when the scores know different things, uncertainty and
    density above all; **loses** when one of them is noise, or when density keeps it among the items that the model
    knows already. Batches are not spread.

    Args:
        of: two or more strategies that score items, by name or as objects; text is split at '+'.
        weights: one number above 0 a strategy; text is split at '+'; equal ones if not given.
        how: 'linear' or 'product'.

    Raises:
        ParameterError: fewer than two strategies, one that scores no items, or impossible weights.
    """

    name = "combine"

    def __init__(
        self,
        *,
        of: str | Sequence[str | Strategy] = "margin+information-density",
        weights: str | Sequence[float] | None = None,
        how: str = "linear",
    ) -> None:
        if isinstance(of, str):
            parts: Sequence[str | Strategy] = of.split("+")
        elif isinstance(of, Sequence):
            parts = of
        else:
            raise ParameterError(f"combine: of must be a list of strategies or text as 'margin+entropy', got {of!r}.")
        self.strategies = [_scoring(inner_strategy(self.name, part)) for part in parts]
        if len(self.strategies) < 2:
            raise ParameterError(f"combine: of needs at least two strategies, as in 'margin+entropy', got {of!r}.")
        self.weights = _weights(weights, len(self.strategies))
        self.how = one_of(self.name, "how", how, ("linear", "product"))

    def score(self, view: PoolView) -> Tensor:
        """(tasks, items) float32 in [0, 1]."""
        scores = [unit_range(strategy.score(view), view.candidates) for strategy in self.strategies]
        if self.how == "linear":
            return sum((w * s for w, s in zip(self.weights, scores, strict=True)), torch.zeros_like(scores[0]))
        total = torch.ones_like(scores[0])
        for weight, score in zip(self.weights, scores, strict=True):
            total = total * score.pow(weight)
        return total


def _scoring(strategy: Strategy) -> ScoreStrategy:
    if not isinstance(strategy, ScoreStrategy):
        raise ParameterError(
            f"combine: {strategy.name} builds batches and scores no items; take one like margin, entropy or quire."
        )
    return strategy


def _weights(weights: str | Sequence[float] | float | None, count: int) -> list[float]:
    if weights is None:
        return [1 / count] * count
    try:
        parts = weights.split("+") if isinstance(weights, str) else weights
        values = [number("combine", "a weight", float(part), 0, above=True) for part in parts]  # type: ignore[union-attr]
    except (TypeError, ValueError) as error:
        raise ParameterError(f"combine: weights must be numbers above 0, as in '2+1', got {weights!r}.") from error
    if len(values) != count:
        raise ParameterError(f"combine: {count} strategies need {count} weights, got {weights!r}.")
    return [value / sum(values) for value in values]


def unit_range(score: Tensor, candidates: Tensor) -> Tensor:
    """`score` (tasks, items) shifted and scaled to [0, 1] over each task's candidates, 1 if all are equal; else 0."""
    low = score.masked_fill(~candidates, torch.inf).amin(1, keepdim=True)
    high = score.masked_fill(~candidates, -torch.inf).amax(1, keepdim=True)
    span = high - low
    scaled = torch.where(span > 0, (score - low) / torch.where(span > 0, span, 1.0), 1.0)
    return scaled.masked_fill(~candidates, 0.0)
