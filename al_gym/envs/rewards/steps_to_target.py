"""Labels until a target accuracy."""

from __future__ import annotations

import numpy as np

from al_gym.envs.rewards.base import Floats, Reward, Transition, register_reward


@register_reward("steps_to_target")
class StepsToTarget(Reward):
    """-1 per label until `target_accuracy` is reached; a stop before it costs the rest of the budget."""

    name = "steps_to_target"
    needs_target = True

    def __call__(self, transition: Transition) -> Floats:
        """See `Reward.__call__`."""
        t = transition
        rest = np.where(t.stopped, t.budget - t.spent, 0)
        return -(t.batch + rest).astype(np.float64)
