"""Least-confidence sampling."""

from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import ScoreStrategy, register_strategy


@register_strategy("least-confidence")
class LeastConfidence(ScoreStrategy):
    r"""The smallest probability of the predicted class (for two classes: as margin and entropy).

    $$x^* = \arg\max_x\; 1 - \max_y p(y|x)$$

    **Source:** Lewis & Gale 1994, *A sequential algorithm for training text classifiers*.
    **Cost:** one pass over the pool. **Wins** and **loses** where margin does, mostly a little behind it with
    three classes and more. For two classes the three uncertainty measures (margin, entropy, least confidence)
    coincide: as actions they are one action.
    """

    name = "least-confidence"

    def score(self, view: PoolView) -> Tensor:
        """(tasks, items) float32 in [-1, 0]: minus the largest probability (1 minus it would round)."""
        return -view.top1
