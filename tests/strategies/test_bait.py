"""BAIT's low-rank updates against inverses computed afresh."""

from __future__ import annotations

import naive
import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view

from al_gym.errors import ParameterError
from al_gym.strategies import make_strategy
from al_gym.strategies.bait import MAX_PARAMETERS, represent
from al_gym.strategies.fisher import FisherTrace, information, leading_components


def fisher(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The information of one item."""
    return np.kron(np.diag(p) - np.outer(p, p), np.outer(x, x))


class Objective:
    """tr((ridge I + sum_{L+S} I)^-1 sum_U I) from its definition."""

    def __init__(self, X: np.ndarray, p: np.ndarray, labelled: list[int], ridge: float) -> None:
        self.X, self.p, self.labelled = np.column_stack([X, np.ones(len(X))]), p, labelled
        self.size, self.ridge = self.X.shape[1] * p.shape[1], ridge
        self.F = sum(fisher(self.X[i], p[i]) for i in range(len(X)) if i not in labelled)

    def __call__(self, chosen: list[int]) -> float:
        A = self.ridge * np.eye(self.size)
        for i in [*self.labelled, *chosen]:
            A += fisher(self.X[i], self.p[i])
        return float(np.trace(np.linalg.solve(A, self.F)))


@pytest.mark.parametrize(("oversample", "ridge"), [(1, 1.0), (2, 1.0), (1.5, 0.05), (3, 10.0)])
def test_forward_and_backward(oversample: float, ridge: float) -> None:
    view = make_view(make_block([24, 18], features=[3, 2], classes=[3, 2], labels=[4, 6], seed=1))
    spec = f"bait:oversample={oversample},ridge={ridge}"
    picks = make_strategy(spec).select(view, torch.tensor([4, 3]), view.stream("bait"))
    for task, size in enumerate((4, 3)):
        pool = naive.Pool(view, task)
        seen = sorted(set(view.y[task, pool.labelled].tolist()))
        value = Objective(pool.X, pool.p[:, seen], pool.labelled, ridge)
        chosen: list[int] = []
        for _ in range(int(np.ceil(oversample * size))):
            left = [i for i in pool.candidates if i not in chosen]
            chosen.append(min(left, key=lambda i: value([*chosen, i])))
        while len(chosen) > size:
            chosen.remove(min(chosen, key=lambda i: value([j for j in chosen if j != i])))
        assert picks[task, :size].tolist() == chosen


def test_updates_keep_the_trace() -> None:
    rng = np.random.default_rng(0)
    X, p = rng.standard_normal((15, 3)), rng.dirichlet(np.ones(4), 15)
    labelled, candidates = np.arange(15) < 4, np.arange(4, 15)
    trace = FisherTrace(X, p, labelled, candidates, 0.3)
    A = 0.3 * np.eye(12) + sum(fisher(X[i], p[i]) for i in range(4))
    F = sum(fisher(X[i], p[i]) for i in range(4, 15))
    np.testing.assert_allclose(information(X[4:], p[4:]), F)
    for step, (sign, candidate) in enumerate([(1, 2), (1, 7), (1, 5), (-1, 7), (1, 0), (-1, 2)]):
        before = np.trace(np.linalg.solve(A, F))
        change = trace.gain_of_adding() if sign > 0 else trace.loss_of_removing(np.arange(11))
        A = A + sign * fisher(X[4 + candidate], p[4 + candidate])
        (trace.add if sign > 0 else trace.remove)(candidate)
        after = np.trace(np.linalg.solve(A, F))
        assert trace.value == pytest.approx(after, rel=1e-9), step
        assert change[candidate] == pytest.approx(abs(after - before), rel=1e-7)


def test_nothing_seen_is_no_preference() -> None:
    view = make_view(make_block([30] * 12, labels=1, seed=2))
    firsts = make_strategy("bait").select(view, torch.full((12,), 2), view.stream("bait"))
    assert len(set(map(tuple, firsts.tolist()))) > 8, "one class seen: every item informs alike"


def test_wide_representations_are_cut_to_their_leading_components() -> None:
    rng = np.random.default_rng(3)
    phi = (rng.standard_normal((150, 3)) @ rng.standard_normal((3, 700))).astype(np.float32)
    features = represent(phi, np.arange(150), 10)
    assert features.shape == (150, MAX_PARAMETERS // 10)
    assert features.shape[1] * 10 <= MAX_PARAMETERS
    gaps = np.linalg.norm(phi[:, None] - phi[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(features[:, None] - features[None], axis=2), gaps, rtol=1e-3, atol=1e-2)
    tall = rng.standard_normal((40, 6)) * [9, 5, 3, 1, 0.1, 0.01]
    kept = leading_components(tall, 3)
    np.testing.assert_allclose(kept.var(axis=0), np.sort(np.linalg.eigvalsh(np.cov(tall.T, ddof=0)))[::-1][:3])
    view = make_view(make_block([40], features=600, classes=4, labels=5, seed=4))
    assert len(set(make_strategy("bait").select(view, torch.tensor([5]), view.stream("bait"))[0].tolist())) == 5


@pytest.mark.parametrize("spec", ["ridge=0", "ridge=much", "oversample=0.5"])
def test_impossible_parameters(spec: str) -> None:
    with pytest.raises(ParameterError, match=spec.split("=")[0]):
        make_strategy(f"bait:{spec}")
