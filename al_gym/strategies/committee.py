"""Several opinions on each item: a committee of refitted models, or draws from the model's posterior."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.refits import refit_with_weights
from al_gym.strategies.surrogate import Surrogate, surrogates
from al_gym.streams import Stream

MEMBER_STEPS = 12
"""Descent steps of a member's fit: its probabilities are then within 0.005 of the converged ones on average."""


def bootstrap_weights(model: Surrogate, members: int, stream: Stream) -> Tensor:
    """(members, n) float32: weights of the labelled items, exponential with mean 1 in each member (Rubin 1981)."""
    n = len(model.labelled)
    draws = -torch.from_numpy(1.0 - stream.uniform(members * n)).log().reshape(members, n)
    return (draws / draws.mean(1, keepdim=True)).float().to(model.phi.device)


def committee_logits(model: Surrogate, items: Tensor, members: int, stream: Stream) -> Tensor:
    """(classes, members, len(items)) float32 logits of models fitted to reweighted labels.

    The Bayesian bootstrap gives every labelled item a positive random weight, so that no member loses a class.

    Args:
        model: the fit to the plain labels. items: (m,) int64. members: models. stream: of this one task.
    """
    theta = refit_with_weights(model, bootstrap_weights(model, members, stream), MEMBER_STEPS)
    x = model.coordinates(items)
    return model.log_proba(items)[:, None, :] + theta @ x.T


def laplace_logits(model: Surrogate, items: Tensor, samples: int, stream: Stream) -> Tensor:
    """(classes, samples, len(items)) float32 logits of draws from the Laplace approximation of the posterior.

    The weights of each class are Gaussian around the fit with the inverse of their own curvature as covariance
    (`Surrogate.covariance`; blocks of different classes are taken as independent, which is exact for two classes).
    Outside the span of the labelled items the prior is left, with variance C.

    Args:
        model: the fit. items: (m,) int64. samples: draws. stream: of this one task.
    """
    classes, width = model.n_classes, model.design.shape[1]
    x = model.coordinates(items)
    spread = torch.linalg.cholesky(model.covariance.double()).float()
    noise = _normal(stream.child("inside"), (classes, samples, width), x)
    if model.basis is not None:
        noise[:, :, -1] = 0
    change = (noise @ spread.mT) @ x.T
    if model.basis is not None:
        phi = model.phi[items]
        outside = _normal(stream.child("outside"), (classes, samples, phi.shape[1]), x) / math.sqrt(model.penalty)
        change += outside @ phi.T - (outside @ model.basis) @ (phi @ model.basis).T
    return model.log_proba(items)[:, None, :] + change


def _normal(stream: Stream, shape: tuple[int, int, int], like: Tensor) -> Tensor:
    return torch.from_numpy(stream.normal(math.prod(shape))).reshape(shape).to(like)


def opinions(
    view: PoolView, stream: Stream, *, posterior: str, samples: int, C: float, allowed: Tensor | None = None
) -> dict[int, tuple[Tensor, Tensor]]:
    """Probabilities by several models, for every task with at least two classes seen.

    Args:
        view: the campaigns.
        stream: keyed by (task, round, strategy name).
        posterior: 'committee' or 'laplace'.
        samples: models.
        C: inverse penalty.
        allowed: (tasks, items) bool; the candidates if None.

    Returns:
        Position in the view -> items (m,) int64 and probabilities (classes seen, samples, m) float32.
    """
    draw = committee_logits if posterior == "committee" else laplace_logits
    asked = view.candidates if allowed is None else allowed
    result = {}
    for task, model in surrogates(view, C):
        items = asked[task].nonzero()[:, 0]
        own = stream.take(torch.tensor([task]).numpy())
        result[task] = items, torch.softmax(draw(model, items, samples, own), 0)
    return result


def mutual_information(p: Tensor) -> Tensor:
    """(m,) float32: H[mean p] - mean H[p] of p (classes, samples, m)."""
    return (torch.special.entr(p.mean(1)).sum(0) - torch.special.entr(p).sum(0).mean(0)).clamp(min=0)
