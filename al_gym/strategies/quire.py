"""QUIRE: informative and representative items by a min-max view."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.spatial.distance import cdist
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import ScoreStrategy, register_strategy
from al_gym.strategies.checks import number

_CHUNK = 1 << 22  # kernel values held at once


@register_strategy("quire")
class Quire(ScoreStrategy):
    r"""QUIRE: the item whose worst label would bend a kernel classifier least, as published.

    $$x^* = \arg\min_s\; \max_{y_s} \min_{y_U}\; y^\top (K + \lambda I)^{-1} y$$

    over labels $\pm 1$, one class against the rest (the worst class counts), where the labels $y_U$ of the other
    unlabelled items are relaxed to real numbers. They then drop out (Schur complement), which leaves, with f and v
    the mean and the variance at s of kernel ridge regression on the labelled items,

    $$\max_c\; y_c^\top (K_{LL} + \lambda I)^{-1} y_c + \frac{(1 - f_c(s))^2}{v(s)}.$$

    K is Gaussian on the scaled features, of width `width` x h. A batch is the b best items. The same picks as
    scikit-activeml's `Quire`, at items x labels^2 instead of items^4.

    **Source:** Huang, Jin & Zhou 2010, *Active learning by querying informative and representative examples*. Lambda
    is that of scikit-activeml; the width is what lost least, of 0.25 to 8, on validation tasks of the default suite.
    **Cost:** items x labels x (features + labels), any pool size. **Wins** on small pools with two classes, one label
    at a time; **loses** to random, by several points of AULC on the synthetic tasks: far from all labels f is 0 and v
    largest, so that it goes to the margins of the pool, the more the wider the kernel and the larger lambda; a narrow
    kernel makes all items alike. It does not spread a batch, and it never asks the model.

    Args:
        regularization: lambda, above 0.
        width: kernel width in units of h, above 0.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "quire"

    def __init__(self, *, regularization: float = 1.0, width: float = 0.5) -> None:
        self.regularization = number(self.name, "regularization", regularization, 0, above=True)
        self.width = number(self.name, "width", width, 0, above=True)

    def score(self, view: PoolView) -> Tensor:
        """(tasks, items) float32, at most 0: the best value of the pool minus that of the item."""
        score = torch.zeros(view.valid.shape)
        X, h = view.X.cpu().numpy(), view.bandwidth().double().cpu().numpy() * self.width
        order, answers = view.order.cpu().numpy(), view.y.cpu().numpy()
        sizes = (view.n_items, view.n_features, view.n_classes, view.n_labelled)
        for task, (n, d, classes, count) in enumerate(zip(*(size.tolist() for size in sizes), strict=True)):
            labelled = order[task, :count]
            signs = np.where(answers[task, labelled][:, None] == np.arange(classes), 1.0, -1.0)
            value = worst_label(X[task, :n, :d], labelled, signs, float(h[task]), self.regularization)
            score[task, :n] = torch.from_numpy((value.min() - value).astype(np.float32))
        return score.to(view.rows.device)


def worst_label(
    X: NDArray[np.float32], labelled: NDArray[np.int64], signs: NDArray[np.float64], h: float, ridge: float
) -> NDArray[np.float64]:
    """(items,) the published objective of each item under its worst class.

    Args:
        X: (items, features).
        labelled: (labels,) positions.
        signs: (labels, classes), 1 for the label's class, else -1.
        h: kernel width. ridge: lambda.
    """
    if not len(labelled):
        return np.zeros(len(X))
    known = X[labelled]
    A = np.exp(cdist(known, known, "sqeuclidean") / (-2 * h * h)) + ridge * np.eye(len(known))
    factor = cho_factor(A, lower=True)
    share = cho_solve(factor, signs)
    constant = (signs * share).sum(axis=0)
    parts, step = [], max(1, _CHUNK // len(known))
    for at in range(0, len(X), step):
        kernel = np.exp(cdist(known, X[at : at + step], "sqeuclidean") / (-2 * h * h))
        half = solve_triangular(factor[0], kernel, lower=True, check_finite=False)
        variance = 1 + ridge - np.einsum("lm,lm->m", half, half)
        parts.append((constant[:, None] + (1 - share.T @ kernel) ** 2 / variance).max(axis=0))
    return np.concatenate(parts)
