"""Deterministic strategies against item-by-item float64 references."""

from __future__ import annotations

import naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_blocks import label, make_block, make_view

from al_gym.pool import PoolView
from al_gym.strategies import make_strategy


@st.composite
def views(draw: st.DrawFn) -> tuple[PoolView, list[int]]:
    """A view of two tasks of different sizes and their batch sizes."""
    sizes = [draw(st.integers(8, 45)), draw(st.integers(8, 45))]
    arrays = make_block(
        sizes,
        features=[draw(st.integers(1, 10)) for _ in sizes],
        classes=[draw(st.integers(2, 5)) for _ in sizes],
        labels=[draw(st.integers(1, 4)) for _ in sizes],
        seed=draw(st.integers(0, 2**31)),
    )
    return make_view(arrays), [draw(st.integers(1, 4)), draw(st.integers(1, 4))]


def picks_of(spec: str, view: PoolView, k: list[int]) -> list[list[int]]:
    strategy = make_strategy(spec)
    out = strategy.select(view, torch.tensor(k), view.stream(strategy.name))
    return [row[:size].tolist() for row, size in zip(out, k, strict=True)]


@pytest.fixture(autouse=True, params=["numba", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test here runs on both implementations."""
    monkeypatch.setenv("AL_GYM_NO_NUMBA", "1" if request.param == "torch" else "0")
    return request.param


reference = settings(max_examples=12)


@pytest.mark.parametrize("name", ["margin", "entropy", "least-confidence"])
@reference
@given(case=views())
def test_uncertainty(name: str, case: tuple[PoolView, list[int]]) -> None:
    view, k = case
    for task, picks in enumerate(picks_of(name, view, k)):
        pool = naive.Pool(view, task)
        scores = naive.uncertainty_scores(pool, name)
        naive.assert_greedy(picks, pool.candidates, lambda done, item, scores=scores: scores[item])


@reference
@given(case=views())
def test_kcenter(case: tuple[PoolView, list[int]]) -> None:
    view, k = case
    for task, picks in enumerate(picks_of("kcenter", view, k)):
        pool = naive.Pool(view, task)
        naive.assert_greedy(picks, pool.candidates, lambda done, item, pool=pool: naive.farthest(pool, done, item))


@reference
@given(case=views())
def test_margin_kcenter(case: tuple[PoolView, list[int]]) -> None:
    view, k = case
    for task, picks in enumerate(picks_of("margin-kcenter", view, k)):
        pool = naive.Pool(view, task)
        share = sorted(pool.candidates, key=lambda item: pool.margin[item])[: 6 * k[task]]
        assert picks[0] == share[0]
        rest = [item for item in share if item != picks[0]]
        first = picks[:1]
        naive.assert_greedy(
            picks[1:], rest, lambda done, item, pool=pool, first=first: naive.farthest(pool, first + done, item)
        )


@pytest.mark.parametrize(
    ("spec", "power", "width", "candidates"),
    [
        ("maxherding", 0, 1, None),
        ("uherding", 1, 1, 96),
        ("uherding:candidates=9", 1, 1, 9),
        ("uherding:candidates=all,power=2", 2, 1, None),
        ("uherding:power=0.5,width=0.5,candidates=12", 0.5, 0.5, 12),
        ("uherding:candidates=all,power=0,width=2", 0, 2, None),
    ],
)
@settings(max_examples=6)
@given(case=views())
def test_herding(
    spec: str, power: float, width: float, candidates: int | None, case: tuple[PoolView, list[int]]
) -> None:
    view, k = case
    for task, picks in enumerate(picks_of(spec, view, k)):
        pool = naive.Pool(view, task)
        K = naive.kernel(pool.X, width * naive.bandwidth(pool.X))
        weight = (1 - np.array(pool.margin)) ** power
        allowed = sorted(pool.candidates, key=lambda item: pool.margin[item])[:candidates]

        def gain(
            done: list[int], item: int, pool: naive.Pool = pool, K: np.ndarray = K, w: np.ndarray = weight
        ) -> float:
            return naive.coverage_gain(K, w, pool.labelled + done, item)

        naive.assert_greedy(picks, allowed, gain)


@settings(max_examples=6)
@given(case=views(), normalize=st.booleans())
def test_adaptive_uherding(case: tuple[PoolView, list[int]], normalize: bool) -> None:
    view, k = case
    spec = f"uherding:radius=adaptive,normalize={str(normalize).lower()},candidates=all"
    for task, picks in enumerate(picks_of(spec, view, k)):
        pool = naive.Pool(view, task)
        X = pool.X / np.linalg.norm(pool.X, axis=1, keepdims=True) if normalize else pool.X
        apart = [naive.distance(X[a], X[b]) for a in pool.labelled for b in pool.labelled if a != b]
        sigma = min((value for value in apart if value > 1e-6), default=1.0)
        K = np.array([[np.exp(-(naive.distance(x, z) ** 2) / sigma**2) for z in X] for x in X])
        weight = 1 - np.array(pool.margin)

        def gain(
            done: list[int], item: int, pool: naive.Pool = pool, K: np.ndarray = K, w: np.ndarray = weight
        ) -> float:
            return naive.coverage_gain(K, w, pool.labelled + done, item)

        naive.assert_greedy(picks, pool.candidates, gain, tolerance=1e-4)


def test_normalised_uherding_takes_the_bandwidth_of_the_normalised_features() -> None:
    view = make_view(make_block([30, 44], features=[3, 6], seed=4))
    for task, picks in enumerate(picks_of("uherding:normalize=true,candidates=all", view, [4, 4])):
        pool = naive.Pool(view, task)
        X = pool.X / np.linalg.norm(pool.X, axis=1, keepdims=True)
        K = naive.kernel(X, naive.bandwidth(X))
        weight = 1 - np.array(pool.margin)
        naive.assert_greedy(
            picks,
            pool.candidates,
            lambda done, item, pool=pool, K=K, w=weight: naive.coverage_gain(K, w, pool.labelled + done, item),
        )


def test_herding_without_any_label() -> None:
    view = make_view(make_block([25], labels=0, seed=6))
    assert picks_of("maxherding", view, [3]) == picks_of("uherding:candidates=all", view, [3]), "u is 1 without labels"
    pool = naive.Pool(view, 0)
    K = naive.kernel(pool.X, naive.bandwidth(pool.X))
    (picks,) = picks_of("maxherding", view, [3])
    naive.assert_greedy(picks, pool.candidates, lambda done, item: naive.coverage_gain(K, np.ones(len(K)), done, item))


def test_maxherding_is_right_in_later_rounds_too() -> None:
    """Bounds of gains that are kept from round to round never hide a better item."""
    arrays = make_block([60, 41], features=2, labels=1, seed=9)
    view = make_view(arrays)
    for _ in range(6):
        for task, picks in enumerate(picks_of("maxherding", view, [3, 2])):
            pool = naive.Pool(view, task)
            K = naive.kernel(pool.X, naive.bandwidth(pool.X))
            naive.assert_greedy(
                picks,
                pool.candidates,
                lambda done, item, pool=pool, K=K: naive.coverage_gain(K, np.ones(len(K)), pool.labelled + done, item),
            )
            label(arrays, task, picks[1:], [0] * (len(picks) - 1))
        view = PoolView(arrays, view.geometry, view.rows, view.learner)
