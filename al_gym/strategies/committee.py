"""Several opinions on each item: a committee of refitted models, or draws from the model's posterior."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.refits import refit_with_weights
from al_gym.strategies.surrogate import Surrogate, surrogates
from al_gym.streams import Stream

MEMBER_STEPS = 12
"""Descent steps of a member's fit: its probabilities are then within 0.005 of the converged ones on average."""
_CHUNK = 1 << 22  # probabilities held at once


def bootstrap_weights(model: Surrogate, members: int, stream: Stream) -> Tensor:
    """(members, n) float32: weights of the labelled items, exponential with mean 1 in each member (Rubin 1981)."""
    n = len(model.labelled)
    draws = -torch.from_numpy(1.0 - stream.uniform(members * n)).log().reshape(members, n)
    return (draws / draws.mean(1, keepdim=True)).float().to(model.phi.device)


@dataclass(frozen=True)
class Opinions:
    """Several models of one task.

    Attributes:
        model: the fit around which they lie.
        theta: (classes, samples, d) float32, their weights minus the fit's, by coordinate.
        outside: (classes, samples, width) float32, what they add outside the span of the labelled items; None for 0.
    """

    model: Surrogate
    theta: Tensor
    outside: Tensor | None = None

    def proba(self, items: Tensor) -> Tensor:
        """(classes seen, samples, len(items)) float32."""
        model = self.model
        change = self.theta @ model.coordinates(items).T
        if self.outside is not None and model.basis is not None:
            phi = model.phi[items]
            change += self.outside @ phi.T - (self.outside @ model.basis) @ (phi @ model.basis).T
        return torch.softmax(model.log_proba(items)[:, None, :] + change, 0)

    def score(self, items: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
        """(len(items),) float32: `score` of the probabilities, in chunks."""
        size = max(1, _CHUNK // (self.theta.shape[0] * self.theta.shape[1]))
        return torch.cat([score(self.proba(part)) for part in items.split(size)])


def committee(model: Surrogate, members: int, stream: Stream) -> Opinions:
    """Models fitted to reweighted labels; `stream` is of this one task.

    The Bayesian bootstrap gives every labelled item a positive random weight, so that no member loses a class.
    """
    return Opinions(model, refit_with_weights(model, bootstrap_weights(model, members, stream), MEMBER_STEPS))


def laplace(model: Surrogate, samples: int, stream: Stream) -> Opinions:
    """Draws from the Laplace approximation of the posterior; `stream` is of this one task.

    The weights of each class are Gaussian around the fit with the inverse of their own curvature as covariance
    (`Surrogate.covariance`; blocks of different classes are taken as independent, which is exact for two classes).
    Outside the span of the labelled items the prior is left, with variance C.
    """
    spread = torch.linalg.cholesky(model.covariance.double()).float()
    noise = _normal(stream.child("inside"), (model.n_classes, samples, model.design.shape[1]), spread)
    if model.basis is None:
        return Opinions(model, noise @ spread.mT)
    noise[:, :, -1] = 0
    outside = _normal(stream.child("outside"), (model.n_classes, samples, model.phi.shape[1]), spread)
    return Opinions(model, noise @ spread.mT, outside / math.sqrt(model.penalty))


def _normal(stream: Stream, shape: tuple[int, int, int], like: Tensor) -> Tensor:
    return torch.from_numpy(stream.normal(math.prod(shape))).reshape(shape).to(like)


def opinions(
    view: PoolView, stream: Stream, *, posterior: str, samples: int, C: float
) -> Iterator[tuple[int, Opinions]]:
    """Position in the view and several models of every task with at least two classes seen.

    Args:
        view: the campaigns.
        stream: keyed by (task, round, strategy name).
        posterior: 'committee' or 'laplace'.
        samples: models.
        C: inverse penalty.
    """
    draw = committee if posterior == "committee" else laplace
    for task, model in surrogates(view, C):
        yield task, draw(model, samples, stream.child("members").take(np.array([task])))


def disagreement(
    view: PoolView,
    stream: Stream,
    score: Callable[[Tensor], Tensor],
    *,
    posterior: str = "committee",
    samples: int,
    C: float,
) -> Tensor:
    """(tasks, items) float32: `score` of p (classes, samples, m) on the candidates, 0 elsewhere.

    The other arguments are those of `opinions`.
    """
    result = torch.zeros_like(view.top1)
    for task, models in opinions(view, stream, posterior=posterior, samples=samples, C=C):
        items = view.candidates[task].nonzero()[:, 0]
        result[task, items] = models.score(items, score)
    return result


def mutual_information(p: Tensor) -> Tensor:
    """(m,) float32: H[mean p] - mean H[p] of p (classes, samples, m)."""
    return (torch.special.entr(p.mean(1)).sum(0) - torch.special.entr(p).sum(0).mean(0)).clamp(min=0)
