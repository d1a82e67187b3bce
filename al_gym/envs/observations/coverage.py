"""How far the pool is from the labelled items, and whether uncertainty lies where the pool is dense."""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym import kernels
from al_gym.envs.observations.base import FeatureSet, masked_mean, masked_quantiles, register_features
from al_gym.pool import PoolView

_LEVELS = (0.5, 0.9)


@register_features("coverage")
class Coverage(FeatureSet):
    """Distance to the nearest labelled item in units of the neighbour scale, and how typical the uncertain are."""

    name = "coverage"

    def names(self) -> dict[str, str]:
        """See `FeatureSet.names`."""
        return {
            "mean": "mean distance to the nearest labelled item over 4 h, h the nearest-neighbour scale",
            "median": "median of the same, at most 1",
            "q90": "quantile 0.9 of the same, at most 1",
            "uncertain_typical": "correlation of 1 - margin with minus the distance to the 20 nearest items",
            "uncertain_far": "correlation of 1 - margin with the distance to the nearest labelled item",
        }

    def compute(self, view: PoolView, last_strategy: Tensor) -> Tensor:
        """See `FeatureSet.compute`."""
        if view.compiled:
            out: Tensor = kernels.load("features").coverage(view, _LEVELS)
            return out
        mask = view.candidates
        far = view.squared_distance_to_labelled().sqrt() / view.bandwidth()[:, None]
        uncertain = 1 - view.margin
        columns = [
            masked_mean(far, mask)[:, None] / 4,
            masked_quantiles(far / 4, mask, _LEVELS),
            _correlation(uncertain, -view.neighbour_distance() / view.bandwidth()[:, None], mask)[:, None],
            _correlation(uncertain, far, mask)[:, None],
        ]
        return torch.cat(columns, dim=1)


def _correlation(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """(tasks,) Pearson correlation over the masked items; 0 where either is constant."""
    a = (a - masked_mean(a, mask)[:, None]) * mask
    b = (b - masked_mean(b, mask)[:, None]) * mask
    scale = ((a * a).sum(1) * (b * b).sum(1)).sqrt()
    return torch.where(scale > 1e-9 * mask.sum(1), (a * b).sum(1) / scale.clamp(min=1e-12), torch.zeros_like(scale))
