"""Information density item by item, and its parameters."""

from __future__ import annotations

import naive
import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view

from al_gym.errors import ParameterError
from al_gym.pool import PoolView, geometry
from al_gym.strategies import make_strategy
from al_gym.strategies.information_density import InformationDensity


def score_of(view: PoolView, arguments: str = "") -> torch.Tensor:
    strategy = make_strategy(f"information-density{arguments}")
    assert isinstance(strategy, InformationDensity)
    return strategy.score(view)


def similarity(pool: naive.Pool, kind: str) -> np.ndarray:
    if kind == "gaussian":
        return naive.kernel(pool.X, naive.bandwidth(pool.X))
    directions = [x / np.sqrt(x @ x) for x in pool.X]
    return np.array([[(1 + x @ z) / 2 for z in directions] for x in directions])


@pytest.mark.parametrize("kind", ["gaussian", "cosine"])
@pytest.mark.parametrize("uncertainty", ["entropy", "margin", "least-confidence"])
@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_scores(kind: str, uncertainty: str, beta: float) -> None:
    view = make_view(make_block([30, 17], features=[4, 6], labels=[5, 3], seed=2))
    score = score_of(view, f":beta={beta},uncertainty={uncertainty},similarity={kind}")
    for task in range(2):
        pool = naive.Pool(view, task)
        u = naive.uncertainty_scores(pool, uncertainty)
        sim = similarity(pool, kind)
        for item in pool.candidates:
            density = sum(sim[item, z] for z in pool.candidates) / len(pool.candidates)
            base = 1 + u[item] if uncertainty == "margin" else u[item]
            assert score[task, item] == pytest.approx(base * density**beta, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("uncertainty", ["entropy", "margin", "least-confidence"])
def test_without_density_it_is_plain_uncertainty(uncertainty: str) -> None:
    view, k = make_view(make_block([30, 17], seed=4)), torch.tensor([8, 5])
    dense = make_strategy(f"information-density:beta=0,uncertainty={uncertainty}")
    plain = make_strategy(uncertainty)
    stream = view.stream("shared")
    np.testing.assert_array_equal(dense.select(view, k, stream), plain.select(view, k, stream))


def test_large_pools_compare_with_random_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampled mean is near the exact one, in one chunk and in several."""
    arrays = make_block([900], features=3, seed=6)
    exact = score_of(make_view(arrays))[0]
    monkeypatch.setattr(geometry, "EXACT_ITEMS", 500)
    monkeypatch.setattr("al_gym.strategies.information_density.SAMPLE", 600)
    sampled = score_of(make_view(arrays))[0]
    candidates = make_view(arrays).candidates[0]
    assert not torch.equal(sampled, exact)
    assert np.corrcoef(sampled[candidates], exact[candidates])[0, 1] > 0.98
    monkeypatch.setattr("al_gym.strategies.information_density._CHUNK", 100)
    torch.testing.assert_close(score_of(make_view(arrays))[0], sampled)


@pytest.mark.parametrize(
    ("argument", "value"), [("beta", "-1"), ("uncertainty", "doubt"), ("similarity", "euclidean"), ("beta", "inf")]
)
def test_impossible_parameters(argument: str, value: str) -> None:
    with pytest.raises(ParameterError, match=f"information-density: {argument} must be .*got"):
        make_strategy(f"information-density:{argument}={value}")
