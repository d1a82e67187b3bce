"""Blocks of campaigns with class structure and labels, for tests of learners."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from al_gym.learners import Learner
from al_gym.pool import PoolArrays, Shape

SHAPE = Shape(items=48, features=8, classes=8, labels=32, holdout=16)


def fill(arrays: PoolArrays, row: int, X: np.ndarray, n_classes: int, key: int = 7) -> None:
    """Put a pool without labels into a row."""
    n, d = X.shape
    arrays.clear(row)
    arrays.X[row, :n, :d] = torch.from_numpy(X.astype(np.float32))
    arrays.n_items[row], arrays.n_features[row], arrays.n_classes[row] = n, d, n_classes
    arrays.key[row] = np.uint64(key)


def reveal(arrays: PoolArrays, row: int, items: list[int], answers: list[int]) -> None:
    """Label items as a campaign does."""
    for item, answer in zip(items, answers, strict=True):
        at = int(arrays.count[row])
        arrays.order[row, at], arrays.yL[row, at] = item, answer
        arrays.XL[row, at] = arrays.X[row, item]
        arrays.labelled[row, item] = True
        arrays.y[row, item] = answer
        arrays.seen[row, answer] = True
        arrays.count[row] += 1


def blobs(n: int, d: int, classes: int, seed: int, spread: float = 2.5) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian classes with unit noise; X (n, d), y (n,)."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.normal(size=(classes, d))[y] * spread + rng.normal(size=(n, d)), y


def block(tasks: list[tuple[int, int, int, int, int]], shape: Shape = SHAPE) -> PoolArrays:
    """One row for each (items, features, classes, labels, seed); the first `labels` items are labelled."""
    arrays = PoolArrays.allocate(shape, len(tasks), torch.device("cpu"))
    for row, (n, d, classes, labels, seed) in enumerate(tasks):
        X, y = blobs(n, d, classes, seed)
        fill(arrays, row, X, classes, key=1000 + seed)
        reveal(arrays, row, list(range(labels)), y[:labels].tolist())
    return arrays


def fitted(learner: Learner, arrays: PoolArrays, rows: list[int] | None = None) -> tuple[dict, Tensor]:
    """State after one fit, and the rows."""
    chosen = torch.arange(len(arrays.key)) if rows is None else torch.tensor(rows)
    state = learner.allocate(SHAPE, len(arrays.key), torch.device("cpu"))
    learner.fit(state, arrays, chosen)
    return state, chosen


def probabilities(learner: Learner, arrays: PoolArrays) -> Tensor:
    """(tasks, classes, items) after one fit."""
    state, rows = fitted(learner, arrays)
    return learner.predict_proba(state, arrays, rows, arrays.X)


def pool_accuracy(learner: Learner, n: int = 48, labels: int = 24, seeds: int = 4) -> float:
    """Mean accuracy on the unlabelled items of easy four-class pools."""
    tasks = [(n, 6, 4, labels, seed) for seed in range(seeds)]
    proba = probabilities(learner, block(tasks))
    hits = [
        (proba[row, :, labels:n].argmax(0).numpy() == blobs(n, 6, 4, seed)[1][labels:]).mean()
        for row, (*_, seed) in enumerate(tasks)
    ]
    return float(np.mean(hits))
