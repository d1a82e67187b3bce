"""How well the model fits the labels that it was trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym import kernels
from al_gym.envs.observations.base import FeatureSet, masked_mean, register_features
from al_gym.pool import PoolView


@register_features("training")
class Training(FeatureSet):
    """Log-loss, accuracy and margin of the model on its own training labels."""

    name = "training"

    def names(self) -> dict[str, str]:
        """See `FeatureSet.names`."""
        return {
            "loss": "mean training log-loss over the log of the number of classes, halved",
            "accuracy": "training accuracy, in [0, 1]",
            "margin": "mean margin on labelled items, in [0, 1]",
        }

    def compute(self, view: PoolView, last_strategy: Tensor) -> Tensor:
        """See `FeatureSet.compute`."""
        if view.compiled:
            out: Tensor = kernels.load("features").training(view)
            return out
        labelled = view.labelled
        y = view.y.clamp(min=0)
        p = view.proba.gather(1, y[:, None, :])[:, 0].clamp(min=1e-6)
        loss = masked_mean(-p.log(), labelled) / (2 * view.n_classes.to(torch.float32).log())
        accuracy = masked_mean((view.predicted == y).to(torch.float32), labelled)
        return torch.stack([loss, accuracy, masked_mean(view.margin, labelled)], dim=1)
