"""Query by committee with vote entropy."""

import torch
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, register_strategy, top_k
from al_gym.strategies.checks import number, whole
from al_gym.strategies.committee import disagreement
from al_gym.streams import Stream


@register_strategy("vote-entropy")
class VoteEntropy(Strategy):
    r"""The items on whose class a committee is most divided.

    $$x^* = \arg\max_x\; -\sum_y \frac{V_y(x)}{|C|} \log \frac{V_y(x)}{|C|}$$

    with $V_y$ the number of members that predict y. Members are the default learner's softmax regression on the
    learner's representation, refitted with exponential random weights on the labels (Bayesian bootstrap, Rubin 1981),
    drawn from the task's stream.

    **Source:** Dagan & Engelson 1995, *Committee-based sampling for training probabilistic classifiers*. **Cost:**
    `members` short fits a round. **Wins** where members disagree for lack of labels; **loses** to margin with few
    members, whose votes are coarse: most items tie, and ties are broken at random. While one class is seen it is
    random.

    Args:
        members: models in the committee, at least 2.
        C: inverse penalty of the models, above 0; that of the learner.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "vote-entropy"
    deterministic = False

    def __init__(self, *, members: int = 16, C: float = 1.0) -> None:
        self.members = whole(self.name, "members", members, 2)
        self.C = number(self.name, "C", C, 0, above=True)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        score = disagreement(view, stream, vote_entropy, samples=self.members, C=self.C)
        return top_k(score, view.candidates, k, stream)


def vote_entropy(p: Tensor) -> Tensor:
    """(m,) float32 in nats: entropy of the votes of p (classes, members, m)."""
    votes = torch.nn.functional.one_hot(p.argmax(0), len(p)).float().mean(0)
    return torch.special.entr(votes).sum(1)
