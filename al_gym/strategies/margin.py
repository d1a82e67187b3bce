"""Margin sampling."""

from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import ScoreStrategy, register_strategy


@register_strategy("margin")
class Margin(ScoreStrategy):
    r"""The smallest gap between the two most probable classes (for two classes: as entropy and least-confidence).

    $$x^* = \arg\min_x\; p_{(1)}(x) - p_{(2)}(x)$$

    **Source:** Scheffer, Decomain & Wrobel 2001, *Active hidden Markov models for information extraction*.
    **Cost:** one pass over the pool. **Wins** on most tasks once every class has a few labels; **loses** in a
    cold start and in large batches, where its picks resemble each other. For two classes the three
    uncertainty measures (margin, entropy, least confidence) coincide: as actions they are one action.
    """

    name = "margin"

    def score(self, view: PoolView) -> Tensor:
        """(tasks, items) float32 in [-1, 0]."""
        return -view.margin
