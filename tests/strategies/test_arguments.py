"""What holds for every constructor argument of every registered strategy, the ones of tomorrow included.

An argument has an effect: some other value of it picks other items. A value that cannot be meant is a typed error that
names it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view

import al_gym
from al_gym.errors import AlGymError, ParameterError, UnknownNameError
from al_gym.strategies import STRATEGIES, make_strategy

ARGUMENTS = [(name, key) for name in STRATEGIES.names() for key in inspect.signature(STRATEGIES.get(name)).parameters]
every_argument = pytest.mark.parametrize(("name", "key"), ARGUMENTS, ids=[f"{name}-{key}" for name, key in ARGUMENTS])

OTHERS: dict[str, tuple[Any, ...]] = {
    "delta": (0.5,),
    "how": ("product",),
    "of": ("margin+egl",),
    "posterior": ("committee",),
    "purity": (0.5,),
    "radius": ("adaptive",),
    "similarity": ("cosine",),
    "strategy": ("egl", "kcenter"),
    "uncertainty": ("margin", "least-confidence"),
    "weights": ("9+1",),
}
"""Other values of the arguments that are no plain numbers; those of numbers and flags follow from the default."""

BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("blend", "coverage"): {"margin": 1.0},  # only proportions count
    ("batchbald", "configurations"): {"configurations": 64},
    ("typiclust", "max_clusters"): {"min_size": 0},
}
"""What else has to be set for an argument to count."""

BAD = (float("nan"), float("inf"), float("-inf"), -1, -0.5, "no such value", None, [], {}, object())


def default(name: str, key: str) -> Any:
    """The default of an argument."""
    return inspect.signature(STRATEGIES.get(name)).parameters[key].default


def others(name: str, key: str) -> Iterator[Any]:
    """Values of an argument besides its default."""
    value = default(name, key)
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (7, 2 * value, 4 * value, 1024, 2, 1, 0)
    elif isinstance(value, float):
        yield from (4 * value + 1, value / 4, 0.9, 0.1, 0.0)
    else:
        assert key in OTHERS, f"add another value of {name}'s argument {key!r} to OTHERS"
        yield from OTHERS[key]


def picks(name: str, **arguments: Any) -> list[list[int]]:
    """What a strategy takes from six pools, in batches of up to nine."""
    arrays = make_block([90, 60, 40] * 2, features=[4, 6, 3] * 2, classes=[3, 7, 2] * 2, labels=[6, 9, 4] * 2, seed=4)
    view, strategy = make_view(arrays), STRATEGIES.get(name)(**arguments)
    k = torch.tensor([7, 5, 7, 1, 3, 6])
    return strategy.select(view, k, view.stream(strategy.name)).tolist()


@every_argument
def test_an_argument_has_an_effect(name: str, key: str) -> None:
    beside = BESIDE.get((name, key), {})
    usual, refused = picks(name, **beside), []
    for value in others(name, key):
        try:
            found = picks(name, **{**beside, key: value})
        except ParameterError as error:
            refused.append(str(error))
            continue
        if found != usual:
            return
    pytest.fail(f"no value of {name}'s argument {key!r} picks other items; refused: {refused}")


@every_argument
def test_a_value_that_cannot_be_meant_is_named(name: str, key: str) -> None:
    for value in BAD:
        if value is None and default(name, key) is None:
            continue
        with pytest.raises(AlGymError) as caught:
            STRATEGIES.get(name)(**{key: value})
        assert isinstance(caught.value, ParameterError | UnknownNameError)
        assert repr(value) in str(caught.value), "the message lacks the value"
        if isinstance(caught.value, ParameterError):
            assert key in str(caught.value) or name in str(caught.value), "the message lacks what it speaks of"


@every_argument
def test_a_flag_takes_no_number_and_a_number_no_flag(name: str, key: str) -> None:
    wrong = 1 if isinstance(default(name, key), bool) else True
    with pytest.raises(ParameterError, match=repr(wrong)):
        STRATEGIES.get(name)(**{key: wrong})


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_an_argument_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(UnknownNameError, match="no_such_argument"):
        make_strategy(f"{name}:no_such_argument=1")


@pytest.mark.parametrize("name", [name for name, key in ARGUMENTS if key == "candidates"])
def test_fewer_candidates_than_the_batch_are_refused(name: str) -> None:
    with pytest.raises(ParameterError, match="candidates=5 is fewer than the batch of 7"):
        picks(name, candidates=5)


@pytest.mark.parametrize("batch", [0, -3, 2.5, float("nan"), True, "many"])
@pytest.mark.parametrize("name", STRATEGIES.names())
def test_a_batch_that_is_no_count_is_named(name: str, batch: Any) -> None:
    with pytest.raises(ParameterError, match=f"{name}: batch must be a positive integer, got {batch!r}"):
        al_gym.load_policy(f"{name}:batch={batch}")


@pytest.mark.parametrize("batch", [0, -3, 2.5, True])
def test_a_batch_that_is_no_count_is_named_by_evaluate(batch: Any) -> None:
    with pytest.raises(ParameterError, match=f"batch_size.*{batch!r}"):
        al_gym.evaluate(["margin"], tasks="synthetic-small", seeds=1, batch_size=batch)


def test_picks_tell_strategies_apart() -> None:
    assert picks("margin") == picks("margin")
    assert picks("margin") != picks("kcenter")
    assert np.shape(picks("margin")) == (6, 7)
