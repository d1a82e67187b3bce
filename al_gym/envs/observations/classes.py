"""Class balance of the labels so far and of the predictions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from al_gym import kernels
from al_gym.envs.observations.base import FeatureSet, register_features
from al_gym.pool import PoolView


@register_features("classes")
class Classes(FeatureSet):
    """How many classes there are, how many have a label, and how balanced labels and predictions are."""

    name = "classes"

    def names(self) -> dict[str, str]:
        """See `FeatureSet.names`."""
        return {
            "count": "log of the number of classes over log 100",
            "seen": "share of the classes that have a label",
            "label_balance": "entropy of the label shares over the log of the number of classes, in [0, 1]",
            "label_least": "share of the rarest class among the labels times the number of classes",
            "prediction_balance": "entropy of the mean predicted probabilities over the log of the number of classes",
            "shift": "total variation between the label shares and the mean predicted probabilities, in [0, 1]",
        }

    def compute(self, view: PoolView, last_strategy: Tensor) -> Tensor:
        """See `FeatureSet.compute`."""
        if view.compiled:
            out: Tensor = kernels.load("features").classes(view)
            return out
        k = view.n_classes.to(torch.float32)
        classes = view.arrays.seen.shape[1]
        real = torch.arange(classes, device=k.device)[None, :] < view.n_classes[:, None]
        labels, predicted = _class_means(view)
        log_k = k.log()
        least = labels.masked_fill(~real, torch.inf).min(dim=1).values * k
        columns = [
            log_k / math.log(100.0),
            view.seen.sum(dim=1) / k,
            torch.special.entr(labels).sum(dim=1) / log_k,
            least,
            torch.special.entr(predicted).sum(dim=1) / log_k,
            0.5 * (labels - predicted).abs().sum(dim=1),
        ]
        return torch.stack(columns, dim=1)


def _class_means(view: PoolView) -> tuple[Tensor, Tensor]:
    """(tasks, classes) float32 twice: shares of the labels, mean probabilities over the unlabelled items."""
    labels = torch.zeros(len(view), view.arrays.seen.shape[1], device=view.rows.device)
    labels.scatter_add_(1, view.y.clamp(min=0), view.labelled.to(torch.float32))
    unlabelled = view.candidates.to(torch.float32)
    total = torch.bmm(view.proba, unlabelled[:, :, None])[:, :, 0]
    return labels / view.n_labelled[:, None].clamp(min=1), total / unlabelled.sum(1, keepdim=True).clamp(min=1)
