"""Query strategies, batched over campaigns: one file each."""

from al_gym.strategies.base import STRATEGIES, ScoreStrategy, Strategy, register_strategy

__all__ = ["STRATEGIES", "ScoreStrategy", "Strategy", "list_strategies", "make_strategy", "register_strategy"]


def list_strategies() -> dict[str, str]:
    """Name -> one-line description of every registered query strategy."""
    return STRATEGIES.describe()


def make_strategy(spec: str | Strategy) -> Strategy:
    """A strategy from its name, from 'name:parameter=value,...', or as it is.

    Raises:
        UnknownNameError: no such strategy or parameter; lists the closest names.
        ParameterError: a parameter has an impossible value.
    """
    return spec if isinstance(spec, Strategy) else STRATEGIES.make(spec)
