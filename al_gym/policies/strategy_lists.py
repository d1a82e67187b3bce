"""How the strategies of a policy are written: 'margin+uherding:power=2;width=0.5+badge'."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from al_gym.errors import ParameterError, PolicyError
from al_gym.strategies import Strategy, make_strategy
from al_gym.strategies.references import registered_only

SHIPPED = "shipped"
FOLDER = Path(__file__).parent / SHIPPED


def parse_strategies(strategies: str | Sequence[str | Strategy]) -> tuple[Strategy, ...]:
    """Strategies from a sequence of texts or objects, or from one text.

    In one text they are separated by '+', and the parameters inside a strategy by ';', so that the whole fits behind
    `strategies=` on the command line: 'margin+uherding:power=2;width=0.5'. The word 'shipped' stands for all strategies
    of the shipped policy. A strategy that itself holds a '+' (`combine`) can be given in a sequence only.

    Raises:
        ParameterError: no strategy, or nothing between two '+'.
        UnknownNameError: no such strategy or parameter.
    """
    specs = strategies.split("+") if isinstance(strategies, str) else list(strategies)
    if not specs or "" in specs:
        raise ParameterError(f"strategies are separated by '+', as in 'margin+badge', got {strategies!r}.")
    return tuple(part for spec in specs for part in _expand(spec))


def _expand(spec: str | Strategy) -> Iterator[Strategy]:
    if isinstance(spec, Strategy):
        yield spec
    elif spec.strip() == SHIPPED:
        with registered_only():
            yield from (make_strategy(text) for text in shipped_strategies())
    else:
        yield make_strategy(spec.strip().replace(";", ","))


def shipped_strategies() -> tuple[str, ...]:
    """The strategies that the shipped policy chooses from, as text.

    Raises:
        PolicyError: this copy of al_gym ships no policy.
    """
    path = FOLDER / "policy.json"
    try:
        return tuple(json.loads(path.read_text(encoding="utf-8"))["strategies"])
    except (OSError, ValueError, KeyError) as error:
        raise PolicyError(f"cannot read the strategies of the shipped policy from {path}: {error}.") from error
