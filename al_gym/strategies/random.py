"""Random sampling."""

import torch
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import ScoreStrategy, register_strategy


@register_strategy("random")
class Random(ScoreStrategy):
    r"""Uniform over the unlabelled items, without replacement.

    Every score is equal, so that the task's stream, which breaks ties, alone decides.

    **Source:** the baseline of every study. **Cost:** one draw an item. **Wins** in a cold start on clean,
    balanced data against uncertainty sampling, and where the model is wrong; **loses** elsewhere, most with
    rare classes.
    """

    name = "random"
    deterministic = False

    def score(self, view: PoolView) -> Tensor:
        """(tasks, items) float32, zero."""
        return torch.zeros_like(view.top1)
