"""al_gym/Candidate-v0."""

from al_gym.envs.proposing import CandidateActions
from al_gym.envs.single import CampaignEnv
from al_gym.envs.vector import CampaignVectorEnv


class CandidateEnv(CampaignEnv):
    """Which of M proposed batches is labelled next, each described by label-free features.

    ## Description
    One episode is one labelling campaign, as in `al_gym/Strategy-v0`. Each round every strategy proposes a batch of
    `batch_size` items, and strategies that draw at random propose `draws` of them; the agent sees what each proposal
    looks like and takes one. Proposals are made once a round, and the one that is taken is used as it was described.
    With `batch_size=1` a proposal is one item: the form of LAL-RL (Konyushkova et al. 2018, arXiv 1909.04928) and ALIL
    (Liu, Buntine & Haffari 2018).

    ## Action space
    `Discrete(M)`: the number of a proposal; `env.unwrapped.action_names` has its strategy, 'badge#2' the second draw
    of `badge`. The first draw is what the strategy takes in `al_gym/Strategy-v0`. With `allow_stop=True` there is one
    more action, which ends the campaign. `info["action_mask"]` (int8) masks proposals that hold the same items as an
    earlier one, and the stop before the first round; a masked action runs the first valid one and sets
    `info["invalid_action"]`. An action outside the space raises `al_gym.errors.ActionError` before anything changes.

    ## Observation space
    `Box(-1, 1, (M, F), float32)`, one row a proposal: nine features of the batch (mean uncertainty and entropy,
    typicality, novelty, spread, predicted classes, coverage gain plain and weighted by uncertainty, agreement with the
    other proposals), then those of the pool as in `al_gym/Strategy-v0`, the same in each row. Computed without any
    label that was not revealed, and independent of the dataset's features and classes.
    `env.unwrapped.observation_names` names the M x F components row by row, `observation_documentation` explains
    them, `features=` chooses the groups of the pool's features. After the last round nothing is proposed, and the
    features of the batches are 0.

    ## Rewards
    By name, `reward=`: `gain_per_label` (default), `aulc`, `advantage`, `steps_to_target`; `round_cost` is subtracted
    each round.

    ## Starting state
    As in `al_gym/Strategy-v0`; `reset(options={"task": name or Dataset or Task, "task_seed": n})` fixes it.

    ## Episode end
    `terminated` when the budget is spent, the pool is exhausted, `target_accuracy` is reached or the agent stops. The
    last batch is clipped to what is left. Episodes are never truncated.

    ## Arguments
    ```python
    import gymnasium as gym
    import al_gym

    env = gym.make("al_gym/Candidate-v0", strategies=["margin", "badge", "maxherding"], draws=5, batch_size=1)
    ```
    See `al_gym.envs.engine.Settings` for all of them.

    ## Version history
    * v0: first version.
    """

    kind = CandidateActions


class CandidateVectorEnv(CampaignVectorEnv):
    """Many `al_gym/Candidate-v0` campaigns at once."""

    kind = CandidateActions
