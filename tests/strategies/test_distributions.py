"""Random strategies in distribution, over many task keys."""

from __future__ import annotations

import itertools

import naive
import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view, same_pool
from scipy.stats import chisquare

from al_gym.strategies import make_strategy
from al_gym.strategies.badge import sample_proportional

COPIES = 6000
LEAST_P = 1e-4  # seeds are fixed: a failure is a change, not chance


@pytest.fixture(autouse=True, params=["numba", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here runs on both implementations."""
    monkeypatch.setenv("AL_GYM_NO_NUMBA", "1" if request.param == "torch" else "0")


def draw(name: str, k: int, **block: int) -> tuple[naive.Pool, np.ndarray]:
    """The pool and (COPIES, k) selections from it under different keys."""
    view = make_view(same_pool(make_block([10], features=3, labels=2, **block), COPIES))
    strategy = make_strategy(name)
    picks = strategy.select(view, torch.full((COPIES,), k), view.stream(name)).numpy()
    return naive.Pool(view, 0), picks


def assert_distribution(seen: np.ndarray, expected: dict[tuple[int, ...], float]) -> None:
    """Chi-square of observed tuples against probabilities; nothing of probability 0 may occur."""
    observed = dict.fromkeys(expected, 0)
    for row in seen.tolist():
        observed[tuple(row)] += 1
    probable = [key for key, p in expected.items() if p > 0]
    assert sum(observed[key] for key in probable) == len(seen)
    p = np.array([expected[key] for key in probable])
    assert chisquare([observed[key] for key in probable], p / p.sum() * len(seen)).pvalue > LEAST_P


def test_random_is_uniform_over_ordered_pairs() -> None:
    pool, picks = draw("random", 2)
    pairs = list(itertools.permutations(pool.candidates, 2))
    assert_distribution(picks, {pair: 1 / len(pairs) for pair in pairs})


def test_badge_is_k_means_seeding_on_gradients() -> None:
    pool, picks = draw("badge", 3, classes=3, seed=2)
    g = naive.gradients(pool)
    first = max(pool.candidates, key=lambda item: float(g[item] @ g[item]))
    expected: dict[tuple[int, ...], float] = {}

    def weights(centers: list[int]) -> dict[int, float]:
        squares = {i: min(float(((g[i] - g[c]) ** 2).sum()) for c in centers) for i in pool.candidates}
        total = sum(squares.values())
        return {item: value / total for item, value in squares.items()}

    for second, p in weights([first]).items():
        for third, q in weights([first, second]).items():
            expected[first, second, third] = p * q
    assert_distribution(picks, {key: p for key, p in expected.items() if len(set(key)) == 3})


def test_badge_is_that_of_scikit_activeml_but_for_a_center_at_the_origin() -> None:
    """Theirs takes the smaller of the distance to the batch and the norm; the authors' code knows no such center."""
    peer, base = pytest.importorskip("skactiveml.pool"), pytest.importorskip("skactiveml.base")

    class Fixed(base.SkactivemlClassifier):  # type: ignore[misc, name-defined]
        """The pool's probabilities, by row."""

        def fit(self, X: np.ndarray, y: np.ndarray) -> Fixed:
            return self

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return np.stack([pool.p[np.abs(pool.X - x).sum(1).argmin()] for x in X])

    pool, picks = draw("badge", 2, classes=3, seed=4)
    y = np.full(len(pool.X), np.nan)
    y[[item for item in range(len(y)) if item not in pool.candidates]] = 0
    theirs, utilities = peer.Badge(random_state=0).query(
        pool.X, y, Fixed(classes=[0, 1, 2]), fit_clf=False, batch_size=2, return_utilities=True
    )
    assert set(picks[:, 0]) == {theirs[0]}
    g = naive.gradients(pool)
    squares = {i: float(((g[i] - g[theirs[0]]) ** 2).sum()) for i in pool.candidates if i != theirs[0]}
    assert_distribution(picks, {(int(theirs[0]), i): p / sum(squares.values()) for i, p in squares.items()})
    capped = np.array([min(p, float(g[i] @ g[i])) for i, p in squares.items()])
    np.testing.assert_allclose(utilities[1, list(squares)], capped / capped.sum(), rtol=1e-5)


def test_badge_without_any_gradient_is_uniform() -> None:
    """A model that is certain of everything, as with one class seen, leaves no distance to draw by."""
    arrays = same_pool(make_block([10], features=3, labels=2), COPIES)
    arrays.proba[:] = 0
    arrays.proba[:, 0, :10] = 1
    arrays.predicted[:] = 0
    view = make_view(arrays)
    picks = make_strategy("badge").select(view, torch.full((COPIES,), 2), view.stream("badge")).numpy()
    pairs = list(itertools.permutations(naive.Pool(view, 0).candidates, 2))
    assert_distribution(picks, {pair: 1 / len(pairs) for pair in pairs})


def test_ties_are_uniform() -> None:
    arrays = same_pool(make_block([10], features=3, labels=2), COPIES)
    arrays.top1[:], arrays.top2[:] = 0.5, 0.25
    arrays.top2[:, :2] = 0.5  # two items of margin 0, if they are candidates, come first
    view = make_view(arrays)
    picks = make_strategy("margin").select(view, torch.full((COPIES,), 3), view.stream("margin")).numpy()
    pool = naive.Pool(view, 0)
    low = [item for item in (0, 1) if item in pool.candidates]
    high = [item for item in pool.candidates if item not in low]
    orders = [(*a, *b) for a in itertools.permutations(low) for b in itertools.permutations(high, 3 - len(low))]
    assert_distribution(picks, {order: 1 / len(orders) for order in orders})


def test_sample_proportional_never_takes_a_weight_of_zero() -> None:
    weight = torch.tensor([[0.0, 2.0, 0.0, 1.0, 0.0]]).double().expand(4, -1)
    allowed = torch.tensor([[True, True, True, True, False]]).expand(4, -1)
    uniform = torch.tensor([[0.0], [2 / 3 - 1e-9], [2 / 3], [1 - 2.0**-53]], dtype=torch.float64)
    assert sample_proportional(weight, allowed, uniform).tolist() == [1, 1, 3, 3]
