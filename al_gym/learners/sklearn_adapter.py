"""Any scikit-learn classifier behind the protocol of learners, one task at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor

from al_gym.errors import LearnerError, ParameterError, UnknownNameError
from al_gym.learners.base import Learner, register_learner
from al_gym.pool.arrays import PoolArrays, Shape
from al_gym.streams import Stream

Floats = NDArray[np.floating[Any]]

ESTIMATORS: dict[str, Callable[[], Any]] = {
    "decision-tree": DecisionTreeClassifier,
    "extra-trees": lambda: ExtraTreesClassifier(n_estimators=50),
    "gaussian-nb": GaussianNB,
    "gradient-boosting": lambda: GradientBoostingClassifier(n_estimators=30),
    "logistic-regression": lambda: LogisticRegression(max_iter=1000),
    "random-forest": lambda: RandomForestClassifier(n_estimators=50),
    "svc": SVC,
}
"""What `estimator=` may name; sizes are chosen for label sets of some hundred items."""


@register_learner("sklearn")
class SklearnLearner(Learner):
    """Any scikit-learn classifier: forests, boosting, support vectors, skorch networks, your own.

    One clone of the estimator is fitted for each task and round, from scratch, to features (labels, features) float32
    and labels 0, 1, ... of the classes seen, in the order of their numbers; probabilities are aligned to all classes
    afterwards. While one class is seen, nothing is fitted and its probability is 1. An estimator without
    `predict_proba` must have `decision_function`: one column becomes the logistic function of it, several the softmax,
    which orders items as the estimator does but is not calibrated. Every parameter called `random_state` is set to
    the task's own seed, the same in all rounds; an estimator that draws from a global generator is not reproducible.

    A `skorch.NeuralNetClassifier` whose module has an output for every class works too: outputs beyond the classes
    seen are dropped and the rest is rescaled. Give it
    `criterion=nn.CrossEntropyLoss`, unless the module ends in a softmax.

    **Source:** Buitinck et al. 2013, *API design for machine learning software: experiences from the scikit-learn
    project*. **Cost:** that of the estimator, one fit and two predictions a task and round.

    Args:
        estimator: an estimator, or one of `decision-tree`, `extra-trees`, `gaussian-nb`, `gradient-boosting`,
            `logistic-regression`, `random-forest` and `svc`.
        jobs: tasks fitted at once by joblib, -1 for all cores, 1 for none; the result is the same.
    """

    name = "sklearn"

    def __init__(self, *, estimator: Any = "random-forest", jobs: int = 1) -> None:
        if isinstance(estimator, str):
            if estimator not in ESTIMATORS:
                raise UnknownNameError("estimator", estimator, ESTIMATORS)
            estimator = ESTIMATORS[estimator]()
        if isinstance(estimator, type) or not (hasattr(estimator, "fit") and hasattr(estimator, "get_params")):
            raise ParameterError(f"sklearn: estimator must be a scikit-learn estimator object, got {estimator!r}.")
        if not (hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")):
            raise ParameterError(f"sklearn: {estimator!r} has neither predict_proba nor decision_function.")
        if not isinstance(jobs, int) or jobs == 0 or jobs < -1:
            raise ParameterError(f"sklearn: jobs must be at least 1, or -1 for all cores, got {jobs!r}.")
        self.estimator = estimator
        self.jobs = jobs

    def allocate(self, shape: Shape, rows: int, device: torch.device) -> dict[str, Any]:
        """See `Learner.allocate`: one fitted estimator a row."""
        return {"model": [None] * rows}

    def fit(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.fit`; every fit is from scratch."""
        keys = arrays.key[rows.cpu().numpy()]
        seeds = Stream.of(keys, np.zeros(len(keys), np.int64), "sklearn").seeds()
        several = (arrays.seen[rows].sum(dim=1) > 1).tolist()
        todo = [(row, seed) for row, seed, fits in zip(rows.tolist(), seeds, several, strict=True) if fits]
        models = self._map(fit_one, [(self.estimator, seed, *_labelled(arrays, row)) for row, seed in todo])
        for row in rows.tolist():
            state["model"][row] = None
        for (row, _), model in zip(todo, models, strict=True):
            state["model"][row] = model

    def predict_proba(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.predict_proba`."""
        proba = torch.zeros(len(rows), arrays.seen.shape[1], X.shape[1])
        seen = [arrays.seen[row].nonzero()[:, 0].cpu() for row in rows.tolist()]
        todo = [i for i, row in enumerate(rows.tolist()) if state["model"][row] is not None]
        work = [(state["model"][int(rows[i])], _features(arrays, int(rows[i]), X[i]), len(seen[i])) for i in todo]
        for i, values in zip(todo, self._map(predict_one, work), strict=True):
            proba[i, seen[i]] = torch.from_numpy(values.T.astype(np.float32))
        for i in set(range(len(rows))) - set(todo):
            proba[i, seen[i]] = 1.0
        return proba.to(X.device)

    def _map(self, function: Callable[..., Any], work: list[tuple[Any, ...]]) -> list[Any]:
        """Call `function` with each tuple; in workers with one thread each if there is more than one job."""
        if self.jobs == 1 or len(work) < 2:
            return [function(*arguments) for arguments in work]
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            calls = (joblib.delayed(function)(*arguments) for arguments in work)
            return list(joblib.Parallel(n_jobs=self.jobs)(calls))


def fit_one(estimator: Any, seed: int, X: Floats, y: NDArray[np.int64]) -> Any:
    """A clone of `estimator` fitted with every `random_state` set to `seed`."""
    model = clone(estimator)
    seeded = {key: seed for key in model.get_params() if key.rpartition("__")[2] == "random_state"}
    return model.set_params(**seeded).fit(X, y)


def predict_one(model: Any, X: Floats, classes: int) -> Floats:
    """(n, classes) probabilities of the classes seen.

    Raises:
        LearnerError: the model returned fewer columns than classes were seen.
    """
    if hasattr(model, "predict_proba"):
        proba: Floats = np.asarray(model.predict_proba(X), dtype=np.float64)
    else:
        decision = np.asarray(model.decision_function(X), dtype=np.float64)
        proba = _softmax(np.stack([np.zeros_like(decision), decision], axis=1) if decision.ndim == 1 else decision)
    if proba.ndim != 2 or proba.shape[1] < classes:
        raise LearnerError(
            f"{type(model).__name__} returned probabilities of shape {proba.shape} for {classes} classes; it must "
            "return a column for each class of its labels."
        )
    if proba.shape[1] == classes:
        return proba
    proba = proba[:, :classes]
    return proba / proba.sum(axis=1, keepdims=True)


def _softmax(logits: Floats) -> Floats:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def _labelled(arrays: PoolArrays, row: int) -> tuple[Floats, NDArray[np.int64]]:
    """Labelled items of one task without padding, and their classes as 0, 1, ... among those seen."""
    count = int(arrays.count[row])
    _, y = np.unique(arrays.yL[row, :count].cpu().numpy(), return_inverse=True)
    return _features(arrays, row, arrays.XL[row, :count]), y.astype(np.int64)


def _features(arrays: PoolArrays, row: int, X: Tensor) -> Floats:
    """The true features of (n, features)."""
    return np.ascontiguousarray(X[:, : int(arrays.n_features[row])].cpu().numpy())
