"""Margin prefilter, then k-center greedy."""

import torch
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, as_mask, register_strategy, top_k
from al_gym.strategies.greedy import k_center_greedy
from al_gym.streams import Stream

PREFILTER = 6  # candidates per label, fixed by the campaign rules


@register_strategy("margin-kcenter")
class MarginKCenter(Strategy):
    r"""K-center greedy among the 6b lowest margins, the lowest margin first.

    With $M$ the $6b$ candidates of the lowest margin $p_{(1)} - p_{(2)}$, the first pick is the lowest margin and
    each further one is $\arg\max_{x \in M} \min_{z \in L \cup S} \lVert x - z \rVert$ (Euclidean, scaled features).

    **Source:** prefilter by uncertainty, then diversify, as in Zhdanov 2019 and Citovsky et al. 2021, with the
    k-center of Sener & Savarese 2018. **Cost:** one pass over the pool and 6b x features a pick, any pool size.
    **Wins** once the model is of some use: the best of the strategies that libraries ship in our trials.
    **Loses** in the first rounds, where margins say little.
    """

    name = "margin-kcenter"

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        margins = -view.margin
        share = torch.minimum(PREFILTER * k, view.candidates.sum(1))
        near = top_k(margins, view.candidates, share, stream)
        allowed = as_mask(near, view.candidates.shape[1])
        return k_center_greedy(view, allowed, k, stream, first=near[:, 0])
