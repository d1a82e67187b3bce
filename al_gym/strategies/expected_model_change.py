"""Expected model change."""

from torch import Tensor

from al_gym.strategies.base import register_strategy
from al_gym.strategies.lookahead import LookAhead, Trial


@register_strategy("expected-model-change")
class ExpectedModelChange(LookAhead):
    r"""The label that is expected to move the model's weights farthest.

    $$x^* = \arg\max_x\; \sum_y p(y|x)\, \lVert \theta - \theta^{+(x, y)} \rVert^2$$

    over weights and intercepts. Refits as in `expected-error-reduction`.

    **Source:** the definition in the document from which this suite started; Cai, Zhang & Zhou 2013, *Maximizing
    expected model change for active learning in regression*, treat regression. **Cost:** candidates x outcomes x
    classes x labels x min(features, labels) a round. **Wins** where uncertain items of large norm are informative;
    **loses** to margin on data with outliers, which move the weights most. While one class is seen it is random.

    Args:
        candidates: the number of most uncertain items (smallest margin) that are tried, at least the batch, or 'all'.
        outcomes: the number of most probable labels tried for each item, their probabilities scaled to sum to one, or
            'all'.
        C: inverse penalty of the model, above 0; that of the learner.
        steps: descent steps of a refit after the first, at least 0.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "expected-model-change"

    def __init__(self, *, candidates: int | str = 200, outcomes: int | str = 5, C: float = 1.0, steps: int = 2) -> None:
        super().__init__(candidates=candidates, outcomes=outcomes, C=C, steps=steps)

    def utility(self, trial: Trial, targets: Tensor) -> Tensor:
        """(m,) float32, the expected squared distance."""
        return trial.expected(trial.theta.square().sum((0, 2)))
