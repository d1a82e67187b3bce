"""Strategies that contain strategies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view, same_pool

from al_gym.errors import ParameterError, UnknownNameError
from al_gym.pool import PoolView
from al_gym.strategies import STRATEGIES, make_strategy
from al_gym.strategies.base import as_mask
from al_gym.strategies.combine import unit_range
from al_gym.strategies.margin import Margin
from al_gym.strategies.nested import RestrictedView


def picks_of(spec: str, view: PoolView, k: list[int], name: str = "") -> list[list[int]]:
    strategy = make_strategy(spec)
    out = strategy.select(view, torch.tensor(k), view.stream(name or strategy.name))
    return [row[:size].tolist() for row, size in zip(out, k, strict=True)]


# --- epsilon-greedy ----------------------------------------------------------------------------------------------
def test_epsilon_zero_is_the_strategy_and_one_is_random() -> None:
    view = make_view(make_block([50, 30], seed=1))
    assert picks_of("epsilon-greedy:strategy=margin,epsilon=0", view, [5, 3]) == picks_of("margin", view, [5, 3])
    copies = make_view(same_pool(make_block([12], labels=2), 4000))
    picks = np.array(picks_of("epsilon-greedy:epsilon=1", copies, [2] * 4000))
    seen = np.bincount(picks.ravel(), minlength=12)
    assert (seen[copies.labelled[0, :12].numpy()] == 0).all()
    assert abs(seen[seen > 0] / 800 - 1).max() < 0.15


def test_each_place_is_random_with_probability_epsilon() -> None:
    copies = make_view(same_pool(make_block([200], labels=2, seed=2), 3000))
    (best, *_) = picks_of("margin", copies, [4] * 3000)
    picks = np.array(picks_of("epsilon-greedy:epsilon=0.3", copies, [4] * 3000))
    greedy = np.isin(picks, best).sum(axis=1)
    share = np.bincount(greedy, minlength=5) / 3000
    expected = [0.3**4, 4 * 0.7 * 0.3**3, 6 * 0.7**2 * 0.3**2, 4 * 0.7**3 * 0.3, 0.7**4]
    np.testing.assert_allclose(share, expected, atol=0.05)
    in_order = (picks[greedy == 4] == best).all(axis=1)
    assert in_order.mean() > 0.9, "the strategy's picks keep their order; a random item is rarely one of them"


def test_random_places_do_not_change_the_size_of_the_inner_batch_to_zero() -> None:
    view = make_view(make_block([9], labels=2, seed=3))
    for epsilon in (0.2, 0.9):
        (picks,) = picks_of(f"epsilon-greedy:strategy=kcenter,epsilon={epsilon}", view, [7])
        assert sorted(picks) == [i for i in range(9) if not view.labelled[0, i]]


# --- subset ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("inner", ["margin", "kcenter", "badge", "maxherding", "uherding", "typiclust", "bait"])
def test_subset_picks_within_its_candidates(inner: str) -> None:
    view = make_view(make_block([80, 50], seed=4))
    strategy = make_strategy(f"subset:strategy={inner},candidates=9")
    drawn: list[torch.Tensor] = []
    select = strategy.strategy.select  # type: ignore[attr-defined]

    def spy(view: PoolView, k: torch.Tensor, stream: object) -> torch.Tensor:
        drawn.append(view.candidates)
        return select(view, k, stream)

    strategy.strategy.select = spy  # type: ignore[attr-defined]
    picks = strategy.select(view, torch.tensor([6, 4]), view.stream("subset"))
    (allowed,) = drawn
    assert allowed.sum(1).tolist() == [9, 9]
    assert (allowed <= view.candidates).all()
    assert not (as_mask(picks, allowed.shape[1]) & ~allowed).any()


def test_subset_of_everything_is_the_strategy() -> None:
    view = make_view(make_block([60, 44], seed=5))
    for inner in ("margin", "maxherding", "kcenter", "uherding:power=2;width=0.5"):
        whole = picks_of(inner.replace(";", ","), view, [5, 4])
        assert picks_of(f"subset:strategy={inner},candidates=500", view, [5, 4]) == whole


def test_subset_is_drawn_afresh_and_does_not_spoil_caches() -> None:
    arrays = make_block([70], seed=6)
    view = make_view(arrays)
    plain = picks_of("maxherding", make_view(arrays), [4])
    first = picks_of("subset:strategy=maxherding,candidates=10", view, [4])
    assert picks_of("maxherding", view, [4]) == plain
    arrays.round += 1
    assert picks_of("subset:strategy=maxherding,candidates=10", view, [4]) != first


def test_subset_smaller_than_the_batch() -> None:
    view = make_view(make_block([30]))
    with pytest.raises(ParameterError, match="candidates=3 is fewer than the batch of 4"):
        picks_of("subset:candidates=3", view, [4])


def test_restricted_view_stays_restricted() -> None:
    view = make_view(make_block([30, 20]))
    allowed = view.candidates & (torch.arange(view.candidates.shape[1]) < 12)
    part = RestrictedView(view, allowed).take(torch.tensor([1]))
    assert torch.equal(part.candidates, allowed[1:])
    assert torch.equal(part.X, view.X[1:])


# --- combine -----------------------------------------------------------------------------------------------------
def naive_unit(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.min()) / (scores.max() - scores.min())


@pytest.mark.parametrize("how", ["linear", "product"])
@pytest.mark.parametrize("weights", ["", ",weights=3+1"])
def test_combination(how: str, weights: str) -> None:
    view = make_view(make_block([40, 31], classes=4, seed=7))
    score = make_strategy(f"combine:of=entropy+quire,how={how}{weights}").score(view)  # type: ignore[attr-defined]
    parts = [make_strategy(name).score(view) for name in ("entropy", "quire")]  # type: ignore[attr-defined]
    w = (0.75, 0.25) if weights else (0.5, 0.5)
    for task in range(2):
        free = view.candidates[task]
        a, b = (naive_unit(part[task, free].double().numpy()) for part in parts)
        expected = w[0] * a + w[1] * b if how == "linear" else a ** w[0] * b ** w[1]
        np.testing.assert_allclose(score[task, free], expected, atol=1e-5)


def test_three_scores_objects_and_a_combination_within() -> None:
    view = make_view(make_block([40], classes=4, seed=8))
    three = picks_of("combine:of=margin+entropy+quire:width=2;regularization=0.5", view, [6])
    assert three != picks_of("combine:of=margin+entropy", view, [6])
    nested = STRATEGIES.get("combine")(of=[Margin(), make_strategy("combine:of=entropy+quire")], weights=[1, 2])
    assert len(set(nested.select(view, torch.tensor([6]), view.stream("combine"))[0].tolist())) == 6


def test_equal_scores_do_not_matter() -> None:
    candidates = torch.tensor([[True, True, False, True]])
    assert unit_range(torch.tensor([[2.0, 2.0, 9.0, 2.0]]), candidates).tolist() == [[1, 1, 0, 1]]
    assert unit_range(torch.tensor([[2.0, 4.0, 9.0, 3.0]]), candidates).tolist() == [[0, 1, 0, 0.5]]


# --- how they are written ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("epsilon-greedy:epsilon=1.5", "epsilon"),
        ("epsilon-greedy:epsilon=-0.1", "epsilon"),
        ("subset:candidates=0", "candidates"),
        ("combine:of=margin", "at least two"),
        ("combine:of=margin+badge", "badge builds batches"),
        ("combine:weights=1", "weights"),
        ("combine:weights=1+0", "weight"),
        ("combine:weights=1+b", "weights"),
        ("combine:weights=1+2+3", "2 strategies need 2 weights"),
        ("combine:how=sum", "linear, product"),
    ],
)
def test_impossible_parameters(spec: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make_strategy(spec)


@pytest.mark.parametrize("wrapper", ["subset", "epsilon-greedy"])
def test_unknown_inner_strategy(wrapper: str) -> None:
    with pytest.raises(UnknownNameError, match="margin"):
        make_strategy(f"{wrapper}:strategy=margn")
    with pytest.raises(UnknownNameError, match="power"):
        make_strategy(f"{wrapper}:strategy=uherding:powr=2")
    with pytest.raises(ParameterError, match="name or a Strategy"):
        STRATEGIES.get(wrapper)(strategy=3)


def test_wrappers_within_wrappers() -> None:
    view = make_view(make_block([60], seed=9))
    spec = "subset:strategy=epsilon-greedy:strategy=badge;epsilon=0.5,candidates=20"
    assert make_strategy(spec).strategy.epsilon == 0.5  # type: ignore[attr-defined]
    assert len(set(picks_of(spec, view, [8])[0])) == 8
