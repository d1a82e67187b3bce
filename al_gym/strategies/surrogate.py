"""A softmax regression around its optimum, one task at a time: what look-ahead, committees and posteriors share.

The model is the L2 softmax regression of the default learner on the learner's representation, over the classes seen.
It is known by its probabilities alone: at the optimum the gradient of the penalty is minus that of the data, so that
weights are never needed. With more features than labels everything happens in the span of the labelled items; what
an item has outside that span is one more coordinate, which only the penalty bends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from al_gym.pool.view import PoolView

SMALLEST = 1e-30
"""Probabilities below this are raised to it, so that every logarithm is finite."""
CURVATURE_FLOOR = 1e-3
"""Smallest curvature of a labelled item, times the number of classes up to 10: keeps the first step short."""


@dataclass(frozen=True)
class Surrogate:
    """Softmax regression of one task at its optimum.

    Attributes:
        phi: (items, width) float32 representation of the pool, without padding.
        proba: (classes, items) float32 of the classes seen, positive, summing to one over them.
        labelled: (n,) int64 positions. target: (classes, n) float32, one-hot.
        penalty: L2 weight; that of scikit-learn is doubled for two classes, which share one logit.
    """

    phi: Tensor
    proba: Tensor
    labelled: Tensor
    target: Tensor
    penalty: float

    @property
    def n_classes(self) -> int:
        """Classes seen."""
        return len(self.proba)

    def log_proba(self, items: Tensor) -> Tensor:
        """(classes, len(items)) float32: logits up to a constant an item."""
        return self.proba[:, items].log()

    @cached_property
    def basis(self) -> Tensor | None:
        """(width, n) float32, orthonormal, spans the labelled items; None where that saves nothing."""
        if len(self.labelled) + 1 >= self.phi.shape[1]:
            return None
        return torch.linalg.qr(self.phi[self.labelled].T).Q

    def coordinates(self, items: Tensor) -> Tensor:
        """(len(items), d) float32: features or span coordinates, a constant, and with a basis what lies outside."""
        phi = self.phi[items]
        if self.basis is None:
            return torch.nn.functional.pad(phi, (0, 1), value=1.0)
        inside = phi @ self.basis
        outside = (phi.square().sum(1) - inside.square().sum(1)).clamp(min=0).sqrt()
        return torch.cat([inside, torch.ones_like(outside)[:, None], outside[:, None]], dim=1)

    def residual_products(self, a: Tensor, b: Tensor) -> Tensor:
        """(len(a), len(b)) float32: inner products of what lies outside the span of the labelled items."""
        if self.basis is None:
            return self.phi.new_zeros(len(a), len(b))
        A, B = self.phi[a], self.phi[b]
        return A @ B.T - (A @ self.basis) @ (B @ self.basis).T

    @cached_property
    def design(self) -> Tensor:
        """(n, d) float32 coordinates of the labelled items; nothing of them lies outside their span."""
        X = self.coordinates(self.labelled)
        if self.basis is not None:
            X[:, -1] = 0
        return X

    @cached_property
    def ridge(self) -> Tensor:
        """(d,) float32: the penalty of each coordinate, 0 for the constant."""
        ridge = self.phi.new_full((self.design.shape[1],), self.penalty)
        ridge[-1 if self.basis is None else -2] = 0
        return ridge

    @cached_property
    def covariance(self) -> Tensor:
        """(classes, d, d) float32: inverse curvature of each class's weights, the other classes' held fixed.

        The curvature p (1 - p) is raised by classes / (classes - 1): exact for two classes, and for uniform
        probabilities on the space of weights that sum to zero over the classes.
        """
        p = self.proba[:, self.labelled].double()
        weight = (p * (1 - p) * (self.n_classes / (self.n_classes - 1))).clamp(
            min=CURVATURE_FLOOR * min(self.n_classes, 10)
        )
        X = self.design.double()
        H = (X.T[None] * weight[:, None, :]) @ X
        H.diagonal(dim1=1, dim2=2).add_(self.ridge)
        return torch.cholesky_inverse(torch.linalg.cholesky(H)).float()


def surrogates(view: PoolView, C: float) -> Iterator[tuple[int, Surrogate]]:
    """Position in the view and model of every task with at least two classes seen.

    Args:
        view: the campaigns.
        C: inverse penalty of the model.
    """
    phi = view.embedding()
    linear = phi is view.X
    seen, proba, order = view.seen, view.proba, view.order
    sizes = zip(*(size.tolist() for size in (view.n_items, view.n_features, view.n_labelled, seen.sum(1))), strict=True)
    for task, (items, features, count, classes) in enumerate(sizes):
        if classes < 2:
            continue
        known = seen[task].nonzero()[:, 0]
        labelled = order[task, :count]
        target = (view.y[task, labelled][None, :] == known[:, None]).float()
        width = features if linear else phi.shape[2]
        penalty = (2.0 if classes == 2 else 1.0) / C
        p = proba[task, known, :items].clamp(min=SMALLEST)
        yield task, Surrogate(phi[task, :items, :width], p / p.sum(0), labelled, target, penalty)
