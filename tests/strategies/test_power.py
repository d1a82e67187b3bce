"""Power margin and power BALD: Gumbel top-b is sampling without replacement by a power of the score."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view, same_pool
from scipy.stats import chisquare

from al_gym.errors import ParameterError
from al_gym.pool import PoolView
from al_gym.strategies import make_strategy
from al_gym.strategies.committee import disagreement, mutual_information
from al_gym.strategies.power_margin import power_top_k

COPIES = 6000
LEAST_P = 1e-4  # seeds are fixed: a failure is a change, not chance


def drawn(view: PoolView, spec: str, k: int) -> np.ndarray:
    """(tasks, k) selections."""
    strategy = make_strategy(spec)
    return strategy.select(view, torch.full((len(view),), k), view.stream(strategy.name)).numpy()


def assert_sampling_without_replacement(picks: np.ndarray, weight: dict[int, float]) -> None:
    """Ordered pairs against weight_a / total * weight_b / (total - weight_a), by chi-square."""
    total, observed = sum(weight.values()), dict.fromkeys(itertools.permutations(weight, 2), 0)
    for pair in picks.tolist():
        observed[tuple(pair)] += 1
    expected = [weight[a] / total * weight[b] / (total - weight[a]) for a, b in observed]
    result = chisquare(list(observed.values()), np.array(expected) / sum(expected) * len(picks))
    assert result.pvalue > LEAST_P


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_power_margin_samples_by_a_power_of_one_minus_margin(beta: float) -> None:
    view = make_view(same_pool(make_block([8], features=3, labels=2), COPIES))
    candidates = view.candidates[0].nonzero()[:, 0].tolist()
    weight = {item: float(1 - view.margin[0, item].double()) ** beta for item in candidates}
    assert_sampling_without_replacement(drawn(view, f"power-margin:beta={beta}", 2), weight)


def test_power_top_k_samples_by_a_power_of_the_score() -> None:
    view = make_view(same_pool(make_block([8], features=3, labels=2), COPIES))
    score = torch.rand(view.top1.shape[1], generator=torch.Generator().manual_seed(0)).expand(COPIES, -1)
    picks = power_top_k(score, view.candidates, torch.full((COPIES,), 2), 1.5, view.stream("power-bald"))
    candidates = view.candidates[0].nonzero()[:, 0].tolist()
    assert_sampling_without_replacement(picks.numpy(), {item: float(score[0, item]) ** 1.5 for item in candidates})


def test_a_large_power_is_the_score_itself() -> None:
    view = make_view(make_block([40, 25], labels=[5, 4], seed=1))
    np.testing.assert_array_equal(drawn(view, "power-margin:beta=100000", 6), drawn(view, "margin", 6))
    strategy = make_strategy("power-bald")
    stream = view.stream(strategy.name)
    score = disagreement(view, stream, mutual_information, posterior="laplace", samples=32, C=1.0)
    best = score.masked_fill(~view.candidates, -1).topk(6).indices
    np.testing.assert_array_equal(drawn(view, "power-bald:beta=1000000", 6), best)


def test_scores_of_zero_come_last_and_in_random_order() -> None:
    arrays = same_pool(make_block([12], labels=2), 200)
    arrays.top1[:], arrays.top2[:] = 1.0, 0.0
    arrays.top2[:, 3] = 1.0  # the only uncertain item
    arrays.labelled[:, 3] = False
    picks = drawn(make_view(arrays), "power-margin:beta=2", 3)
    assert (picks[:, 0] == 3).all()
    assert len(set(picks[:, 1].tolist())) > 5


@pytest.mark.parametrize("name", ["power-margin", "power-bald"])
@pytest.mark.parametrize("beta", ["-0.1", "inf", "nan", "many"])
def test_impossible_powers(name: str, beta: str) -> None:
    with pytest.raises(ParameterError, match=f"{name}: beta must be a number of at least 0"):
        make_strategy(f"{name}:beta={beta}")


@pytest.mark.parametrize(("argument", "value"), [("samples", "1"), ("posterior", "exact"), ("C", "0")])
def test_impossible_models(argument: str, value: str) -> None:
    with pytest.raises(ParameterError, match=f"power-bald: {argument} must"):
        make_strategy(f"power-bald:{argument}={value}")
