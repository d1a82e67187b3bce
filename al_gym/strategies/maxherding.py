"""MaxHerding: greedy kernel coverage."""

from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, register_strategy
from al_gym.strategies.herding import herd_pool, herd_sample
from al_gym.streams import Stream


@register_strategy("maxherding")
class MaxHerding(Strategy):
    r"""MaxHerding: the item that adds most to the kernel coverage of the pool.

    $$x^* = \arg\max_x\; \sum_i \max(0, K(x, i) - c_i), \qquad c_i = \max_{z \in L \cup S} K(z, i)$$

    over all pool items i, with $K(x, z) = \exp(-\lVert x - z \rVert^2 / 2h^2)$ on the scaled features and h the mean
    distance to the 20 nearest other items.

    **Source:** Bae, Noh & Sutherland 2024, *Generalized coverage for more robust low-budget active learning*
    (arXiv 2407.12212). **Cost:** items^2 x features once a task for the kernel; afterwards a few kernel rows a pick.
    Pools of more than 4,096 items: candidates and coverage are those of 2,048 random items, the same ones in every
    round and a function of the task's seed; 512 random candidates a round once a batch of them is no longer left.
    **Wins** in a cold start, with small budgets and few classes; **loses** to uncertainty later, as it never looks
    at the model.
    """

    name = "maxherding"

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        return herd_pool(view, k, stream) if view.geometry.exact else herd_sample(view, k, stream)
