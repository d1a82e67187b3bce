"""Gaussian process label regression on an RBF kernel, for small label sets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.learners.base import Learner, register_learner
from al_gym.learners.ridge import GRID, SHARPNESS
from al_gym.pool.arrays import PoolArrays, Shape
from al_gym.pool.distances import squared_distances

State = dict[str, Tensor]
LENGTHS = (0.25, 0.5, 1.0, 2.0)
"""Length scales tried, in units of the root of the pool's total variance."""
CHUNK = 1 << 14
"""Items scored at once, so that memory stays bounded on large pools."""


@register_learner("gp")
class GaussianProcess(Learner):
    r"""Gaussian process regression on the labels, which knows where it has seen nothing.

    The targets, one-hot minus one over the number of classes seen, have the covariance
    $\sigma^2 (\exp(-d^2 / 2 \ell^2) + r I)$, the same for each class. $\sigma^2$ is the maximum of the marginal
    likelihood; so is $\ell$, among 1/4, 1/2, 1 and 2 times the root of the pool's total variance, under a log-normal
    prior around 1 with a factor of two as deviation. With posterior mean $\mu_c(x)$ and variance $v(x)$,

    $$p(x) = \mathrm{softmax}\big(\beta \mu(x) / \sqrt{1 + \pi \beta^2 v(x) / 8}\big)$$

    over the classes seen. The sharpness $\beta$ minimises the log-loss of the leave-one-out predictions, as that of
    `ridge` does. Far from every label all classes seen are equally probable.

    **Source:** Rasmussen & Williams 2006, *Gaussian processes for machine learning*, sections 2.3, 5.4 and 6.5 (label
    regression); MacKay 1992, *The evidence framework applied to classification networks* (the variance in the
    softmax). **Cost:** labels³ a fit and items x labels² a round; meant for up to some hundred labels.

    Args:
        noise: r, the noise variance in units of the signal's, above 0.
        length: $\ell$ in units of the root of the pool's total variance, above 0; 0 chooses among four.
    """

    name = "gp"

    def __init__(self, *, noise: float = 0.1, length: float = 0.0) -> None:
        if not 0 < noise < float("inf"):
            raise ParameterError(f"gp: noise must be above 0 and finite, got {noise}.")
        if not 0 <= length < float("inf"):
            raise ParameterError(f"gp: length must be above 0, or 0 to choose it, got {length}.")
        self.noise = noise
        self.length = length

    def allocate(self, shape: Shape, rows: int, device: torch.device) -> State:
        """See `Learner.allocate`: dual coefficients, inverse of the covariance, and three numbers a row."""
        m = shape.labels
        return {
            "alpha": torch.zeros(rows, shape.classes, m, device=device),
            "inverse": torch.zeros(rows, m, m, device=device),
            "length": torch.zeros(rows, device=device),
            "signal": torch.zeros(rows, device=device),
            "beta": torch.zeros(rows, device=device),
        }

    def fit(self, state: State, arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.fit`; one task at a time at its true sizes, all length scales at once."""
        for row in rows.tolist():
            n, d, m = int(arrays.n_items[row]), int(arrays.n_features[row]), int(arrays.count[row])
            classes = arrays.seen[row].nonzero()[:, 0]
            total = float(arrays.X[row, :n, :d].double().var(dim=0, correction=0).sum()) or 1.0
            X = arrays.XL[row, None, :m, :d]
            targets = (arrays.yL[row, :m, None] == classes[None, :]).double()
            d2 = squared_distances(X, X)[0].double()
            length, inverse = self._choose(d2, targets - 1 / len(classes), math.sqrt(total))
            alpha = inverse @ (targets - 1 / len(classes))
            signal = _signal(alpha, targets - 1 / len(classes))
            for value in state.values():
                value[row] = 0
            state["alpha"][row, classes, :m] = alpha.mT.float()
            state["inverse"][row, :m, :m] = inverse.float()
            state["length"][row], state["signal"][row] = length, signal
            state["beta"][row] = _sharpness(alpha, inverse.diagonal(), targets, signal)

    def _choose(self, d2: Tensor, targets: Tensor, scale: float) -> tuple[float, Tensor]:
        """The length scale and the inverse (labels, labels) of kernel plus noise."""
        units = torch.tensor([self.length] if self.length else LENGTHS, dtype=d2.dtype, device=d2.device)
        K = torch.exp(d2 / (-2 * (units * scale).square())[:, None, None])
        K.diagonal(dim1=1, dim2=2).add_(self.noise)
        L = torch.linalg.cholesky(K)
        inverse = torch.cholesky_inverse(L)
        log_det = 2 * L.diagonal(dim1=1, dim2=2).log().sum(dim=1)
        signal = torch.stack([_signal(inv @ targets, targets) for inv in inverse])
        evidence = -0.5 * targets.shape[1] * (log_det + len(targets) * signal.log()) - 0.5 * units.log2().square()
        best = int(evidence.argmax())
        return float(units[best]) * scale, inverse[best]

    def predict_proba(self, state: State, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.predict_proba`."""
        return torch.cat([self._posterior(state, arrays, rows, part) for part in X.split(CHUNK, dim=1)], dim=2)

    def _posterior(self, state: State, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        labels = arrays.yL[rows]
        d2 = squared_distances(X, arrays.XL[rows])
        kernel = torch.exp(d2 / (-2 * state["length"][rows].square())[:, None, None])
        kernel = kernel.masked_fill_((labels < 0)[:, None, :], 0.0)
        mean = state["alpha"][rows] @ kernel.mT
        explained = ((kernel @ state["inverse"][rows]) * kernel).sum(dim=2)
        variance = state["signal"][rows][:, None] * (1 - explained).clamp(min=0)
        logits = mean * _slope(state["beta"][rows][:, None], variance)[:, None, :]
        return logits.masked_fill(~arrays.seen[rows][:, :, None], -torch.inf).softmax(dim=1)


def _signal(alpha: Tensor, targets: Tensor) -> Tensor:
    """The signal variance of largest marginal likelihood; 1 where the targets say nothing (one class)."""
    signal = (alpha * targets).mean()
    return torch.where(signal > 0, signal, 1.0)


def _slope(beta: Tensor, variance: Tensor) -> Tensor:
    """The factor of the posterior mean inside the softmax."""
    return beta / torch.sqrt(1 + math.pi / 8 * beta.square() * variance)


def _sharpness(alpha: Tensor, diagonal: Tensor, targets: Tensor, signal: Tensor) -> float:
    """The sharpness that fits the left-out predictions best.

    Args:
        alpha: (labels, classes), dual coefficients. diagonal: (labels,), of the inverse. targets: (labels, classes)
            one-hot. signal: the signal variance. All float64.
    """
    beta = torch.tensor(GRID, dtype=alpha.dtype, device=alpha.device)
    left_out = targets - alpha / diagonal[:, None]
    slope = _slope(beta[:, None], signal / diagonal[None, :])
    counted = (targets * (targets.sum(dim=0) > 1)).sum(dim=1)
    log_p = (slope[:, :, None] * left_out).log_softmax(dim=2)
    loss = -((log_p * targets).sum(dim=2) * counted).sum(dim=1)
    return float(beta[(loss + 0.5 * (beta / SHARPNESS).log().square()).argmin()])
