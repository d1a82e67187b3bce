"""al_gym/Budget-v0."""

from al_gym.envs.actions import BudgetActions
from al_gym.envs.single import CampaignEnv
from al_gym.envs.vector import CampaignVectorEnv


class BudgetEnv(CampaignEnv):
    """How many labels the next batch has, spent by one fixed strategy.

    ## Description
    As `al_gym/Strategy-v0`, but the strategy is fixed (the first of `strategies`, by default `margin`) and the agent
    chooses the size of the next batch. Small batches adapt more often; with `round_cost` above 0 every round costs
    something too, so that the best size depends on where the learning curve bends.

    ## Action space
    `Discrete(K)`: the index of one of `batch_choices`, by default 1, 2, 5, 10, 20 labels. A batch larger than what is
    left of budget and pool is clipped, not masked. With `allow_stop=True` there is one more action, which ends the
    campaign; it is masked before the first round.

    ## Observation space
    `Box(-1, 1, (F,), float32)`; see `al_gym/Strategy-v0`.

    ## Rewards
    By name, `reward=`; see `al_gym/Strategy-v0`. Beware of `gain_per_label` here: it does not telescope, and pays tiny
    batches while the curve is steep. `aulc` and `advantage` add up to what matters.

    ## Starting state
    As `al_gym/Strategy-v0`.

    ## Episode end
    As `al_gym/Strategy-v0`.

    ## Arguments
    ```python
    import gymnasium as gym
    import al_gym

    env = gym.make("al_gym/Budget-v0", batch_choices=[1, 5, 25], reward="aulc", round_cost=0.001)
    ```
    See `al_gym.envs.engine.Settings` for all of them.

    ## Version history
    * v0: first version.
    """

    kind = BudgetActions
    defaults = {"strategies": ("margin",)}  # noqa: RUF012


class BudgetVectorEnv(CampaignVectorEnv):
    """Many `al_gym/Budget-v0` campaigns at once."""

    kind = BudgetActions
    defaults = {"strategies": ("margin",)}  # noqa: RUF012
