"""Distribution of the model's uncertainty over the unlabelled pool."""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym import kernels
from al_gym.envs.observations.base import FeatureSet, masked_mean, masked_quantiles, register_features
from al_gym.pool import PoolView

_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


@register_features("uncertainty")
class Uncertainty(FeatureSet):
    """Means and quantiles of entropy and margin over the unlabelled pool, and the share of flipped predictions."""

    name = "uncertainty"

    def names(self) -> dict[str, str]:
        """See `FeatureSet.names`."""
        out = {"entropy_mean": "mean entropy over the log of the number of classes seen, in [0, 1]"}
        out |= {f"entropy_q{int(100 * q):02d}": f"quantile {q} of the same" for q in _LEVELS}
        out |= {"margin_mean": "mean of largest minus second probability, in [0, 1]"}
        out |= {f"margin_q{int(100 * q):02d}": f"quantile {q} of the same" for q in _LEVELS}
        out |= {
            "confidence_mean": "mean largest probability, in [0, 1]",
            "flips": "share of unlabelled items whose prediction changed in the last round",
        }
        return out

    def compute(self, view: PoolView, last_strategy: Tensor) -> Tensor:
        """See `FeatureSet.compute`."""
        if view.compiled:
            out: Tensor = kernels.load("features").uncertainty(view, _LEVELS)
            return out
        mask = view.candidates
        most = view.seen.sum(dim=1).clamp(min=2).to(torch.float32).log()[:, None]
        entropy = view.entropy / most
        columns = [
            masked_mean(entropy, mask)[:, None],
            masked_quantiles(entropy, mask, _LEVELS),
            masked_mean(view.margin, mask)[:, None],
            masked_quantiles(view.margin, mask, _LEVELS),
            masked_mean(view.top1, mask)[:, None],
            masked_mean((view.predicted != view.previous).to(torch.float32), mask)[:, None],
        ]
        return torch.cat(columns, dim=1)
