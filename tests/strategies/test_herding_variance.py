"""The greedy batch of herding-variance against its definition, written out item by item, and its limits."""

from __future__ import annotations

import naive
import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view

from al_gym.errors import ParameterError
from al_gym.pool import PoolView
from al_gym.strategies import make_strategy
from al_gym.strategies.calibration import calibrated_temperature

DEFAULTS = {
    "variance": 0.65, "power": 1.5, "focus": 0.5, "width": 1.2, "adaptive": 0.4, "unit": 0.35, "local": 0.5,
    "calibration": 0.3, "ratio": 0.5, "agreement": 0.0,
}  # fmt: skip
COVERAGE = "variance=0,focus=0,power=1,width=1,adaptive=0,unit=0,calibration=0,ratio=1"


def picks(spec: str, view: PoolView, k: list[int]) -> list[list[int]]:
    return make_strategy(spec).select(view, torch.tensor(k), view.stream("same")).tolist()


def mean_to_nearest(D: np.ndarray) -> float:
    return float(np.mean([np.sort(np.delete(row, i))[:20].mean() for i, row in enumerate(D)]))


class Criterion:
    """The docstring's score of an item, from plain formulas in float64."""

    def __init__(self, view: PoolView, task: int, **settings: float) -> None:
        self.s = DEFAULTS | settings
        self.pool = naive.Pool(view, task)
        X = self.X = np.asarray(self.pool.X, np.float64)
        p = np.asarray(self.pool.p, np.float64)
        tempered = p ** (1 / float(calibrated_temperature(view)[task]) ** self.s["calibration"])
        top = np.sort(tempered / tempered.sum(1, keepdims=True), axis=1)
        self.u = np.clip(1 - (top[:, -1] - top[:, -2]), 1e-6, 1)
        self.w = np.maximum(1 - (p**2).sum(1), 1e-4)
        unit = X / np.linalg.norm(X, axis=1, keepdims=True)
        self.D, self.E = (np.linalg.norm(A[:, None] - A[None], axis=2) for A in (X, unit))
        self.K = np.exp(-(1 - self.s["unit"]) * self.scaled(self.D) - self.s["unit"] * self.scaled(self.E))
        self.K *= (np.sqrt(p) @ np.sqrt(p).T) ** self.s["agreement"]
        local = np.exp(-((self.D / (self.s["width"] * mean_to_nearest(self.D))) ** 2) / 2)
        self.prior = (1 - self.s["local"]) * (X @ X.T + 10) + self.s["local"] * 10 * local

    def scaled(self, D: np.ndarray) -> np.ndarray:
        between = D[np.ix_(self.pool.labelled, self.pool.labelled)]
        nearest = between[between > 1e-5].min() / 2**0.5
        r = self.s["width"] * mean_to_nearest(D) ** (1 - self.s["adaptive"]) * nearest ** self.s["adaptive"]
        return D**2 / (2 * r**2)

    def score(self, x: int, chosen: list[int]) -> float:
        known = [*self.pool.labelled, *chosen]
        G = self.u ** self.s["power"] @ np.maximum(self.K[x] - self.K[known].max(0), 0)
        inner = self.prior[np.ix_(known, known)] + np.diag(1 / self.w[known])
        C = self.prior - self.prior[:, known] @ np.linalg.solve(inner, self.prior[known])
        V = self.w[x] * (self.u @ C[x] ** 2) / (1 + self.w[x] * C[x, x])
        mu = self.s["variance"]
        return (1 - mu) * np.log(G + 1e-9) + mu * np.log(V + 1e-9) + self.s["focus"] * np.log(self.u[x])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"variance": 1.0, "local": 0.0},
        {"variance": 0.0, "unit": 1.0},
        {"variance": 0.3, "adaptive": 1.0, "local": 1.0},
        {"focus": 0.0, "power": 3.0, "width": 0.5, "calibration": 1.0},
        {"ratio": 1.0, "calibration": 0.0, "unit": 0.0},
        {"agreement": 2.0, "variance": 0.0, "ratio": 1.0},
        {"agreement": 0.5, "variance": 0.3},
    ],
)
def test_every_pick_is_the_best_by_the_definition(settings: dict[str, float]) -> None:
    spec = "herding-variance:" + ",".join(f"{key}={value}" for key, value in settings.items())
    for seed in range(4):
        view = make_view(make_block([40, 33], features=[4, 7], classes=[3, 5], labels=[12, 6], seed=seed))
        chosen = picks(spec.rstrip(":"), view, [4, 3])
        for task, size in enumerate((4, 3)):
            criterion = Criterion(view, task, **settings)
            free = [i for i in range((40, 33)[task]) if i not in criterion.pool.labelled]
            share = max(size, int(np.ceil(criterion.s["ratio"] * len(free))))
            free = sorted(free, key=lambda i: -criterion.u[i])[:share]
            for place, item in enumerate(chosen[task][:size]):
                before = chosen[task][:place]
                scores = {i: criterion.score(i, before) for i in free if i not in before}
                assert item in scores, "an item outside the most uncertain share was taken"
                assert scores[item] == pytest.approx(max(scores.values()), abs=2e-3)


def test_coverage_alone_is_uherding() -> None:
    view = make_view(make_block([50, 37], seed=11))
    uherding = picks("uherding:candidates=all", view, [5, 5])
    assert picks(f"herding-variance:{COVERAGE}", view, [5, 5]) == uherding
    published = picks("uherding:radius=adaptive,normalize=true,candidates=all", view, [5, 5])
    shrinking = COVERAGE.replace("adaptive=0,unit=0", "adaptive=1,unit=1")
    assert picks(f"herding-variance:{shrinking}", view, [5, 5]) == published


@pytest.mark.parametrize(
    "change", ["variance=0.1", "power=4", "focus=3", "width=0.4", "adaptive=1", "unit=1", "local=0", "calibration=1",
               "ratio=0.15", "agreement=4"],
)  # fmt: skip
def test_every_parameter_does_something(change: str) -> None:
    views = [make_view(make_block([60, 60], classes=5, labels=30, seed=seed)) for seed in range(4)]
    base = [picks("herding-variance", view, [6, 6]) for view in views]
    assert [picks(f"herding-variance:{change}", view, [6, 6]) for view in views] != base


@pytest.mark.parametrize(
    ("spec", "named"),
    [("variance=1.5", "variance"), ("variance=-0.1", "variance"), ("power=-1", "power"), ("focus=nan", "focus"),
     ("width=0", "width"), ("adaptive=2", "adaptive"), ("unit=yes", "unit"), ("local=1.1", "local"),
     ("calibration=2", "calibration"), ("ratio=0", "ratio"), ("ratio=1.2", "ratio"),
     ("agreement=-1", "agreement")],
)  # fmt: skip
def test_impossible_parameters(spec: str, named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        make_strategy(f"herding-variance:{spec}")


def test_constant_features_and_no_labels() -> None:
    arrays = make_block([30, 30], labels=0, seed=2)
    arrays.X[1] = 0
    view = make_view(arrays)
    for row in picks("herding-variance", view, [4, 4]):
        assert len(set(row)) == 4
