"""Whole margin campaigns, one task after the other while its data is in the nearest caches.

The twin of the loop in `al_gym.reference`: fits, scores, selection and accuracy are the very kernels of the round by
round path, so that queries and accuracies are equal. Nothing of the pool changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba as nb
import numpy as np

from al_gym.kernels.product import Floats
from al_gym.kernels.select import _top_k_task
from al_gym.kernels.softmax_buffers import Ints
from al_gym.kernels.softmax_fit import _fit
from al_gym.kernels.softmax_score import _hit_rows, _score_rows
from al_gym.kernels.stamp import sources_stamp
from al_gym.learners.softmax_fit import FLOAT32_ITER

Array = Any


class _Task(NamedTuple):
    """Storage of one task, in the layout of `PoolArrays` with one row."""

    XL: Floats
    yL: Ints
    size: Ints
    seen: Array
    W: Floats
    free: Array
    proba: Floats
    top1: Floats
    top2: Floats
    predicted: Ints


@nb.njit(error_model="numpy")
def _allocate(XL: Floats, seen: Array, W: Floats, items: int) -> _Task:
    """Room for a task of the block that these arrays belong to."""
    labels, features, classes = XL.shape[1], XL.shape[2], seen.shape[1]
    f = np.float32
    return _Task(
        np.zeros((1, labels, features), f), np.full((1, labels), -1, np.int64), np.zeros(1, np.int64),
        np.zeros((1, classes), np.bool_), np.zeros((1, classes, W.shape[2]), f), np.zeros((1, items), np.bool_),
        np.zeros((1, classes, items), f), np.zeros((1, items), f), np.zeros((1, items), f),
        np.zeros((1, items), np.int64),
    )  # fmt: skip


@nb.njit(error_model="numpy")
def _begin(task: _Task, row: int, XL: Floats, yL: Ints, count: Ints, seen: Array, W: Floats, top1: Floats,
           top2: Floats, labelled: Array, n: int) -> None:  # fmt: skip
    """Copy the campaign as it stands at its seed set."""
    task.size[0] = count[row]
    for j in range(count[row]):
        task.yL[0, j] = yL[row, j]
        for t in range(XL.shape[2]):
            task.XL[0, j, t] = XL[row, j, t]
    for c in range(seen.shape[1]):
        task.seen[0, c] = seen[row, c]
        for t in range(W.shape[2]):
            task.W[0, c, t] = W[row, c, t]
    for i in range(task.free.shape[1]):
        task.free[0, i] = i < n and not labelled[row, i]
        task.top1[0, i], task.top2[0, i] = top1[row, i], top2[row, i]


@nb.njit(error_model="numpy")
def _label(task: _Task, X: Floats, answers: Ints, picked: Ints, k: int, features: int) -> None:
    """Reveal the first k items of `picked`."""
    for item in picked[:k]:
        at = task.size[0]
        for t in range(features):
            task.XL[0, at, t] = X[item, t]
        task.yL[0, at] = answers[item]
        task.seen[0, answers[item]] = True
        task.free[0, item] = False
        task.size[0] = at + 1


def _entry(stamp: str) -> Callable[..., None]:
    """The kernel, with a cache on disk (see `al_gym.kernels.stamp`)."""

    @nb.njit(cache=True, nogil=True, error_model="numpy")
    def margin_rows(
        X: Floats, n_items: Ints, n_features: Ints, labelled: Array, XL: Floats, yL: Ints, count: Ints, seen: Array,
        W: Floats, top1: Floats, top2: Floats, answers: Ints, holdout: Floats, truth: Ints, held: Ints, keys: Array,
        batch: int, budget: Ints, penalty: float, tol: float, max_iter: int, rows: Ints, spent: Ints, accuracy: Array,
    ) -> None:  # fmt: skip
        _ = stamp
        task, items = _allocate(XL, seen, W, X.shape[1]), X.shape[1]
        heap, score, one = np.empty(max(batch, 1), np.int64), np.empty(items, np.float32), np.zeros(1, np.int64)
        size, strength, unused = np.zeros(1, np.int64), np.full(1, penalty, np.float32), np.empty((0, 0), np.float32)
        for g in range(len(rows)):
            row, bought = rows[g], 0
            n, size[0] = n_items[row], n_features[row]
            _begin(task, row, XL, yL, count, seen, W, top1, top2, labelled, n)
            for point in range(1, spent.shape[1]):
                k = min(batch, budget[row] - bought, n - task.size[0])
                if k > 0:
                    for i in range(items):
                        score[i] = -(task.top1[0, i] - task.top2[0, i])
                    _top_k_task(score, task.free[0], k, keys[g, point - 1], heap)
                    _label(task, X[row], answers[row], heap, k, n_features[row])
                    bought += k
                    if (
                        _fit(task.XL, task.yL, task.size, size, task.seen, task.W, strength, tol, max_iter, one, True)[
                            0
                        ]
                        < 0
                    ):
                        spent[g, 0] = -1  # float32 does not reach the tolerance
                        break
                    _score_rows(
                        X[row : row + 1], n_items[row : row + 1], size, task.seen, task.W, task.proba, task.top1,
                        task.top2, unused, task.predicted, one,
                    )  # fmt: skip
                    if not np.isfinite(task.top1[0].sum()):
                        spent[g, 0] = -1
                        break
                    hits = _hit_rows(
                        holdout[row : row + 1], truth[row : row + 1], held[row : row + 1], size, task.seen, task.W, one
                    )
                    accuracy[g, point:] = hits.sum() / held[row]
                spent[g, point] = bought

    return margin_rows


_run = _entry(sources_stamp())


def margin_curves(
    pool: Any, W: Array, answers: Array, holdout: tuple[Array, Array, Array], keys: Array, batch: int, penalty: float,
    tol: float, max_iter: int, rows: Ints, spent: Ints, accuracy: Array,
) -> None:  # fmt: skip
    """Write the curves of margin with batches of `batch` from where the campaigns `rows` stand, at their seed sets.

    Args:
        pool: `PoolArrays.numpy`. W: (block rows, classes, features + 1) float32.
        answers: (block rows, items) int64, what the oracle says.
        holdout: features, labels and true sizes. keys: (tasks, points - 1) uint64, the stream of each round.
        batch: labels a round. penalty: 1 / C. tol, max_iter: see `fit_softmax`. rows: (tasks,) int64.
        spent: (tasks, points) int64, written; -1 at point 0 for a task that needs the round by round path.
        accuracy: (tasks, points) float64, written from point 1 on; that of the last round is repeated.
    """
    p = pool
    storage = (p.X, p.n_items, p.n_features, p.labelled, p.XL, p.yL, p.count, p.seen, W, p.top1, p.top2)
    bound = min(max_iter, FLOAT32_ITER)
    _run(*storage, answers, *holdout, keys, batch, p.budget, penalty, tol, bound, rows, spent, accuracy)
