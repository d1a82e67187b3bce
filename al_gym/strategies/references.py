"""Strategies outside the package, named by a reference to Python code: 'module:attribute'.

The attribute is a `Strategy` or its class; parameters of a class follow a second colon,
'module:attribute:parameter=value,...'. The module has to be on Python's path. It is imported, which runs its code: what
reads files of others does so under `registered_only` (promise P9).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from al_gym.errors import ParameterError, PolicyError
from al_gym.registry import call_with, parse_spec
from al_gym.strategies.base import Strategy

_IMPORTS = ContextVar("imports", default=True)


@contextmanager
def registered_only() -> Iterator[None]:
    """Within this context `import_strategy` refuses: only registered strategies can be made."""
    token = _IMPORTS.set(False)
    try:
        yield
    finally:
        _IMPORTS.reset(token)


def is_reference(spec: str) -> bool:
    """Whether `spec` has the form of a reference: dotted names on both sides of the first colon."""
    module, colon, rest = spec.partition(":")
    attribute = rest.partition(":")[0]
    return bool(colon) and all(part.strip().isidentifier() for part in [*module.split("."), *attribute.split(".")])


def split_reference(spec: str) -> tuple[str, dict[str, Any]]:
    """'module:attribute' and the parameters behind it.

    Raises:
        ParameterError: the parameters cannot be read.
    """
    module, _, rest = spec.partition(":")
    attribute, colon, parameters = rest.partition(":")
    return f"{module.strip()}:{attribute.strip()}", parse_spec(f"{attribute}{colon}{parameters}", "strategy")[1]


def import_object(reference: str) -> Any:
    """What 'module:attribute' refers to.

    Raises:
        ImportError, AttributeError: there is no such thing.
    """
    module, _, attribute = reference.partition(":")
    value: Any = importlib.import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value


def import_strategy(spec: str) -> Strategy:
    """The strategy that 'module:attribute' or 'module:attribute:parameter=value,...' refers to.

    Raises:
        ParameterError: there is no such module or attribute, or it is no strategy.
        UnknownNameError: the strategy has no such parameter.
        PolicyError: imports are forbidden here, see `registered_only`.
    """
    if not _IMPORTS.get():
        raise PolicyError(
            f"the policy names the strategy {spec!r} by a reference to Python code, and importing that can run "
            "anything: pass trusted=True (--trusted) if you trust it."
        )
    reference, parameters = split_reference(spec)
    try:
        value = import_object(reference)
    except (ImportError, AttributeError) as error:
        raise ParameterError(
            f"cannot load the strategy {spec!r}: {error}. MODULE:ATTRIBUTE needs a module on Python's path; for a "
            "file in the current folder set PYTHONPATH=."
        ) from error
    return as_strategy(value, reference, parameters)


def as_strategy(value: Any, reference: str, parameters: Mapping[str, Any]) -> Strategy:
    """`value` if it is a strategy, or the strategy that the class `value` makes with `parameters`.

    Raises:
        ParameterError: `value` is something else, has no name, or is a ready object and there are parameters for it.
        UnknownNameError: the strategy has no such parameter.
    """
    if isinstance(value, type) and issubclass(value, Strategy):
        made: Strategy = call_with(value, reference, "strategy", parameters)
    elif not isinstance(value, Strategy):
        raise ParameterError(f"{reference} is {value!r}, not a strategy or its class; derive it from Strategy.")
    elif parameters:
        raise ParameterError(f"{reference} is a ready strategy and takes no parameters, got {dict(parameters)}.")
    else:
        made = value
    if not made.name:
        raise ParameterError(f"the strategy {reference} has no name; set the class attribute name = '...'.")
    return made
