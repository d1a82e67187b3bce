"""The Gaussian process against scikit-learn's regressor and refits without an item."""

import math

import numpy as np
import pytest
import torch
from learner_blocks import block, fill, fitted, pool_accuracy, probabilities, reveal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from al_gym.errors import ParameterError
from al_gym.learners import make_learner
from al_gym.learners.gp import LENGTHS, GaussianProcess
from al_gym.pool import PoolArrays


def reference(arrays: PoolArrays, length: float, signal: float, noise: float) -> GaussianProcessRegressor:
    m, d = int(arrays.count[0]), int(arrays.n_features[0])
    y = arrays.yL[0, :m].numpy()
    kernel = ConstantKernel(signal) * RBF(length) + WhiteKernel(signal * noise)
    model = GaussianProcessRegressor(kernel, optimizer=None)
    return model.fit(arrays.XL[0, :m, :d].double().numpy(), np.eye(3)[y] - 1 / 3)


def test_probabilities_follow_from_the_posterior_of_scikit_learn() -> None:
    arrays = block([(40, 5, 3, 18, 0)])
    state, rows = fitted(GaussianProcess(noise=0.2), arrays)
    length, signal, beta = (float(state[key][0]) for key in ("length", "signal", "beta"))
    mean, covariance = reference(arrays, length, signal, 0.2).predict(
        arrays.X[0, :40, :5].double().numpy(), return_cov=True
    )
    variance = covariance[:, :, 0].diagonal() - signal * 0.2  # of the function, without the noise
    logits = beta * mean / np.sqrt(1 + math.pi / 8 * beta**2 * variance[:, None])
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    proba = GaussianProcess().predict_proba(state, arrays, rows, arrays.X)[0, :3, :40]
    np.testing.assert_allclose(proba.T, expected, atol=2e-4)


def test_length_and_signal_have_the_largest_evidence() -> None:
    arrays = block([(40, 5, 3, 30, 4)])
    state, _ = fitted(GaussianProcess(), arrays)
    scale = math.sqrt(float(arrays.X[0, :40, :5].double().var(0, correction=0).sum()))
    chosen, signal = float(state["length"][0]), float(state["signal"][0])
    evidence = {}
    for unit in LENGTHS:
        fits = [reference(arrays, unit * scale, s, 0.1) for s in np.geomspace(0.01, 10, 60)]
        prior = 0.5 * math.log2(unit) ** 2
        evidence[unit] = max(model.log_marginal_likelihood_value_ for model in fits) - prior
    assert chosen == pytest.approx(max(evidence, key=evidence.get) * scale, rel=1e-5)
    best = reference(arrays, chosen, signal, 0.1).log_marginal_likelihood_value_
    for factor in (0.8, 1.25):
        assert reference(arrays, chosen, signal * factor, 0.1).log_marginal_likelihood_value_ < best


def test_far_away_all_seen_classes_are_equally_probable() -> None:
    arrays = block([(4, 1, 3, 0, 0)])
    fill(arrays, 0, np.array([[0.0], [1.0], [1.5], [1000.0]]), 3)
    reveal(arrays, 0, [0, 1], [0, 2])
    state, rows = fitted(GaussianProcess(length=0.01), arrays)
    far = GaussianProcess().predict_proba(state, arrays, rows, arrays.X)[0, :, 3]
    torch.testing.assert_close(far[:3], torch.tensor([0.5, 0.0, 0.5]))


def test_learns_blobs() -> None:
    assert pool_accuracy(GaussianProcess()) > 0.9


def test_is_surer_near_the_labels() -> None:
    arrays = block([(40, 2, 2, 10, 3)])
    entropy = torch.special.entr(probabilities(GaussianProcess(), arrays)[0]).sum(0)
    assert entropy[:10].mean() < entropy[10:40].mean()


@pytest.mark.parametrize("bad", ["gp:noise=0", "gp:noise=nan", "gp:length=-1"])
def test_bad_parameters(bad: str) -> None:
    with pytest.raises(ParameterError, match="gp"):
        make_learner(bad)
