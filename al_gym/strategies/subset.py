"""Any strategy on some of the candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, as_mask, register_strategy, top_k
from al_gym.strategies.checks import whole
from al_gym.strategies.nested import RestrictedView, inner_strategy
from al_gym.streams import Stream


@register_strategy("subset")
class Subset(Strategy):
    r"""Another strategy on m random candidates, drawn afresh each round.

    $$S = \mathrm{strategy}(C), \qquad C \subset U \text{ random}, \; |C| = \min(m, |U|)$$

    The pool itself stays whole: densities, coverage and the like refer to all items.
    `subset:strategy=badge,candidates=100`; parameters of the strategy inside are separated by ';':
    `subset:strategy=uherding:power=2;width=0.5,candidates=200`.

    **Source:** common practice for look-ahead strategies (Roy & McCallum 2001 sample their candidates). **Cost:** that
    of the strategy with m candidates; one that scores the whole pool in one pass saves nothing. **Wins** where a
    strategy costs much for each candidate, and as a cheap protection against outliers and redundant batches;
    **loses** what the best items outside the subset were worth.

    Args:
        strategy: name or object of the strategy inside.
        candidates: m, at least the batch.

    Raises:
        ParameterError: an impossible value; at selection, fewer candidates than the batch.
    """

    name = "subset"
    deterministic = False

    def __init__(self, *, strategy: str | Strategy = "badge", candidates: int = 100) -> None:
        self.strategy = inner_strategy(self.name, strategy)
        self.candidates = whole(self.name, "candidates", candidates, 1)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        if int(k.max()) > self.candidates:
            raise ParameterError(
                f"subset: candidates={self.candidates} is fewer than the batch of {int(k.max())}; raise candidates."
            )
        share = view.candidates.sum(1).clamp(max=self.candidates)
        drawn = top_k(torch.zeros_like(view.top1), view.candidates, share, stream.child("candidates"))
        restricted = RestrictedView(view, as_mask(drawn, view.candidates.shape[1]))
        return self.strategy.select(restricted, k, stream.child(self.strategy.name))
