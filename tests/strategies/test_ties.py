"""Pools full of ties: where float arithmetic is exact, both implementations break every tie alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pool_blocks import make_block, make_view

from al_gym import kernels
from al_gym.pool import PoolArrays
from al_gym.strategies import make_strategy
from al_gym.strategies.base import argmax_with_ties, as_mask, tie_noise, top_k
from al_gym.strategies.herding import herd
from al_gym.streams import Stream


@pytest.fixture(autouse=True)
def _numba() -> None:
    if not kernels.available():
        pytest.skip("numba is switched off")


def stream(tasks: int, seed: int) -> Stream:
    return Stream(np.random.default_rng(seed).integers(2**63, size=tasks).astype(np.uint64))


@settings(max_examples=60)
@given(data=st.data(), seed=st.integers(0, 2**31))
def test_top_k(data: st.DataObject, seed: int) -> None:
    rng, tasks, items = np.random.default_rng(seed), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 50))
    levels = data.draw(st.integers(1, 6))
    score = torch.from_numpy(rng.integers(-levels, 1, (tasks, items)).astype(np.float32)) / 4
    candidates = torch.from_numpy(rng.random((tasks, items)) < 0.7)
    candidates[:, 0] = True
    k = torch.tensor([data.draw(st.integers(1, int(n))) for n in candidates.sum(1)])
    keyed = stream(tasks, seed)
    picks, noise = top_k(score, candidates, k, keyed), keyed.uniform(items)
    for task, size in enumerate(k.tolist()):
        order = sorted(
            candidates[task].nonzero()[:, 0].tolist(), key=lambda i, t=task: (-float(score[t, i]), -noise[t, i])
        )
        assert picks[task].tolist() == order[:size] + [-1] * (picks.shape[1] - size)


@settings(max_examples=40)
@given(data=st.data(), seed=st.integers(0, 2**31), weighted=st.booleans())
def test_lazy_herding_equals_the_full_evaluation(data: st.DataObject, seed: int, weighted: bool) -> None:
    rng, tasks, n = np.random.default_rng(seed), data.draw(st.integers(1, 3)), data.draw(st.integers(2, 30))
    levels = data.draw(st.integers(1, 4))
    kernel = torch.from_numpy(rng.integers(0, levels + 1, (tasks, n, n)).astype(np.float32)) / 4
    covered = torch.from_numpy(rng.integers(0, 2, (tasks, n)).astype(np.float32)) / 4
    weight = torch.from_numpy(rng.integers(0, 3, (tasks, n)).astype(np.float32)) if weighted else None
    allowed = torch.from_numpy(rng.random((tasks, n)) < 0.8)
    allowed[:, -1] = True
    k = torch.tensor([data.draw(st.integers(1, int(size))) for size in allowed.sum(1)])
    keyed = stream(tasks, seed)
    full = herd(kernel, weight, covered, allowed, k, tie_noise(keyed, n, k.device))
    items = torch.arange(n).repeat(tasks, 1).masked_fill(~allowed, -1).numpy()
    out, bound = np.full(full.shape, -1), np.full((tasks, n), np.inf)
    weights = np.zeros((0, 0), np.float32) if weight is None else weight.numpy()
    fixed = (kernel.numpy(), np.arange(tasks), items, items, np.full(tasks, n), covered.numpy(), weights)
    fast = kernels.load("herding")
    fast.herd(*fixed, bound, k.numpy(), keyed.keys, out)
    np.testing.assert_array_equal(out, full.numpy())
    gains = np.maximum(kernel.numpy() - covered.numpy()[:, None, :], 0)
    gains = (gains * (1 if weight is None else weight.numpy()[:, None, :])).sum(-1)
    assert (bound[items >= 0] >= gains[items >= 0]).all(), "what is kept bounds the gains against the true coverage"
    again = np.full_like(out, -1)
    fast.herd(*fixed, bound, k.numpy(), keyed.keys, again)
    np.testing.assert_array_equal(again, out)


def lattice(seed: int) -> PoolArrays:
    """Small integers as features, quarters as probabilities: distances, norms and margins are exact."""
    arrays = make_block([40, 27], features=3, classes=3, labels=2, seed=seed)
    rng = np.random.default_rng(seed)
    for task, n in enumerate((40, 27)):
        arrays.X[task, :n, :3] = torch.from_numpy(rng.integers(0, 3, (n, 3)).astype(np.float32))
        shares: NDArray[np.float32] = rng.permuted(
            np.array([[2, 1, 1], [4, 0, 0], [2, 2, 0]])[rng.integers(3, size=n)], axis=1
        ).astype(np.float32)
        p = torch.from_numpy(shares).T / 4
        arrays.proba[task, :3, :n] = p
        top = p.topk(2, dim=0).values
        arrays.top1[task, :n], arrays.top2[task, :n] = top[0], top[1]
        arrays.predicted[task, :n] = p.argmax(0)
    return arrays


@pytest.mark.parametrize("name", ["kcenter", "margin-kcenter", "badge"])
def test_lattice(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, k = make_strategy(name), torch.tensor([12, 9])
    views = [make_view(lattice(seed)) for seed in range(25)]
    fast = [strategy.select(view, k, view.stream(name)).tolist() for view in views]
    monkeypatch.setenv("AL_GYM_NO_NUMBA", "1")
    views = [make_view(lattice(seed)) for seed in range(25)]
    assert [strategy.select(view, k, view.stream(name)).tolist() for view in views] == fast


def test_argmax_with_ties() -> None:
    score = torch.tensor([[1.0, 3.0, 3.0, 9.0], [2.0, 2.0, 2.0, 2.0]])
    allowed = torch.tensor([[True, True, True, False], [True, False, True, True]])
    noise = torch.tensor([[0.9, 0.1, 0.2, 0.99], [0.3, 0.9, 0.2, 0.1]]).double()
    assert argmax_with_ties(score, allowed, noise).tolist() == [2, 0]


def test_as_mask() -> None:
    assert as_mask(torch.tensor([[2, 0], [-1, 1], [-1, -1]]), 3).int().tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
