"""Ridge regression against the normal equations, refits without an item, and scikit-learn."""

import numpy as np
import pytest
import torch
from learner_blocks import blobs, block, fill, fitted, pool_accuracy, probabilities, reveal
from sklearn.linear_model import Ridge as Reference

from al_gym.errors import ParameterError
from al_gym.learners import make_learner
from al_gym.learners.ridge import Factor, Ridge, sharpness, solve


def dual(X: np.ndarray, penalty: float) -> torch.Tensor:
    return Factor.empty(X.shape[1], torch.device("cpu")).append(torch.from_numpy(X), penalty).L


def test_weights_are_those_of_scikit_learn_times_the_sharpness() -> None:
    for d, labels in ((6, 24), (8, 5)):
        arrays = block([(40, d, 3, labels, 2)])
        state, _ = fitted(Ridge(penalty=0.7), arrays)
        X, y = arrays.XL[0, :labels, :d].double().numpy(), arrays.yL[0, :labels].numpy()
        reference = Reference(alpha=0.7).fit(X, np.eye(3)[y])
        W = state["W"][0, :3].double().numpy()
        beta = W[0, 0] / reference.coef_[0, 0]
        assert 1 <= beta <= 128.001
        np.testing.assert_allclose(W[:, :d], beta * reference.coef_, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(W[:, -1], beta * reference.intercept_, rtol=1e-4, atol=1e-5)


def test_left_out_predictions_are_those_of_refits() -> None:
    X, y = blobs(15, 4, 3, 0)
    targets = np.eye(3)[y]
    _, _, left_out = solve(dual(X, 0.5), torch.from_numpy(targets))
    for i in range(len(X)):
        kept = np.arange(len(X)) != i
        refit = Reference(alpha=0.5).fit(X[kept], targets[kept])
        np.testing.assert_allclose(left_out[i], refit.predict(X[i : i + 1])[0], atol=1e-8)


def test_sharpness_is_high_for_good_scores_and_low_for_noise() -> None:
    targets = torch.eye(3, dtype=torch.float64).repeat(20, 1)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 3)))
    assert sharpness(0.5 * targets, targets) > 10
    assert sharpness(noise, targets) == 1
    assert sharpness(noise[:3], targets[:3]) == 8, "items alone in their class say nothing"


def test_updates_equal_a_fit_from_scratch() -> None:
    X, y = blobs(48, 8, 4, 5)
    learner, arrays = Ridge(), block([(48, 8, 4, 0, 5)])
    fill(arrays, 0, X, 4)
    state, rows = None, torch.tensor([0])
    for first, last in ((0, 4), (4, 9), (9, 10), (10, 30)):
        reveal(arrays, 0, list(range(first, last)), y[first:last].tolist())
        if state is None:
            state, _ = fitted(learner, arrays)
        else:
            learner.fit(state, arrays, rows)
        scratch, _ = fitted(learner, arrays)
        torch.testing.assert_close(state["W"], scratch["W"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(state["factor"][0].L, scratch["factor"][0].L, atol=1e-9, rtol=1e-9)


def test_other_labelled_items_are_noticed_without_clear() -> None:
    learner, arrays = Ridge(), block([(40, 5, 3, 6, 1)])
    state, rows = fitted(learner, arrays)
    other = block([(40, 5, 3, 9, 2)])
    learner.fit(state, other, rows)
    torch.testing.assert_close(state["W"], fitted(learner, other)[0]["W"])


def test_probabilities_are_calibrated_on_noisy_labels() -> None:
    """Labels that features do not explain: the mean confidence must stay near the accuracy."""
    rng = np.random.default_rng(0)
    gaps = []
    for seed in range(10):
        arrays = block([(48, 6, 4, 0, seed)])
        y = rng.integers(2, size=48)
        reveal(arrays, 0, list(range(30)), y[:30].tolist())
        top = probabilities(Ridge(), arrays)[0, :2, 30:48].max(0)
        gaps.append(float(top.values.mean()) - (top.indices.numpy() == y[30:]).mean())
    assert abs(np.mean(gaps)) < 0.2


def test_learns_blobs() -> None:
    assert pool_accuracy(Ridge()) > 0.9


@pytest.mark.parametrize("bad", ["ridge:penalty=0", "ridge:penalty=-1", "ridge:penalty=inf"])
def test_bad_parameters(bad: str) -> None:
    with pytest.raises(ParameterError, match="penalty"):
        make_learner(bad)
