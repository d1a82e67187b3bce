"""QUIRE in closed form against the published objective with its matrices, and against scikit-activeml."""

from __future__ import annotations

import naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_blocks import make_block, make_view

from al_gym.errors import ParameterError
from al_gym.strategies import make_strategy
from al_gym.strategies.quire import Quire


def published(K: np.ndarray, ridge: float, labelled: list[int], y: np.ndarray, s: int) -> float:
    """min over real labels of the other unlabelled items of y' (K + ridge I)^-1 y, for y_s = 1."""
    L = np.linalg.inv(K + ridge * np.eye(len(K)))
    u = [i for i in range(len(K)) if i != s and i not in labelled]
    a, ya = [*labelled, s], np.append(y, 1.0)
    yu = -np.linalg.solve(L[np.ix_(u, u)], L[np.ix_(u, a)] @ ya)
    full = np.zeros(len(K))
    full[a], full[u] = ya, yu
    return float(full @ L @ full)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), width=st.sampled_from([0.5, 1.0, 2.0]), ridge=st.sampled_from([0.1, 1.0]))
def test_score_is_the_published_objective(seed: int, width: float, ridge: float) -> None:
    view = make_view(make_block([30, 22], features=[2, 4], classes=[2, 4], labels=[5, 3], seed=seed))
    score = Quire(regularization=ridge, width=width).score(view)
    for task in range(2):
        pool = naive.Pool(view, task)
        K = naive.kernel(pool.X, width * naive.bandwidth(pool.X))
        answers = view.y[task, pool.labelled].numpy()
        worst = {
            s: max(
                published(K, ridge, pool.labelled, np.where(answers == c, 1.0, -1.0), s)
                for c in range(int(view.n_classes[task]))
            )
            for s in pool.candidates
        }
        ours = np.array([float(score[task, s]) for s in pool.candidates])
        theirs = -np.array([worst[s] for s in pool.candidates])
        np.testing.assert_allclose(ours - ours.max(), theirs - theirs.max(), rtol=1e-4, atol=2e-4)


def test_parity_with_scikit_activeml() -> None:
    pool = pytest.importorskip("skactiveml.pool")
    for seed in range(4):
        view = make_view(make_block([40], features=3, classes=3, labels=6, seed=seed))
        ours = naive.Pool(view, 0)
        y = np.full(40, np.nan)
        y[ours.labelled] = view.y[0, ours.labelled]
        gamma = {"gamma": 1 / (2 * (0.5 * float(view.bandwidth()[0])) ** 2)}
        theirs, utilities = pool.Quire(classes=[0, 1, 2], metric_dict=gamma, random_state=0).query(
            ours.X, y, batch_size=5, return_utilities=True
        )
        picks = make_strategy("quire").select(view, torch.tensor([5]), view.stream("quire"))[0].tolist()
        values = utilities[0]
        if len(set(np.round(values[~np.isnan(values)], 6))) == len(ours.candidates):
            assert picks == theirs.tolist()
        np.testing.assert_allclose(values[picks], np.sort(values[ours.candidates])[::-1][:5], rtol=1e-6)


def test_no_label_is_no_preference() -> None:
    view = make_view(make_block([20], labels=0, seed=1))
    assert (Quire().score(view)[0, :20] == 0).all()


@pytest.mark.parametrize("change", ["width=3", "regularization=0.01"])
def test_every_parameter_does_something(change: str) -> None:
    view, k = make_view(make_block([60], labels=6, seed=2)), torch.tensor([6])
    ours = make_strategy(f"quire:{change}").select(view, k, view.stream("quire"))
    assert ours.tolist() != make_strategy("quire").select(view, k, view.stream("quire")).tolist()


@pytest.mark.parametrize("spec", ["width=0", "regularization=-1", "width=wide", "regularization=inf"])
def test_impossible_parameters(spec: str) -> None:
    with pytest.raises(ParameterError, match=spec.split("=")[0]):
        make_strategy(f"quire:{spec}")
