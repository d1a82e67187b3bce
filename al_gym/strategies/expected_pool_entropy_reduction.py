"""Expected reduction of the pool's entropy."""

from al_gym.strategies.base import register_strategy
from al_gym.strategies.lookahead import PoolLookAhead


@register_strategy("expected-pool-entropy-reduction")
class ExpectedPoolEntropyReduction(PoolLookAhead):
    r"""The label after which the model is expected to be surest about the pool.

    $$x^* = \arg\min_x\; \sum_y p(y|x) \sum_{u \in U} H\left[p^{+(x, y)}(\cdot|u)\right]$$

    Expected error reduction under log-loss; `expected-label-entropy-reduction` looks at x alone. Refits as in
    `expected-error-reduction`.

    **Source:** Roy & McCallum 2001, *Toward optimal active learning through sampling estimation of error reduction*.
    **Cost:** as `expected-error-reduction`. **Wins** and **loses** as that one; smoother, since every probability
    counts and not the largest alone. While one class is seen it is random.

    Args:
        candidates: the number of most uncertain items (smallest margin) that are tried, at least the batch, or 'all'.
        pool: the number of random unlabelled items over which the entropy is summed, or 'all'.
        outcomes: the number of most probable labels tried for each item, their probabilities scaled to sum to one, or
            'all'.
        C: inverse penalty of the model, above 0; that of the learner.
        steps: descent steps of a refit after the first, at least 0.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "expected-pool-entropy-reduction"
    kind = "entropy"

    def __init__(
        self,
        *,
        candidates: int | str = 200,
        pool: int | str = 200,
        outcomes: int | str = 5,
        C: float = 1.0,
        steps: int = 2,
    ) -> None:
        super().__init__(candidates=candidates, pool=pool, outcomes=outcomes, C=C, steps=steps)
