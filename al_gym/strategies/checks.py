"""Checks of strategy parameters."""

from __future__ import annotations

import math

from al_gym.errors import ParameterError


def number(strategy: str, name: str, value: object, least: float, *, above: bool = False) -> float:
    """`value` as a finite float of at least (or above) `least`, else ParameterError."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not usable or not (float(value) > least if above else float(value) >= least):  # type: ignore[arg-type]
        raise ParameterError(
            f"{strategy}: {name} must be a number {'above' if above else 'of at least'} {least}, got {value!r}."
        )
    return float(value)  # type: ignore[arg-type]


def whole(strategy: str, name: str, value: object, least: int) -> int:
    """`value` as an integer of at least `least`, else ParameterError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ParameterError(f"{strategy}: {name} must be an integer of at least {least}, got {value!r}.")
    return value


def whole_or_all(strategy: str, name: str, value: object) -> int | None:
    """`value` as an integer of at least 1, None for 'all', else ParameterError."""
    if value == "all":
        return None
    if isinstance(value, str):
        raise ParameterError(f"{strategy}: {name} must be an integer of at least 1 or 'all', got {value!r}.")
    return whole(strategy, name, value, 1)


def one_of(strategy: str, name: str, value: object, known: tuple[str, ...]) -> str:
    """`value` if it is one of `known`, else ParameterError."""
    if not isinstance(value, str) or value not in known:
        raise ParameterError(f"{strategy}: {name} must be one of {', '.join(known)}, got {value!r}.")
    return value
