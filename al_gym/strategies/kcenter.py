"""K-center greedy, also known as CoreSet."""

from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, register_strategy
from al_gym.strategies.greedy import k_center_greedy
from al_gym.streams import Stream


@register_strategy("kcenter")
class KCenter(Strategy):
    r"""K-center greedy (CoreSet): the item farthest from everything labelled or picked.

    $$x^* = \arg\max_x\; \min_{z \in L \cup S} \lVert x - z \rVert$$

    with Euclidean distance on the scaled features.

    **Source:** Sener & Savarese 2018, *Active learning for convolutional neural networks: a core-set approach*.
    **Cost:** items x features a pick, any pool size: distances to the labelled items are kept up to date, no
    matrix of pairs is built. **Wins** on clean pools with compact classes; **loses** with outliers and nuisance
    features, which it seeks out.
    """

    name = "kcenter"

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        return k_center_greedy(view, view.candidates, k, stream)
