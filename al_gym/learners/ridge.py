"""Ridge regression on one-hot targets: closed form, exact updates, calibrated by its own residuals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from al_gym import kernels
from al_gym.errors import ParameterError
from al_gym.learners import softmax_score
from al_gym.learners.base import Learner, register_learner
from al_gym.pool.arrays import PoolArrays, Shape

SHARPNESS = 8.0
"""Where the sharpness is drawn to while there are few labels: scores of 1 against 0 become odds of 3000 to 1."""
GRID = tuple(2.0 ** (step / 4) for step in range(29))
"""Sharpness values tried, 1 to 128."""


@dataclass
class Factor:
    """Cholesky factor L of X X' + penalty I over the labelled items of one task.

    Attributes:
        L: (labels, labels) float64, lower triangular.
        items: (labels, features) float64, the items in it.
    """

    L: Tensor
    items: Tensor = field(repr=False)

    @classmethod
    def empty(cls, features: int, device: torch.device) -> Factor:
        """The factor of no items."""
        empty = torch.zeros(0, 0, dtype=torch.float64, device=device)
        return cls(empty, empty.new_zeros(0, features))

    def append(self, new: Tensor, penalty: float) -> Factor:
        """The factor with the rows `new` (batch, features) float64 added; exact, labels**2 x batch."""
        old = len(self.L)
        corner = new @ new.mT
        corner.diagonal().add_(penalty)
        L = new.new_zeros(old + len(new), old + len(new))
        if old:
            side = torch.linalg.solve_triangular(self.L, self.items @ new.mT, upper=False).mT
            corner -= side @ side.mT
            L[:old, :old], L[old:, :old] = self.L, side
        L[old:, old:] = torch.linalg.cholesky(corner)
        return Factor(L, torch.cat([self.items, new]))


@register_learner("ridge")
class Ridge(Learner):
    r"""Ridge regression on one-hot targets, in closed form, with calibrated probabilities.

    Minimises $\lVert X W' + b - Y \rVert^2 + \lambda \lVert W \rVert^2$ over the classes seen; the intercept is not
    penalised. It is solved in its dual form, so that a round with b new labels extends the Cholesky factor of
    $X X' + \lambda I$ by b rows: exact, the same as a fit from scratch, at labels² x b.

    Probabilities are the softmax of the scores times a sharpness $\beta$ between 1 and 128, which minimises the
    log-loss of the leave-one-out predictions (in closed form: residual over the diagonal of the inverse) plus
    $\frac12 (\ln \beta - \ln 8)^2$, which decides while labels are few. An item that is alone in its class does not
    count: left out, its class would be unknown.

    **Source:** Rifkin & Lippert 2007, *Notes on regularized least squares*; Cawley 2006, *Leave-one-out
    cross-validation based model selection criteria for weighted LS-SVMs*; Guo, Pleiss, Sun & Weinberger 2017, *On
    calibration of modern neural networks* (temperature). **Cost:** the least of all learners that fit anything.

    Args:
        penalty: $\lambda$, above 0.
    """

    name = "ridge"
    reads_tiles = True

    def __init__(self, *, penalty: float = 1.0) -> None:
        if not 0 < penalty < float("inf"):
            raise ParameterError(f"ridge: penalty must be above 0 and finite, got {penalty}.")
        self.penalty = penalty

    def allocate(self, shape: Shape, rows: int, device: torch.device) -> dict[str, Any]:
        """See `Learner.allocate`: weights of logits (rows, classes, features + 1), and one `Factor` a row."""
        return {"W": torch.zeros(rows, shape.classes, shape.features + 1, device=device), "factor": [None] * rows}

    def fit(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.fit`; one small system a task, at its true sizes."""
        for row in rows.tolist():
            d, count = int(arrays.n_features[row]), int(arrays.count[row])
            X, labels = arrays.XL[row, :count, :d].double(), arrays.yL[row, :count]
            factor = self._factor(state["factor"][row], X)
            classes = arrays.seen[row].nonzero()[:, 0]
            targets = (labels[:, None] == classes[None, :]).double()
            alpha, intercept, left_out = solve(factor.L, targets)
            beta = sharpness(left_out, targets)
            state["factor"][row] = factor
            state["W"][row] = 0
            state["W"][row, classes, :d] = (beta * alpha.mT @ X).float()
            state["W"][row, classes, -1] = (beta * intercept).float()

    def _factor(self, known: Factor | None, X: Tensor) -> Factor:
        if known is None or len(known.items) > len(X) or not torch.equal(known.items, X[: len(known.items)]):
            known = Factor.empty(X.shape[1], X.device)
        return known.append(X[len(known.items) :], self.penalty) if len(X) > len(known.items) else known

    def predict_proba(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.predict_proba`."""
        W = state["W"][rows]
        logits = torch.baddbmm(W[:, :, -1:], W[:, :, :-1], X.mT)
        return logits.masked_fill(~arrays.seen[rows][:, :, None], -torch.inf).softmax(dim=1)

    def score_pool(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.score_pool`; one fused pass."""
        a = arrays
        X = a.tiles if len(a.tiles) else a.X
        scorer = kernels.twin(softmax_score, "softmax_score", X)
        scorer.score_softmax(
            X, a.n_items, a.n_features, a.seen, state["W"], a.proba, a.top1, a.top2, a.entropy, a.predicted, rows,
            n_classes=a.n_classes,
        )  # fmt: skip

    def class_hits(
        self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor, X: Tensor, y: Tensor, count: Tensor
    ) -> Tensor:
        """See `Learner.class_hits`; no softmax is taken."""
        scorer = kernels.twin(softmax_score, "softmax_score", X)
        hits: Tensor = scorer.class_hits_softmax(X, y, count, arrays.n_features, arrays.seen, state["W"], rows)
        return hits


def solve(L: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Dual coefficients, intercepts and leave-one-out predictions of a kernel ridge regression with intercept.

    Args:
        L: (labels, labels) float64, Cholesky factor of the penalised kernel matrix.
        targets: (labels, classes) float64.

    Returns:
        alpha (labels, classes), intercept (classes,), left-out predictions (labels, classes), float64.
    """
    inverse = torch.cholesky_inverse(L)
    ones = inverse.sum(dim=1)
    intercept = (ones @ targets) / ones.sum()
    alpha = inverse @ targets - ones[:, None] * intercept
    leverage = inverse.diagonal() - ones.square() / ones.sum()  # of the bordered system; 0 for one label
    residual = alpha / leverage.clamp(min=torch.finfo(L.dtype).eps)[:, None]
    return alpha, intercept, targets - residual


def sharpness(left_out: Tensor, targets: Tensor) -> float:
    """The sharpness of `GRID` that fits left-out predictions (labels, classes) best; see `Ridge`."""
    beta = torch.tensor(GRID, dtype=left_out.dtype, device=left_out.device)
    counted = (targets * (targets.sum(dim=0) > 1)).sum(dim=1)
    log_p = (beta[:, None, None] * left_out).log_softmax(dim=2)
    loss = -((log_p * targets).sum(dim=2) * counted).sum(dim=1)
    prior = 0.5 * (beta / SHARPNESS).log().square()
    return float(beta[(loss + prior).argmin()])
