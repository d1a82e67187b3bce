"""UHerding: parameters, limits, and the calibration of the published form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pool_blocks import label, make_block, make_view
from sklearn.linear_model import LogisticRegression

from al_gym.errors import ParameterError, UnknownNameError
from al_gym.strategies import make_strategy
from al_gym.strategies.calibration import TEMPERATURES, calibrated_temperature, calibration_error, temper


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("power=-1", "power"),
        ("power=nan", "power"),
        ("power=true", "power"),
        ("width=0", "width"),
        ("width=inf", "width"),
        ("temperature=0", "temperature"),
        ("temperature=hot", "temperature"),
        ("candidates=0", "candidates"),
        ("candidates=2.5", "candidates"),
        ("candidates=some", "candidates"),
        ("radius=small", "radius"),
        ("normalize=1", "normalize"),
        ("calibrate=true,temperature=2", "temperature"),
    ],
)
def test_impossible_parameters(spec: str, named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        make_strategy(f"uherding:{spec}")


def test_unknown_parameter_names_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="power"):
        make_strategy("uherding:powers=2")


def test_fewer_candidates_than_the_batch() -> None:
    view = make_view(make_block([30, 30]))
    strategy = make_strategy("uherding:candidates=3")
    with pytest.raises(ParameterError, match="candidates=3 is fewer than the batch of 4"):
        strategy.select(view, torch.tensor([2, 4]), view.stream("uherding"))


def picks(spec: str, view: object, k: list[int]) -> list[list[int]]:
    strategy = make_strategy(spec)
    return strategy.select(view, torch.tensor(k), view.stream("same")).tolist()


def test_power_zero_is_maxherding_and_a_large_power_is_margin() -> None:
    view = make_view(make_block([50, 37], seed=11))
    assert picks("uherding:power=0,candidates=all", view, [5, 5]) == picks("maxherding", view, [5, 5])
    assert picks("uherding:candidates=5", view, [5, 5]) != picks("uherding:candidates=40", view, [5, 5])
    lowest = picks("margin", view, [1, 1])
    assert picks("uherding:power=400,width=0.01,candidates=all", view, [1, 1]) == lowest


@pytest.mark.parametrize(
    "change", ["power=3", "width=0.3", "temperature=8", "candidates=7", "radius=adaptive", "normalize=true"]
)
def test_every_parameter_does_something(change: str) -> None:
    views = [make_view(make_block([60, 60], classes=5, seed=seed)) for seed in range(4)]
    assert any(picks(f"uherding:{change}", view, [6, 6]) != picks("uherding", view, [6, 6]) for view in views)


def test_temper_is_a_softmax_of_scaled_logits() -> None:
    logits = torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(0)) * 3
    temperature = torch.tensor([1.0, 2.5, 19.9])
    expected = (logits / temperature[:, None, None]).softmax(1)
    torch.testing.assert_close(temper(logits.softmax(1), temperature), expected)


def naive_error(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    total = 0.0
    for b in range(bins):
        inside = (confidence >= b / bins) & ((confidence < (b + 1) / bins) | (b == bins - 1))
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    return total


def test_calibration_error() -> None:
    rng = np.random.default_rng(0)
    confidence, correct = rng.random((4, 30)).astype(np.float32), rng.random((4, 30)) < 0.6
    used = rng.random((4, 30)) < 0.7
    bins = [2, 3, 5, 10]
    result = calibration_error(*map(torch.from_numpy, (confidence, correct, used)), torch.tensor(bins))
    for task, size in enumerate(bins):
        expected = naive_error(confidence[task, used[task]], correct[task, used[task]], size)
        assert result[task] == pytest.approx(expected, abs=1e-6)


def test_calibrated_temperature_minimises_the_error_on_the_last_labels() -> None:
    arrays = make_block([90, 80, 20], features=2, classes=3, labels=0, budget=90, seed=3)
    rng = np.random.default_rng(1)
    for task, size in enumerate((60, 44)):  # the third task has no label
        items = rng.permutation(size)
        answers = (arrays.X[task, items, 0].numpy() > 0).astype(int) + (rng.random(size) < 0.3)
        label(arrays, task, items, answers)
    chosen = calibrated_temperature(make_view(arrays))
    assert chosen[2] == 1
    for task, size in enumerate((60, 44)):
        part = size * 7 // 10
        X, y = arrays.XL[task, :size, :2].double().numpy(), arrays.yL[task, :size].numpy()
        model = LogisticRegression(C=1, tol=1e-8, max_iter=10000).fit(X[:part], y[:part])
        logits = np.log(model.predict_proba(X[part:]))
        correct = model.predict(X[part:]) == y[part:]

        def error(tau: float, logits: np.ndarray = logits, correct: np.ndarray = correct) -> float:
            p = np.exp(logits / tau)
            return naive_error((p / p.sum(1, keepdims=True)).max(1), correct, 3)

        assert error(float(chosen[task])) == pytest.approx(min(map(error, TEMPERATURES)), abs=5e-3)
    assert len(TEMPERATURES) == 190
    assert TEMPERATURES[-1] == pytest.approx(19.9)


def test_calibrated_selection_differs_from_the_uncalibrated_one_only_by_temperature() -> None:
    arrays = make_block([70, 60], features=2, classes=4, labels=30, seed=5)
    view = make_view(arrays)
    tau = calibrated_temperature(view)
    assert (tau != 1).any()
    for task in range(2):
        alone = view.take(torch.tensor([task]))
        fixed = picks(f"uherding:candidates=all,temperature={float(tau[task]):.6f}", alone, [5])
        assert picks("uherding:candidates=all,calibrate=true", alone, [5]) == fixed
