"""Area under the learning curve against a reference strategy."""

from __future__ import annotations

import numpy as np

from al_gym.envs.rewards.aulc import Aulc
from al_gym.envs.rewards.base import Floats, Transition, register_reward


@register_reward("advantage")
class Advantage(Aulc):
    """`aulc` minus what margin gets over the same labels on the same task, split and seed: a control variate.

    The reference is the piece-wise linear curve of `margin` with the default batch, run once at each reset. It does
    not depend on the agent, so that the best policy is the same as under `aulc`, with less variance between tasks.
    """

    name = "advantage"
    needs_reference = True

    def __call__(self, transition: Transition) -> Floats:
        """See `Reward.__call__`."""
        t = transition
        assert t.reference is not None
        until = np.where(t.ended, t.budget, t.spent)
        reference = t.reference.integral(until) - t.reference.integral(t.spent - t.batch)
        return super().__call__(t) - reference / t.budget
