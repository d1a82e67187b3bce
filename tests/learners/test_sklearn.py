"""The adapter of scikit-learn's estimators."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from learner_blocks import block, fitted, pool_accuracy, probabilities, reveal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from al_gym.errors import LearnerError, ParameterError, UnknownNameError
from al_gym.learners import make_learner
from al_gym.learners.sklearn_adapter import ESTIMATORS, SklearnLearner
from al_gym.tasks import load_bundled

TASKS = [(40, 6, 4, 18, 0), (30, 3, 3, 9, 1)]


class Extra(ClassifierMixin, BaseEstimator):
    """Like a network with five outputs whatever the labels; `columns` = 1 is broken."""

    def __init__(self, columns=5):
        self.columns = columns

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.tile(np.arange(1, self.columns + 1) / np.arange(1, self.columns + 1).sum(), (len(X), 1))


def test_probabilities_are_those_of_the_estimator() -> None:
    arrays = block(TASKS)
    proba = probabilities(SklearnLearner(estimator=LogisticRegression(C=0.3)), arrays)
    for row, (n, d, classes, labels, _) in enumerate(TASKS):
        X, y = arrays.XL[row, :labels, :d].numpy(), arrays.yL[row, :labels].numpy()
        expected = LogisticRegression(C=0.3).fit(X, y).predict_proba(arrays.X[row, :n, :d].numpy())
        np.testing.assert_allclose(proba[row, :classes, :n].T, expected, atol=1e-6)


def test_missing_classes_are_aligned() -> None:
    arrays = block([(40, 6, 5, 0, 0)])
    reveal(arrays, 0, [0, 1, 2, 3], [4, 1, 4, 1])
    proba = probabilities(SklearnLearner(estimator="gaussian-nb"), arrays)[0, :, :40]
    assert (proba[[0, 2, 3, 5, 6, 7]] == 0).all()
    assert proba[:, 0].argmax() == 4
    assert proba[:, 1].argmax() == 1


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_named_estimators_learn(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accuracy = pool_accuracy(make_learner(f"sklearn:estimator={name}"), seeds=1)
        seed_set = probabilities(make_learner(f"sklearn:estimator={name}"), block([(40, 6, 4, 4, 0)]))
    assert accuracy > 0.6
    torch.testing.assert_close(seed_set[0, :4, :40].sum(0), torch.ones(40))


def test_every_random_state_is_the_tasks_own() -> None:
    arrays = block([TASKS[0], TASKS[0]])
    forest = SklearnLearner(estimator=make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=3)))
    state, _ = fitted(forest, arrays)
    first, second = (model[-1].random_state for model in state["model"])
    assert first == second
    assert isinstance(first, int)
    arrays.key[1] += 1
    state, _ = fitted(forest, arrays)
    assert state["model"][1][-1].random_state != first
    assert forest.estimator[-1].random_state is None, "the caller's object was changed"


def test_decisions_become_probabilities() -> None:
    arrays = block([*TASKS, (30, 3, 2, 9, 2)])
    learner = SklearnLearner(estimator=SVC())
    state, rows = fitted(learner, arrays)
    proba = learner.predict_proba(state, arrays, rows, arrays.X)
    X = arrays.X[2, :30, :3].numpy()
    expected = 1 / (1 + np.exp(-state["model"][2].decision_function(X)))
    np.testing.assert_allclose(proba[2, 1, :30], expected, atol=1e-6)
    decision = state["model"][0].decision_function(arrays.X[0, :40, :6].numpy())
    assert (proba[0, :4, :40].argmax(0).numpy() == decision.argmax(1)).all()


def test_outputs_beyond_the_classes_are_dropped() -> None:
    proba = probabilities(SklearnLearner(estimator=Extra()), block([(30, 3, 2, 9, 2)]))
    np.testing.assert_allclose(proba[0, :2, 0], [1 / 3, 2 / 3], atol=1e-6)


def test_missing_columns_are_an_error() -> None:
    with pytest.raises(LearnerError, match=r"Extra returned probabilities of shape \(48, 1\) for 2 classes"):
        probabilities(SklearnLearner(estimator=Extra(columns=1)), block([(30, 3, 2, 9, 2)]))


@pytest.mark.slow
def test_jobs_do_not_change_the_result() -> None:
    arrays = block([*TASKS, TASKS[0]])
    alone, parallel = (
        probabilities(make_learner(f"sklearn:estimator=extra-trees,jobs={jobs}"), arrays) for jobs in (1, 2)
    )
    assert torch.equal(alone, parallel)


def skorch_net(features: int, classes: int) -> Any:
    skorch = pytest.importorskip("skorch")
    return skorch.NeuralNetClassifier(
        torch.nn.Linear,
        criterion=torch.nn.CrossEntropyLoss,
        module__in_features=features,
        module__out_features=classes,
        max_epochs=30,
        lr=0.5,
        train_split=None,
        verbose=0,
    )


def test_skorch_networks() -> None:
    assert pool_accuracy(SklearnLearner(estimator=skorch_net(6, 4)), seeds=1) > 0.8


def test_a_skorch_network_in_an_environment() -> None:
    iris = load_bundled("iris")
    learner = SklearnLearner(estimator=skorch_net(iris.n_features, iris.n_classes))
    env = gym.make("al_gym/Strategy-v0", tasks=iris, learner=learner, strategies=["margin", "random"], budget=20)
    env.reset(seed=0)
    ended, accuracy = False, 0.0
    while not ended:
        _, _, ended, _, info = env.step(0)
        accuracy = info["validation_accuracy"]
    assert accuracy > 0.7


def test_bad_parameters() -> None:
    with pytest.raises(UnknownNameError, match="random-forest"):
        make_learner("sklearn:estimator=random-forrest")
    for bad in (RandomForestClassifier, 3, StandardScaler()):
        with pytest.raises(ParameterError, match=r"estimator|predict_proba"):
            SklearnLearner(estimator=bad)
    with pytest.raises(ParameterError, match="jobs"):
        SklearnLearner(jobs=0)
    assert SklearnLearner(estimator=SGDClassifier()).estimator.loss == "hinge"
