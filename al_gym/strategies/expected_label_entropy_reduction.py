"""Expected reduction of the label's own entropy."""

import torch
from torch import Tensor

from al_gym.strategies.base import register_strategy
from al_gym.strategies.lookahead import LookAhead, Trial


@register_strategy("expected-label-entropy-reduction")
class ExpectedLabelEntropyReduction(LookAhead):
    r"""The item whose own label the model knows best after having been told.

    $$x^* = \arg\max_x\; H[p(y|x, \theta)] - \sum_y p(y|x, \theta)\, H\left[p(\cdot|x, \theta^{+(x, y)})\right]$$

    at x itself; `expected-pool-entropy-reduction` sums over the pool. Refits as in `expected-error-reduction`.

    **Source:** the definition in the document from which this suite started; a relative of Roy & McCallum 2001.
    **Cost:** candidates x outcomes x classes x labels x min(features, labels) a round. **Wins** where entropy does, and
    is less drawn to items that stay unclear once labelled; **loses** like it in large batches and with many classes.
    While one class is seen it is random.

    Args:
        candidates: the number of most uncertain items (smallest margin) that are tried, at least the batch, or 'all'.
        outcomes: the number of most probable labels tried for each item, their probabilities scaled to sum to one, or
            'all'.
        C: inverse penalty of the model, above 0; that of the learner.
        steps: descent steps of a refit after the first, at least 0.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "expected-label-entropy-reduction"

    def __init__(self, *, candidates: int | str = 200, outcomes: int | str = 5, C: float = 1.0, steps: int = 2) -> None:
        super().__init__(candidates=candidates, outcomes=outcomes, C=C, steps=steps)

    def utility(self, trial: Trial, targets: Tensor) -> Tensor:
        """(m,) float32, the expected reduction in nats."""
        before = torch.special.entr(trial.model.proba[:, trial.items]).sum(0)
        return before - trial.expected(trial.own_entropy())
