"""L2 multinomial logistic regression, the default learner."""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym import kernels
from al_gym.errors import ParameterError
from al_gym.learners import softmax_fit, softmax_score
from al_gym.learners.base import Learner, register_learner
from al_gym.pool.arrays import PoolArrays, Shape

State = dict[str, Tensor]


@register_learner("softmax")
class Softmax(Learner):
    r"""L2 multinomial logistic regression, warm-started and converged (the default).

    Minimises $\sum_i -\log p(y_i|x_i) + \frac{1}{2C} \lVert W \rVert^2$ over the classes that have a label; the
    intercept is not penalised. Classes without a label have probability 0; exactly two seen classes share one logit;
    with one seen class its probability is 1. scikit-learn's `LogisticRegression` is the reference.

    Args:
        C: inverse penalty, above 0.
        tol: convergence tolerance, above 0; see `al_gym.learners.softmax_fit.fit_softmax`.
        max_iter: bound on the iterations of one fit.
    """

    name = "softmax"
    reads_tiles = True

    def __init__(
        self, *, C: float = 1.0, tol: float = softmax_fit.DEFAULT_TOL, max_iter: int = softmax_fit.MAX_ITER
    ) -> None:
        for key, value in {"C": C, "tol": tol, "max_iter": max_iter}.items():
            if not value > 0:
                raise ParameterError(f"softmax: {key} must be above 0, got {value}.")
        self.C = C
        self.tol = tol
        self.max_iter = max_iter

    def allocate(self, shape: Shape, rows: int, device: torch.device) -> State:
        """See `Learner.allocate`: weights (rows, classes, features + 1), the intercept last."""
        return {"W": torch.zeros(rows, shape.classes, shape.features + 1, device=device)}

    def fit(self, state: State, arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.fit`; starts from the last weights of each row."""
        a = arrays
        penalty = torch.full((len(a.count),), 1.0 / self.C, device=a.X.device)
        solver = kernels.twin(softmax_fit, "softmax_fit", a.X)
        solver.fit_softmax(
            a.XL,
            a.yL,
            a.count,
            a.n_features,
            a.seen,
            state["W"],
            penalty,
            tol=self.tol,
            max_iter=self.max_iter,
            rows=rows,
            n_classes=a.n_classes,
        )

    def predict_proba(self, state: State, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.predict_proba`."""
        W = state["W"][rows]
        logits = torch.baddbmm(W[:, :, -1:], W[:, :, :-1], X.mT)
        return logits.masked_fill(~arrays.seen[rows][:, :, None], -torch.inf).softmax(dim=1)

    def score_pool(self, state: State, arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.score_pool`; one fused pass."""
        a = arrays
        X = a.tiles if len(a.tiles) else a.X
        scorer = kernels.twin(softmax_score, "softmax_score", X)
        scorer.score_softmax(
            X,
            a.n_items,
            a.n_features,
            a.seen,
            state["W"],
            a.proba,
            a.top1,
            a.top2,
            a.entropy,
            a.predicted,
            rows,
            n_classes=a.n_classes,
        )

    def class_hits(self, state: State, arrays: PoolArrays, rows: Tensor, X: Tensor, y: Tensor, count: Tensor) -> Tensor:
        """See `Learner.class_hits`; no softmax is taken."""
        scorer = kernels.twin(softmax_score, "softmax_score", X)
        hits: Tensor = scorer.class_hits_softmax(X, y, count, arrays.n_features, arrays.seen, state["W"], rows)
        return hits
