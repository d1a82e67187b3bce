"""Nearest neighbours against the formula item by item."""

import numpy as np
import pytest
from learner_blocks import block, fill, pool_accuracy, probabilities, reveal

from al_gym.errors import ParameterError
from al_gym.learners import make_learner
from al_gym.learners.knn import NearestNeighbours


def naive(x: np.ndarray, XL: np.ndarray, y: np.ndarray, classes: int, k: int, smoothing: float) -> np.ndarray:
    d2 = ((XL - x) ** 2).sum(1)
    near = d2 <= np.sort(d2)[min(k, len(d2)) - 1]
    scale = max(d2[near].mean(), 1e-12)
    votes = np.array([np.exp(-d2[near & (y == c)] / (2 * scale)).sum() for c in range(classes)]) + smoothing
    votes *= np.isin(np.arange(classes), y)
    return votes / votes.sum()


@pytest.mark.parametrize("k", [1, 4, 50])
def test_equals_the_formula(k: int) -> None:
    arrays = block([(40, 5, 4, 20, 0), (17, 3, 3, 2, 1)])
    proba = probabilities(NearestNeighbours(k=k, smoothing=0.2), arrays).numpy()
    for row, (n, d, c, labels) in enumerate([(40, 5, 4, 20), (17, 3, 3, 2)]):
        XL, y = arrays.XL[row, :labels, :d].double().numpy(), arrays.yL[row, :labels].numpy()
        for item in range(n):
            expected = naive(arrays.X[row, item, :d].double().numpy(), XL, y, c, k, 0.2)
            np.testing.assert_allclose(proba[row, :c, item], expected, atol=2e-5)


def test_items_at_equal_distance_all_vote() -> None:
    arrays = block([(4, 1, 2, 0, 0)])
    fill(arrays, 0, np.array([[0.0], [-1.0], [1.0], [9.0]]), 2)
    reveal(arrays, 0, [1, 2], [0, 1])
    proba = probabilities(NearestNeighbours(k=1), arrays)
    assert proba[0, :2, 0].tolist() == [0.5, 0.5]


def test_learns_blobs() -> None:
    assert pool_accuracy(NearestNeighbours()) > 0.9


@pytest.mark.parametrize("bad", ["knn:k=0", "knn:k=1.5", "knn:smoothing=0", "knn:smoothing=nan"])
def test_bad_parameters(bad: str) -> None:
    with pytest.raises(ParameterError, match="knn"):
        make_learner(bad)
