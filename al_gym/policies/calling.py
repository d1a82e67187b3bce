"""A function as a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from al_gym.errors import PolicyError
from al_gym.policies.base import Choice, Context, Policy
from al_gym.strategies import Strategy, make_strategy

Function = Callable[[Context], str | Sequence[str]]


class CallablePolicy(Policy):
    """A function of the `Context` that answers with the name of a strategy, or with one name a campaign.

    Args:
        function: called once a round; names may have parameters, 'uherding:power=2'.
        name: of the policy.
    """

    def __init__(self, function: Function, *, name: str) -> None:
        self.function = function
        self.name = name
        self._strategies: dict[str, Strategy] = {}

    @property
    def strategies(self) -> tuple[Strategy, ...]:  # type: ignore[override]
        """Those named so far."""
        return tuple(self._strategies.values())

    @property
    def labels(self) -> tuple[str, ...]:
        """The names as the function gave them."""
        return tuple(self._strategies)

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        answer = self.function(context)
        names = [answer] * len(context) if isinstance(answer, str) else list(answer)
        if len(names) != len(context) or not all(isinstance(name, str) for name in names):
            raise PolicyError(
                f"policy {self.name!r} must answer with the name of a strategy or with {len(context)} names, "
                f"got {answer!r}."
            )
        for name in names:
            if name not in self._strategies:
                self._strategies[name] = make_strategy(name)
        order = list(self._strategies)
        return context.choice(np.array([order.index(name) for name in names], np.int64))

    def fingerprint(self) -> str:
        """The function's place."""
        module, name = getattr(self.function, "__module__", ""), getattr(self.function, "__qualname__", self.name)
        return f"{module}:{name}"
