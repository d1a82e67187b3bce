"""Strategies inside other strategies: how they are written, and a view that allows only some of the candidates."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.pool.view import PoolView
from al_gym.strategies import Strategy, make_strategy


def inner_strategy(wrapper: str, spec: str | Strategy) -> Strategy:
    """The strategy inside a wrapper, from text in which ';' stands for ',': 'uherding:power=2;width=0.5'.

    Raises:
        ParameterError: `spec` is neither text nor a strategy.
        UnknownNameError: no such strategy or parameter.
    """
    if isinstance(spec, Strategy):
        return spec
    if not isinstance(spec, str):
        raise ParameterError(f"{wrapper}: a strategy inside it is a name or a Strategy, got {spec!r}.")
    return make_strategy(spec.replace(";", ","))


class RestrictedView(PoolView):
    """A view in which only some of the candidates may be queried; everything else is as before.

    Args:
        view: the campaigns.
        allowed: (tasks, items) bool, a part of `view.candidates`.
    """

    def __init__(self, view: PoolView, allowed: Tensor) -> None:
        super().__init__(view.arrays, view.geometry, view.rows, view.learner)
        self._allowed = allowed

    @cached_property
    def candidates(self) -> Tensor:
        """(tasks, items) bool: items that may be queried."""
        return self._allowed

    def take(self, tasks: Tensor) -> PoolView:
        """See `PoolView.take`."""
        return RestrictedView(super().take(tasks), self._allowed[tasks])
