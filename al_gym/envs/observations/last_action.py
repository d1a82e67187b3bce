"""What the agent did last."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from al_gym.envs.observations.base import FeatureSet, register_features
from al_gym.pool import PoolView


@register_features("last-action")
class LastAction(FeatureSet):
    """The last strategy, one-hot, and the last batch size; all zero before the first round."""

    name = "last-action"

    def names(self) -> dict[str, str]:
        """See `FeatureSet.names`."""
        out = {
            f"strategy_{i}": f"1 if the last batch was taken by {s.name}" for i, s in enumerate(self.setting.strategies)
        }
        return out | {"batch": "log of one plus the last batch over log 1000"}

    def compute(self, view: PoolView, last_strategy: Tensor) -> Tensor:
        """See `FeatureSet.compute`."""
        index = torch.arange(len(self.setting.strategies), device=last_strategy.device)
        one_hot = (last_strategy[:, None] == index[None, :]).to(torch.float32)
        batch = (1 + view.last_batch.to(torch.float32)).log() / math.log(1000.0)
        return torch.cat([one_hot, batch[:, None]], dim=1)
