"""From what a user writes to a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from al_gym.errors import ParameterError, PolicyError, UnknownNameError
from al_gym.policies.base import POLICIES, Policy
from al_gym.policies.calling import CallablePolicy
from al_gym.policies.fixed import FixedStrategy
from al_gym.policies.learned import LearnedPolicy
from al_gym.policies.sb3_model import SB3Policy
from al_gym.strategies import STRATEGIES, Strategy
from al_gym.strategies.references import as_strategy, import_object, is_reference, split_reference

PolicyLike = str | Path | Policy | Strategy | Callable[..., Any]


def load_policy(spec: PolicyLike, *, trusted: bool = False) -> Policy:
    """A policy from what names it.

    Args:
        spec: a policy's name (`shipped`, `switch`, ...) or a strategy's, both with parameters if wanted
            (`uherding:power=2`, `margin:batch=10`); the folder of a training run; `module:attribute` with a policy, a
            strategy (with parameters if wanted), a class or function that makes one, or a function that is one (see
            `CallablePolicy`); a .zip of stable-baselines3; or any of these objects.
        trusted: needed for a .zip, which is a pickle, and for a folder whose policy names strategies by
            'module:attribute': reading them can run code. Nothing else here does.

    Raises:
        UnknownNameError: nothing of that name; lists the closest names.
        PolicyError: a file or module cannot be loaded, or an untrusted .zip.
    """
    if not isinstance(spec, str | Path):
        return _from_object(spec, str(getattr(spec, "__name__", type(spec).__name__)))
    text = str(spec)
    head = text.partition(":")[0].strip()
    if head in POLICIES:
        policy = POLICIES.make(text)
        policy.spec = text.replace(" ", "")
        return policy
    if head in STRATEGIES:
        return FixedStrategy.from_spec(text)
    path = Path(text).expanduser()
    if path.is_dir():
        return LearnedPolicy.load(path, trusted=trusted)
    if path.suffix == ".zip":
        if not trusted:
            raise PolicyError(
                f"{text} is a pickle, and reading it can run code: pass trusted=True (--trusted) if you trust it."
            )
        return SB3Policy(path)
    if is_reference(text):
        return _import(text)
    if "/" in text:
        raise PolicyError(f"there is no folder {text!r}; name a folder with policy.json and policy.safetensors.")
    raise UnknownNameError("policy or strategy", head, [*POLICIES.names(), *STRATEGIES.names()])


def _import(text: str) -> Policy:
    reference, parameters = split_reference(text)
    try:
        value = import_object(reference)
    except (ImportError, AttributeError) as error:
        known = [*POLICIES.names(), *STRATEGIES.names()]
        raise PolicyError(
            f"cannot load the policy {text!r}: {error}. It is neither MODULE:ATTRIBUTE nor one of {', '.join(known)}."
        ) from error
    if not parameters:
        return _from_object(value, text)
    batch = parameters.pop("batch", None)
    return FixedStrategy(as_strategy(value, reference, parameters), batch=batch, spec=text.replace(" ", ""))


def _from_object(value: Any, name: str) -> Policy:
    if isinstance(value, Policy):
        return value
    if isinstance(value, Strategy):
        return FixedStrategy(value)
    if isinstance(value, str | Path) or not callable(value):
        raise PolicyError(f"{name!r} is {type(value).__name__}, not a policy, a strategy or a function.")
    if isinstance(value, type) or not _required(value):
        made = value()
        if isinstance(made, Policy | Strategy):
            return _from_object(made, name)
        raise PolicyError(f"{name!r} made {type(made).__name__}, not a policy or a strategy.")
    return CallablePolicy(value, name=name)


def _required(function: Callable[..., Any]) -> int:
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is Parameter.empty for p in signature(function).parameters.values())


def default_name(spec: PolicyLike) -> str:
    """The name of a policy that is given without one: a folder's base name, else what was written."""
    if not isinstance(spec, str | Path):
        return load_policy(spec).name or type(spec).__name__
    path = Path(spec).expanduser()
    head = str(spec).partition(":")[0].strip()
    if head in POLICIES or head in STRATEGIES:
        return str(spec).replace(" ", "")
    if path.is_dir():
        return path.resolve().name
    return path.stem if path.suffix == ".zip" else str(spec)


def resolve_policies(
    policies: Mapping[str, PolicyLike] | Sequence[PolicyLike], *, trusted: bool = False
) -> dict[str, Policy]:
    """Policies by name, in order.

    Args:
        policies: name -> what `load_policy` takes, or a list of it in which text may be 'NAME=P'. NAME has no colon, so
            that 'uherding:power=2' is a strategy with a parameter.
        trusted: see `load_policy`.

    Raises:
        ParameterError: no policy, a name twice, or an empty name.
    """
    pairs = list(policies.items()) if isinstance(policies, Mapping) else [_named(spec) for spec in policies]
    if not pairs:
        raise ParameterError("give at least one policy.")
    result: dict[str, Policy] = {}
    for name, spec in pairs:
        if not name:
            raise ParameterError(f"the policy {spec!r} has an empty name.")
        if name in result:
            raise ParameterError(f"two policies are called {name!r}; name one of them with NAME=P.")
        result[name] = load_policy(spec, trusted=trusted)
    return result


def _named(spec: PolicyLike) -> tuple[str, PolicyLike]:
    if isinstance(spec, str):
        name, equals, rest = spec.partition("=")
        if equals and ":" not in name:
            if not rest:
                raise ParameterError(f"the policy {spec!r} has a name and nothing behind it.")
            return name.strip(), rest.strip()
    return default_name(spec), spec
