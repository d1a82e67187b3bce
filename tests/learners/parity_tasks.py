"""The tasks of the parity test (promise P7) and their exact solutions by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn import datasets
from sklearn.linear_model import LogisticRegression

REAL = ("digits", "wine", "breast_cancer", "iris")
SYNTHETIC = tuple(f"synthetic{i}" for i in range(20))
LABELS = {"digits": (12, 60, 110, 210), "breast_cancer": (2, 30, 150), "wine": (3, 25, 80), "iris": (4, 20, 60)}


@dataclass(frozen=True, eq=False)
class ParityTask:
    """A pool, the order in which it is labelled, and the numbers of labels at which fits are compared."""

    X: np.ndarray
    y: np.ndarray
    labels: tuple[int, ...]

    @property
    def n_classes(self) -> int:
        return int(self.y.max()) + 1


def _scale(X: np.ndarray, how: str) -> np.ndarray:
    X = X - X.mean(0)
    if how == "center":
        return X / np.sqrt(np.mean(X**2))
    spread = X.std(0)
    return X / np.where(spread == 0, 1, spread)


def _synthetic(index: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(index)
    n_classes, n_features = 2 + index % 9, int(rng.integers(3, 40))
    means = rng.normal(size=(n_classes, n_features)) * rng.uniform(0.3, 1.2)
    y = rng.integers(0, n_classes, 600)
    X = (means[y] + rng.normal(size=(600, n_features))) * np.exp(rng.normal(size=n_features))
    flipped = rng.random(600) < 0.05
    return X, np.where(flipped, rng.integers(0, n_classes, 600), y)


@cache
def parity_task(name: str, scaling: str) -> ParityTask:
    """Half of the classes appear early, the others only after the first fifth of the labels."""
    if name.startswith("synthetic"):
        X, y = _synthetic(int(name.removeprefix("synthetic")))
        labels = (max(4, y.max() + 1), 30, 110)
    else:
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        labels = LABELS[name]
    rng = np.random.default_rng(0)
    order = rng.permutation(len(X))
    X, y = _scale(X[order].astype(np.float64), scaling).astype(np.float32), y[order]
    late = (y >= max(2, (y.max() + 1) // 2)) & (np.arange(len(y)) < max(labels) // 5)
    order = np.concatenate([np.flatnonzero(~late), np.flatnonzero(late)])
    X, y = X[order], y[order]
    if len(set(y[: labels[0]])) < 2:  # one class is another test
        other = int(np.argmax(y != y[0]))
        X[[1, other]], y[[1, other]] = X[[other, 1]], y[[other, 1]]
    return ParityTask(X, y, labels)


@cache
def exact_proba(name: str, scaling: str, labels: int) -> np.ndarray:
    """(classes, items) float64, CONTRACT's reference fitted to the first `labels` items."""
    task = parity_task(name, scaling)
    model = LogisticRegression(C=1, tol=1e-8, max_iter=10000)
    model.fit(task.X[:labels].astype(np.float64), task.y[:labels])
    proba = np.zeros((task.n_classes, len(task.X)))
    proba[model.classes_] = model.predict_proba(task.X.astype(np.float64)).T
    return proba
