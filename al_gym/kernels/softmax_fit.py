"""The softmax fit of `al_gym.learners.softmax_fit` as a numba kernel: one task after the other at its true size.

The method is that of the torch twin. Where a task has fewer labelled items than about its features, the weights are
kept as coefficients of the labelled items (the optimum lies in their span), which is exact and cheaper: with K = X X',
logits are coefficients @ K, and an inner product of weights is one of coefficients and logits.
"""

from __future__ import annotations

from collections.abc import Callable

import numba as nb
import numpy as np
import torch
from torch import Tensor

from al_gym.errors import LearnerError
from al_gym.kernels.blas import INLINED, gemm
from al_gym.kernels.product import Floats, product, unowned
from al_gym.kernels.softmax_buffers import Fit, Ints, Q, V, Z, carve, room
from al_gym.kernels.softmax_solver import add_intercept, dot, solve
from al_gym.kernels.stamp import sources_stamp
from al_gym.learners.softmax_fit import DEFAULT_TOL, FLOAT32_ITER, FLOAT64_BELOW, MAX_ITER, UNSEEN_LABEL, tightened

SPAN_SHARE = 1.0
"""Coefficients of the items are used up to this number of items per feature."""
_tightened = nb.njit(error_model="numpy")(tightened)


@nb.njit(**INLINED)
def _load(fit: Fit, weights: Floats, n: int) -> bool:
    """Put the start into the buffers of a fit: F, V and the logits Z; returns whether any weight is not zero."""
    v, p, X, warm = fit.vector[V], fit.logit[Q], fit.X, False
    for j in range(n):
        for i in range(fit.items):
            fit.turned[j, i] = X[i, j]
        for i in range(fit.items, fit.width):
            fit.turned[j, i] = 0
    if fit.span:
        product(fit.items, n, fit.width, X, X.shape[1], fit.turned, fit.width, False, fit.F, fit.width)
    else:
        for i in range(fit.items):
            for j in range(n):
                fit.rows[i, j] = X[i, j]
            for j in range(n, fit.stride):
                fit.rows[i, j] = 0
    product(fit.classes, n, fit.width, weights, weights.shape[1], fit.turned, fit.width, False, p, fit.width)
    for c in range(fit.classes):
        for j in range(n):
            warm |= weights[c, j] != 0
            if not fit.span:
                v[c * fit.stride + j] = weights[c, j]
        v[fit.classes * fit.stride + c] = weights[c, -1]
    add_intercept(fit, v, p, fit.logit[Z])
    return warm


@nb.njit(**INLINED)
def _unload(fit: Fit, weights: Floats, n: int) -> None:
    """The solution as weights of features."""
    v, X = fit.vector[V], fit.X
    if fit.span:
        gemm(False, False, fit.classes, n, fit.items, 1, v, fit.stride, X, X.shape[1], 0, weights, weights.shape[1])
    for c in range(fit.classes):
        if not fit.span:
            for j in range(n):
                weights[c, j] = v[c * fit.stride + j]
        weights[c, -1] = v[fit.classes * fit.stride + c]


@nb.njit(**INLINED)
def _square(X: Floats, items: int, n: int) -> float:
    """The sum of squares of the features of the labelled items."""
    total = X.dtype.type(0)
    for i in range(items):
        total += dot(X[i, :n], X[i, :n])
    return total


@nb.njit(**INLINED)
def _classes(seen: Floats, y: Ints, found: Ints, label: Ints) -> int:
    """List the classes seen in `found`; `label` renames `y` to places in it."""
    k = 0
    for c in range(len(seen)):
        if seen[c]:
            found[k] = c
            k += 1
    for i in range(len(label)):
        label[i] = -1
        for j in range(k):
            if found[j] == y[i]:
                label[i] = j
        if label[i] < 0:
            raise LearnerError(UNSEEN_LABEL)
    return k


@nb.njit(**INLINED)
def _clear_weights(W: Floats, seen: Floats, classes: int, n: int) -> None:
    """Zero what a solution does not write: unseen classes, of `classes` (-1: of all, and features beyond n)."""
    if classes < 0:
        W[:] = 0
    for c in range(classes):
        if not seen[c]:
            for j in range(n):
                W[c, j] = 0
            W[c, -1] = 0


@nb.njit(**INLINED)
def _copy_weights(W: Floats, weights: Floats, found: Ints, k: int, n: int, store: bool) -> None:
    """Copy between the classes seen in W and the first `k` rows of `weights`; `store` writes W.

    Of two classes the first row holds the difference, half of which, with either sign, W holds.
    """
    if k == 2:
        one, other, w, half = W[found[1]], W[found[0]], weights[0], W.dtype.type(0.5)
        for j in range(n + 1):
            at = j if j < n else len(w) - 1
            if store:
                one[at] = half * w[at]
                other[at] = -half * w[at]
            else:
                w[at] = one[at] - other[at]
        return
    for r in range(k):
        here, there = (weights[r], W[found[r]]) if store else (W[found[r]], weights[r])
        for j in range(n):
            there[j] = here[j]
        there[-1] = here[-1]


def _entry(stamp: str) -> Callable[..., Ints]:
    """The kernel, with a cache on disk (see `al_gym.kernels.stamp`).

    With `refuse` it leaves a task that does not end within `max_iter` iterations or whose tolerance is out of
    float32's reach, and returns -1 for it.
    """

    @nb.njit(cache=True, nogil=True, error_model="numpy")
    def fit_rows(
        X: Floats, y: Ints, count: Ints, n_features: Ints, seen: Floats, W: Floats, penalty: Floats,
        tol: float, max_iter: int, rows: Ints, refuse: bool, n_classes: Ints,
    ) -> Ints:  # fmt: skip
        _ = stamp
        size, C = 0, W.shape[1]
        for row in rows:
            items, n = count[row], n_features[row]
            size = max(size, room(C, items, n, items <= SPAN_SHARE * n))
        owner, weights = np.empty(size, X.dtype), np.zeros((C, W.shape[2]), X.dtype)
        found, names = np.empty(C, np.int64), np.empty(y.shape[1], np.int64)
        work, labels, features = unowned(owner), unowned(names), unowned(X)
        iterations = np.zeros(len(rows), np.int64)
        for g in range(len(rows)):
            row = rows[g]
            items, n = count[row], n_features[row]
            label = labels[:items]
            k = _classes(seen[row], y[row], found, label)
            _copy_weights(W[row], weights, found, k, n, False)
            if k > 1:
                span = items <= SPAN_SHARE * n
                binary = k == 2
                if binary:
                    for i in range(items):
                        label[i] -= 1
                fit, pre = carve(work, features[row], label, 1 if binary else k, binary, n, span, penalty[row])
                reach = _tightened(tol, _square(features[row], items, n) / items, items, penalty[row])
                if not refuse or reach >= FLOAT64_BELOW:
                    warm = _load(fit, weights, n)
                    iterations[g] = solve(fit, pre, reach * reach * items * k, max_iter, warm)
                if refuse and (reach < FLOAT64_BELOW or iterations[g] >= max_iter):
                    iterations[g] = -1
                    continue
                _unload(fit, weights, n)
            _clear_weights(W[row], seen[row], n_classes[row] if len(n_classes) else -1, n)
            _copy_weights(W[row], weights, found, k, n, True)
        if size and len(names):
            owner[0], names[0] = 0, 0  # they have to live until here
        return iterations

    return fit_rows


_fit = _entry(sources_stamp())


def fit_softmax(
    XL: Tensor,
    y: Tensor,
    count: Tensor,
    n_features: Tensor,
    seen: Tensor,
    W: Tensor,
    penalty: Tensor,
    tol: float = DEFAULT_TOL,
    max_iter: int = MAX_ITER,
    rows: Tensor | None = None,
    n_classes: Tensor | None = None,
) -> Tensor:
    """The numba twin of `al_gym.learners.softmax_fit.fit_softmax`, for tensors on the CPU: same arguments and results.

    Each task is fitted at its true size, so that its result does not depend on the padding or on batch mates.
    """
    places = np.arange(len(XL)) if rows is None else rows.numpy()
    arrays = [a.numpy() for a in (XL, y, count, n_features, seen, W, penalty.to(torch.float32))]
    sizes = np.empty(0, np.int64) if n_classes is None else n_classes.numpy()
    iterations = _fit(*arrays, tol, min(max_iter, FLOAT32_ITER), places, True, sizes)
    hard = iterations < 0
    if hard.any():
        few = [a[places[hard]] for a in arrays]
        few = [a.astype(np.float64) if a.dtype == np.float32 else a for a in few]
        iterations[hard] = _fit(*few, tol, max_iter, np.arange(len(few[0])), False, sizes[:0])
        arrays[5][places[hard]] = few[5]
    return torch.from_numpy(iterations)
