"""How well the model foresaw the labels that it was about to get."""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym.envs.observations.base import FeatureSet, register_features
from al_gym.pool import PoolView

_SCALE = torch.tensor([1.0, 7.0, 1.0, 7.0])


@register_features("prequential")
class Prequential(FeatureSet):
    """Accuracy and log-loss of the model on each batch before its labels came (Dawid 1984): free and honest."""

    name = "prequential"

    def names(self) -> dict[str, str]:
        """See `FeatureSet.names`."""
        return {
            "accuracy": "on the last batch, in [0, 1]; 0.5 before the first",
            "loss": "mean log-loss on the last batch, each item at most 6.9, over 7; 0 before the first",
            "accuracy_mean": "exponential mean over the batches, rate 0.3",
            "loss_mean": "exponential mean over the batches, rate 0.3, over 7",
        }

    def compute(self, view: PoolView, last_strategy: Tensor) -> Tensor:
        """See `FeatureSet.compute`."""
        return view.prequential / _SCALE.to(view.prequential.device)
