"""Typed errors: each names the value received and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AlGymError(Exception):
    """Base class of every error that al_gym raises on purpose."""


class UnknownNameError(AlGymError, ValueError):
    """A name is in no registry; the message lists the closest known ones."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        known = sorted(known)
        close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Known: {', '.join(known)}."
        super().__init__(f"Unknown {kind} {name!r}. {hint}")
        self.kind = kind
        self.name = name

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__))


class ParameterError(AlGymError, ValueError):
    """An argument has a value outside its documented range."""


class DatasetError(AlGymError, ValueError):
    """A dataset or a data file cannot be used (one class, non-finite values, ...)."""


class TaskError(AlGymError, ValueError):
    """A labelling task cannot be built from a dataset with the given sizes."""


class ActionError(AlGymError, ValueError):
    """An action lies outside the action space; raised before any state changes."""


class LearnerError(AlGymError, RuntimeError):
    """A learner raised or returned an invalid result; names learner, task and round."""


class StrategyError(AlGymError, RuntimeError):
    """A query strategy returned an impossible selection."""


class PolicyError(AlGymError, ValueError):
    """A policy cannot be loaded or used here."""


class ShardError(AlGymError, RuntimeError):
    """A worker process of a sharded environment died, or failed: then it carries the worker's traceback."""


class ResumeError(AlGymError, ValueError):
    """A run or an evaluation cannot be resumed with these arguments."""


class MissingExtraError(AlGymError, ImportError):
    """An optional dependency is missing; the message has the install command."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed. Install it with: pip install "al-gym[{extra}]"')
        self.package = package
        self.extra = extra

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.package, self.extra))


def _rebuild(cls: type[Exception], args: tuple[object, ...], state: dict[str, object]) -> Exception:
    """Unpickle an error whose constructor does not take its message (joblib ships errors)."""
    error = cls.__new__(cls)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error
