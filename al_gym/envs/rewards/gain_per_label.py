"""Accuracy gained per label."""

from __future__ import annotations

import numpy as np

from al_gym.envs.rewards.base import Floats, Reward, Transition, register_reward


@register_reward("gain_per_label")
class GainPerLabel(Reward):
    """Change of validation accuracy over the labels spent; pays tiny batches early and does not telescope.

    (a_after - a_before) / b; 0 for a stop. Its sum over an episode is not the accuracy gained unless every
    batch has the same size: an agent that may choose the batch is drawn to single labels while the curve is steep.
    """

    name = "gain_per_label"

    def __call__(self, transition: Transition) -> Floats:
        """See `Reward.__call__`."""
        return (transition.after - transition.before) / np.maximum(transition.batch, 1)
