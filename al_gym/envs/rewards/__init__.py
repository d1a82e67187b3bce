"""What an agent is paid for; one file a reward."""

from al_gym.envs.rewards.base import REWARDS, Reference, Reward, Transition, register_reward

__all__ = ["REWARDS", "Reference", "Reward", "Transition", "list_rewards", "register_reward"]


def list_rewards() -> dict[str, str]:
    """Name -> one-line description of every registered reward."""
    return REWARDS.describe()
