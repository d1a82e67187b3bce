"""Query strategies, batched over campaigns: one file each."""

from al_gym.strategies.base import STRATEGIES, ScoreStrategy, Strategy, register_strategy
from al_gym.strategies.references import import_strategy, is_reference

__all__ = ["STRATEGIES", "ScoreStrategy", "Strategy", "list_strategies", "make_strategy", "register_strategy"]


def list_strategies() -> dict[str, str]:
    """Name -> one-line description of every registered query strategy."""
    return STRATEGIES.describe()


def make_strategy(spec: str | Strategy) -> Strategy:
    """A strategy from its name, from a reference to Python code, or as it is.

    Args:
        spec: 'name', 'module:attribute' (see `al_gym.strategies.references`), both with ':parameter=value,...' behind
            if wanted, or a strategy.

    Raises:
        UnknownNameError: no such strategy or parameter; lists the closest names.
        ParameterError: a parameter has an impossible value, or the reference leads to no strategy.
    """
    if isinstance(spec, Strategy):
        return spec
    if is_reference(spec) and spec.partition(":")[0].strip() not in STRATEGIES:
        return import_strategy(spec)
    strategy = STRATEGIES.make(spec)
    strategy.label = spec.replace(" ", "")
    return strategy
