"""What each strategy would take next."""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym.envs.observations.base import FeatureSet, register_features
from al_gym.pool import PoolView


@register_features("proposals")
class Proposals(FeatureSet):
    """Per strategy, its proposed batch: uncertainty, typicality, novelty and spread. Costs one selection each."""

    name = "proposals"

    def names(self) -> dict[str, str]:
        """See `FeatureSet.names`."""
        out: dict[str, str] = {}
        for i, strategy in enumerate(self.setting.strategies):
            out |= {
                f"{i}_uncertainty": f"mean 1 - margin of what {strategy.name} would take",
                f"{i}_typicality": "h over twice its mean distance to the 20 nearest items, h their mean over the pool",
                f"{i}_novelty": "its mean distance to the nearest labelled item over 4 h",
                f"{i}_spread": "mean distance between its items over 4 h; 0 for one item",
            }
        return out

    def compute(self, view: PoolView, last_strategy: Tensor) -> Tensor:
        """See `FeatureSet.compute`."""
        left = torch.minimum(view.candidates.sum(dim=1), view.budget - view.spent)
        columns = torch.zeros(len(view), 4 * len(self.setting.strategies), device=view.rows.device)
        open_ = torch.nonzero(left > 0)[:, 0]
        if len(open_):
            part = view.take(open_)
            k = left[open_].clamp(max=max(self.setting.batch_choices) if len(self.setting.batch_choices) == 1 else 5)
            blocks = [describe_batch(part, s.select(part, k, part.stream(s.name))) for s in self.setting.strategies]
            columns[open_] = torch.cat(blocks, dim=1)
        return columns


def describe_batch(view: PoolView, batch: Tensor) -> Tensor:
    """(tasks, 4) float32: mean uncertainty, typicality, novelty and spread of `batch` (tasks, k) int64, -1 for none."""
    real = batch >= 0
    item = batch.clamp(min=0)
    size = real.sum(dim=1).clamp(min=1).to(torch.float32)
    h = view.bandwidth()

    def mean(values: Tensor) -> Tensor:
        return (values.gather(1, item) * real).sum(dim=1) / size

    near = mean(view.neighbour_distance())
    points = view.arrays.X[view.rows[:, None], item]
    between = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    pairs = (real[:, :, None] & real[:, None, :]).to(torch.float32)
    spread = (between * pairs).sum(dim=(1, 2)) / (size * (size - 1)).clamp(min=1)
    novelty = mean(view.squared_distance_to_labelled().sqrt())
    return torch.stack(
        [mean(1 - view.margin), h / (2 * near).clamp(min=1e-6), novelty / (4 * h), spread / (4 * h)], dim=1
    )
