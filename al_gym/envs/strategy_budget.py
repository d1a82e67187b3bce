"""al_gym/StrategyBudget-v0."""

from al_gym.envs.actions import StrategyBudgetActions
from al_gym.envs.single import CampaignEnv
from al_gym.envs.vector import CampaignVectorEnv


class StrategyBudgetEnv(CampaignEnv):
    """Which query strategy takes how many labels next.

    ## Description
    `al_gym/Strategy-v0` and `al_gym/Budget-v0` in one: each round the agent names a query strategy and the size of its
    batch.

    ## Action space
    `MultiDiscrete([S, K])`: the index of one of `strategies` and of one of `batch_choices`. With `allow_stop=True` the
    second component has one more value, which ends the campaign whatever the first one is; it is masked before the
    first round. `info["action_mask"]` is a tuple of two int8 arrays; `action_masks()` is flat and bool.

    ## Observation space
    `Box(-1, 1, (F,), float32)`; see `al_gym/Strategy-v0`.

    ## Rewards
    By name, `reward=`; see `al_gym/Strategy-v0` and the warning on `gain_per_label` in `al_gym/Budget-v0`.

    ## Starting state
    As `al_gym/Strategy-v0`.

    ## Episode end
    As `al_gym/Strategy-v0`.

    ## Arguments
    ```python
    import gymnasium as gym
    import al_gym

    env = gym.make("al_gym/StrategyBudget-v0", reward="advantage", round_cost=0.0005, allow_stop=True)
    ```
    See `al_gym.envs.engine.Settings` for all of them.

    ## Version history
    * v0: first version.
    """

    kind = StrategyBudgetActions


class StrategyBudgetVectorEnv(CampaignVectorEnv):
    """Many `al_gym/StrategyBudget-v0` campaigns at once."""

    kind = StrategyBudgetActions
