"""Area under the learning curve."""

from __future__ import annotations

import numpy as np

from al_gym.envs.rewards.base import Floats, Reward, Transition, register_reward


@register_reward("aulc")
class Aulc(Reward):
    """Share of the area under the learning curve; its undiscounted sum is the AULC over the budget.

    b (a_before + a_after) / (2 budget) for a batch of b labels; at an early end the rest of the budget is paid at the
    last accuracy.
    """

    name = "aulc"

    def __call__(self, transition: Transition) -> Floats:
        """See `Reward.__call__`."""
        t = transition
        area = t.batch * (t.before + t.after) / 2
        rest = np.where(t.ended, (t.budget - t.spent) * t.after, 0.0)
        return (area + rest) / t.budget
