"""Query by committee with the divergence from the consensus."""

import torch
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, register_strategy, top_k
from al_gym.strategies.checks import number, whole
from al_gym.strategies.committee import disagreement
from al_gym.streams import Stream


@register_strategy("consensus-kl")
class ConsensusKL(Strategy):
    r"""The items on which the members of a committee are farthest from their mean.

    $$x^* = \arg\max_x\; \frac{1}{|C|} \sum_{c \in C} \text{KL}\left(p_c(\cdot|x)\, \Vert\, \bar p(\cdot|x)\right)$$

    with $\bar p$ the mean prediction. The committee is that of `vote-entropy`. Written out, the mean divergence is the
    mutual information of `bald` with `posterior=committee`.

    **Source:** McCallum & Nigam 1998, *Employing EM and pool-based active learning for text classification*. **Cost:**
    `members` short fits a round. **Wins** over vote entropy, whose votes are coarse, and over entropy on noisy labels,
    which it does not chase; **loses** in large batches. While one class is seen it is random.

    Args:
        members: models in the committee, at least 2.
        C: inverse penalty of the models, above 0; that of the learner.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "consensus-kl"
    deterministic = False

    def __init__(self, *, members: int = 16, C: float = 1.0) -> None:
        self.members = whole(self.name, "members", members, 2)
        self.C = number(self.name, "C", C, 0, above=True)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        score = disagreement(view, stream, consensus_kl, samples=self.members, C=self.C)
        return top_k(score, view.candidates, k, stream)


def consensus_kl(p: Tensor) -> Tensor:
    """(m,) float32 in nats, at least 0: mean divergence from the mean of p (classes, members, m)."""
    consensus = p.mean(1, keepdim=True).clamp(min=torch.finfo(p.dtype).tiny)
    return (torch.special.xlogy(p, p / consensus)).sum(0).mean(0).clamp(min=0)
