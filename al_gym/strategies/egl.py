"""Expected gradient length."""

from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import ScoreStrategy, register_strategy


@register_strategy("egl")
class ExpectedGradientLength(ScoreStrategy):
    r"""The largest expected gradient of the loss, if the label were known.

    $$x^* = \arg\max_x\; \sum_y p(y|x) \lVert \nabla_\theta \ell(x, y) \rVert
    = \arg\max_x\; \lVert (\phi(x), 1) \rVert \sum_y p(y|x) \lVert p(\cdot|x) - e_y \rVert$$

    for the learner's last layer: weights on the representation $\phi$ and intercepts.

    **Source:** Settles, Craven & Ray 2007, *Multiple-instance active learning*. **Cost:** one pass over the pool.
    **Wins** where items of large norm are informative; **loses** to margin on data with outliers and where norms say
    nothing.
    """

    name = "egl"

    def score(self, view: PoolView) -> Tensor:
        """(tasks, items) float32, at least 0."""
        p = view.proba
        distance = (p.square().sum(1, keepdim=True) - 2 * p + 1).clamp(min=0).sqrt()
        return (p * distance).sum(1) * (view.embedding().square().sum(2) + 1).sqrt()
