"""BALD: mutual information between the label and the model."""

from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, register_strategy, top_k
from al_gym.strategies.checks import number, one_of, whole
from al_gym.strategies.committee import disagreement, mutual_information
from al_gym.streams import Stream

POSTERIORS = ("laplace", "committee")


@register_strategy("bald")
class Bald(Strategy):
    r"""The items whose label says most about the model (Bayesian active learning by disagreement).

    $$x^* = \arg\max_x\; H\left[\mathbb{E}_\theta\, p(y|x, \theta)\right] - \mathbb{E}_\theta\, H[p(y|x, \theta)]$$

    over draws from the posterior: a Laplace approximation of the softmax regression on the learner's representation
    (see `al_gym.strategies.committee.laplace`), or the committee of `vote-entropy`.

    **Source:** Houlsby, Huszar, Ghahramani & Lengyel 2011, *Bayesian active learning for classification and preference
    learning*. **Cost:** samples x items x classes x min(features, labels) a round, or `samples` short fits. **Wins**
    over entropy on noisy labels, which it does not chase; **loses** in large batches, whose items resemble each other
    (see `batchbald`), and, with more features than labels, to margin: the posterior is then mostly prior, and what is
    far out is taken. While one class is seen it is random.

    Args:
        posterior: 'laplace' or 'committee'.
        samples: draws, at least 2.
        C: inverse penalty of the model, above 0; that of the learner.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "bald"
    deterministic = False

    def __init__(self, *, posterior: str = "laplace", samples: int = 32, C: float = 1.0) -> None:
        self.posterior = one_of(self.name, "posterior", posterior, POSTERIORS)
        self.samples = whole(self.name, "samples", samples, 2)
        self.C = number(self.name, "C", C, 0, above=True)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        score = disagreement(view, stream, mutual_information, posterior=self.posterior, samples=self.samples, C=self.C)
        return top_k(score, view.candidates, k, stream)
