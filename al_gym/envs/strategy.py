"""al_gym/Strategy-v0."""

from al_gym.envs.actions import StrategyActions
from al_gym.envs.single import CampaignEnv
from al_gym.envs.vector import CampaignVectorEnv


class StrategyEnv(CampaignEnv):
    """Which query strategy takes the next batch of labels.

    ## Description
    One episode is one labelling campaign: a pool of unlabelled items, one labelled item of each class, a learner and a
    budget of labels. Each round the agent names a query strategy, the strategy picks `batch_size` items, the oracle
    labels them, the learner is refitted, and the validation accuracy that the labels bought is the reward.

    ## Action space
    `Discrete(S)`: the index of one of `strategies`. With `allow_stop=True` there is one more action, which ends the
    campaign; it is masked before the first round. `info["action_mask"]` (int8) tells what is valid; a masked action
    runs the first valid one and sets `info["invalid_action"]`. An action outside the space raises
    `al_gym.errors.ActionError` before anything changes.

    ## Observation space
    `Box(-1, 1, (F,), float32)`, independent of the dataset's features and classes, computed without any label that
    was not revealed. `env.unwrapped.observation_names` names the components, `observation_documentation` explains
    them, `features=` chooses the groups.

    ## Rewards
    By name, `reward=`: `gain_per_label` (default), `aulc`, `advantage`, `steps_to_target`; `round_cost` is subtracted
    each round.

    ## Starting state
    A dataset is drawn from `tasks`, split into pool and validation items by a permutation of its own, scaled on the
    pool, and the seed set is labelled. `reset(options={"task": name or Dataset or Task, "task_seed": n})` fixes it.

    ## Episode end
    `terminated` when the budget is spent, the pool is exhausted, `target_accuracy` is reached or the agent stops. The
    last batch is clipped to what is left. Episodes are never truncated.

    ## Arguments
    ```python
    import gymnasium as gym
    import al_gym

    env = gym.make("al_gym/Strategy-v0", strategies=["random", "margin", "maxherding"], budget=50)
    ```
    See `al_gym.envs.engine.Settings` for all of them.

    ## Version history
    * v0: first version.
    """

    kind = StrategyActions


class StrategyVectorEnv(CampaignVectorEnv):
    """Many `al_gym/Strategy-v0` campaigns at once."""

    kind = StrategyActions
