"""Where the campaign stands: budget, pool, labels, sizes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from al_gym import kernels
from al_gym.envs.observations.base import FeatureSet, register_features
from al_gym.pool import PoolView


@register_features("progress")
class Progress(FeatureSet):
    """Budget used, share of the pool labelled, and the sizes of the problem on a log scale."""

    name = "progress"

    def names(self) -> dict[str, str]:
        """See `FeatureSet.names`."""
        return {
            "budget_used": "labels bought over the budget, in [0, 1]",
            "pool_labelled": "share of the pool that is labelled",
            "labels": "log of the number of labels over log 1000",
            "labels_per_class": "log of one plus labels per class over log 1000",
            "labels_per_feature": "tanh of the log of labels over features, halved inside",
            "features": "log of the number of features over log 1000",
            "pool": "log of the number of pool items over log 1e6",
            "budget": "log of the budget over log 1000",
        }

    def compute(self, view: PoolView, last_strategy: Tensor) -> Tensor:
        """See `FeatureSet.compute`."""
        if view.compiled:
            out: Tensor = kernels.load("features").progress(view)
            return out
        labels, items = view.n_labelled.to(torch.float32), view.n_items.to(torch.float32)
        features, budget = view.n_features.to(torch.float32), view.budget.to(torch.float32)
        thousand = math.log(1000.0)
        columns = [
            view.spent / budget,
            labels / items,
            labels.log() / thousand,
            (1 + labels / view.n_classes).log() / thousand,
            (0.5 * (labels / features).log()).tanh(),
            features.log() / thousand,
            items.log() / math.log(1e6),
            budget.log() / thousand,
        ]
        return torch.stack(columns, dim=1)
