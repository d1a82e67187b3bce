"""One strategy throughout."""

from __future__ import annotations

import numpy as np

from al_gym.errors import ParameterError
from al_gym.policies.base import Choice, Context, Policy
from al_gym.registry import call_with, parse_spec
from al_gym.strategies import STRATEGIES, Strategy


class FixedStrategy(Policy):
    """One strategy throughout, with one batch size.

    Args:
        strategy: the strategy.
        batch: labels a round; the evaluation's default if None.
        spec: the text it was made from; the strategy's name if empty.
    """

    def __init__(self, strategy: Strategy, *, batch: int | None = None, spec: str = "") -> None:
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int | np.integer) or batch < 1):
            raise ParameterError(f"{strategy.name}: batch must be a positive integer, got {batch!r}.")
        self.strategies = (strategy,)
        self.batch = batch
        self.name = spec or strategy.name
        self.spec = spec

    @classmethod
    def from_spec(cls, spec: str) -> FixedStrategy:
        """From 'name' or 'name:parameter=value,...'; the parameter `batch` is the batch size.

        Raises:
            UnknownNameError: no such strategy, or no such parameter of it.
            ParameterError: the text cannot be read, or a value is impossible.
        """
        name, parameters = parse_spec(spec, "strategy")
        batch = parameters.pop("batch", None)
        strategy = call_with(STRATEGIES.get(name), name, "strategy", parameters)
        return cls(strategy, batch=batch, spec=spec.replace(" ", ""))

    def fingerprint(self) -> str:
        """The text it was made from, or the strategy's name and settings."""
        return self.spec or f"{self.name} {vars(self.strategies[0])} batch={self.batch}"

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        return context.choice(np.zeros(len(context), np.int64), self.batch)
