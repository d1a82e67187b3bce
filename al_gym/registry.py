"""Named, parameterised pieces: strategies, learners, rewards, policies, suites."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, Generic, TypeVar

from al_gym.errors import ParameterError, UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to factories and fills itself from the modules of one package.

    Args:
        kind: what is registered, in the singular ("strategy"), for messages.
        package: dotted name of the package whose modules register pieces when imported.
        entry_points: group of entry points by which installed packages offer pieces, name = "module:factory".
    """

    def __init__(self, kind: str, package: str | None = None, entry_points: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._entry_points = entry_points
        self._factories: dict[str, Callable[..., T]] = {}
        self._discovered = package is None

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Decorator that registers a class or function under `name`.

        Raises:
            ParameterError: the name is taken by another factory or holds ':', ',' or '='.
        """
        if not name or set(name) & set(":,= "):
            raise ParameterError(f"{self.kind} name {name!r} must be non-empty and hold none of ':', ',', '=', ' '.")

        def add(factory: Callable[..., T]) -> Callable[..., T]:
            known = self._factories.get(name)
            if known is not None and (known.__module__, known.__qualname__) != (
                factory.__module__,
                factory.__qualname__,
            ):
                raise ParameterError(f"{self.kind} {name!r} is already registered by {known.__module__}.")
            self._factories[name] = factory
            return factory

        return add

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        package = importlib.import_module(str(self._package))
        for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
            importlib.import_module(f"{self._package}.{module}")
        for entry in metadata.entry_points(group=self._entry_points) if self._entry_points else ():
            try:
                factory = entry.load()
            except (ImportError, AttributeError) as error:
                warnings.warn(f"The {self.kind} {entry.name!r} of an installed package cannot be loaded: {error}.")
                continue
            self.register(entry.name)(factory)

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self._discover()
        return sorted(self._factories)

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._factories

    def get(self, name: str) -> Callable[..., T]:
        """The factory registered under `name`; UnknownNameError with the closest names if there is none."""
        self._discover()
        try:
            return self._factories[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._factories) from None

    def describe(self) -> dict[str, str]:
        """Name -> first line of the docstring, sorted by name."""
        return {name: (inspect.getdoc(self._factories[name]) or "").split("\n")[0] for name in self.names()}

    def make(self, spec: str, **defaults: Any) -> T:
        """Build from 'name' or 'name:key=value,key=value'.

        Args:
            spec: the text; values are read as int, float, true/false, else as text.
            **defaults: keyword arguments used where `spec` does not set them.

        Raises:
            UnknownNameError: no such name, or no such parameter of it.
            ParameterError: the text cannot be parsed.
        """
        name, parameters = parse_spec(spec, self.kind)
        factory = self.get(name)
        return call_with(factory, name, self.kind, {**defaults, **parameters})


def call_with(factory: Callable[..., T], name: str, kind: str, parameters: Mapping[str, Any]) -> T:
    """Call `factory` with `parameters`; a parameter that it does not take is an UnknownNameError."""
    accepted = {
        key
        for key, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }
    for key in parameters:
        if key not in accepted:
            raise UnknownNameError(f"parameter of {kind} {name!r}:", key, accepted or {"(it takes none)"})
    return factory(**parameters)


def parse_spec(spec: str, kind: str = "piece") -> tuple[str, dict[str, Any]]:
    """Split 'name:key=value,...' into the name and its parameters."""
    name, colon, tail = spec.partition(":")
    parameters: dict[str, Any] = {}
    if colon:
        for item in tail.split(","):
            key, equals, value = item.partition("=")
            if not equals or not key.strip() or not value.strip():
                raise ParameterError(f"Cannot read {kind} {spec!r}: {item!r} is not of the form key=value.")
            if key.strip() in parameters:
                raise ParameterError(f"Cannot read {kind} {spec!r}: {key.strip()!r} is set twice.")
            parameters[key.strip()] = _parse_value(value.strip())
    return name.strip(), parameters


def _parse_value(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
