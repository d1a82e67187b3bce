"""The softmax fit of `al_gym.learners.softmax_fit` as a numba kernel: one task after the other at its true size.

The method is that of the torch twin. Where a task has fewer labelled items than about its features, the weights are
kept as coefficients of the labelled items (the optimum lies in their span), which is exact and cheaper: with K = X X',
logits are coefficients @ K, and an inner product of weights is one of coefficients and logits.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import torch
from torch import Tensor

from al_gym.kernels.blas import FASTMATH, gemm
from al_gym.kernels.curvature import Floats, Preconditioner
from al_gym.kernels.softmax_buffers import Fit, Ints, P, Q, V, Z, carve, room
from al_gym.kernels.softmax_solver import add_intercept, evaluate, factor, map_logits, normalise, solve, start_span
from al_gym.learners.softmax_fit import DEFAULT_TOL, FLOAT64_BELOW, MAX_ITER

SPAN_SHARE = 1.3
"""Coefficients of the items are used up to this number of items per feature."""


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _start_features(fit: Fit, pre: Preconditioner, weights: Floats) -> None:
    """Variables, logits, probabilities and preconditioner at `weights`, over features."""
    for i in range(fit.items):
        for j in range(fit.n):
            fit.F[j, i] = fit.X[i, j]
    v = fit.vector[V]
    for c in range(fit.classes):
        v[c * fit.stride : c * fit.stride + fit.n] = weights[c, : fit.n]
        v[fit.classes * fit.stride + c] = weights[c, -1]
    map_logits(fit, v, fit.logit[P])
    add_intercept(fit, v, fit.logit[P], fit.logit[Z])
    evaluate(fit, 0.0)
    normalise(fit)
    factor(fit, pre)


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _start_items(fit: Fit, pre: Preconditioner, weights: Floats, n: int) -> None:
    """The same over coefficients of the items; `n` counts features."""
    X, pitch, v, q = fit.X, fit.X.shape[1], fit.vector[V], fit.logit[Q]
    gemm(False, True, fit.items, fit.items, n, 1, X, pitch, X, pitch, 0, fit.F, fit.width)
    gemm(False, True, fit.classes, fit.items, n, 1, weights, weights.shape[1], X, pitch, 0, q, fit.width)
    warm = False
    for c in range(fit.classes):
        v[fit.classes * fit.stride + c] = weights[c, -1]
        warm |= np.any(weights[c, :n] != 0)
    add_intercept(fit, v, q, fit.logit[Z])
    evaluate(fit, 0.0)
    normalise(fit)
    factor(fit, pre)
    if warm:
        start_span(fit, pre)
        map_logits(fit, v, fit.logit[P])
        add_intercept(fit, v, fit.logit[P], fit.logit[Z])
        evaluate(fit, 0.0)
        normalise(fit)


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _fit_task(
    X: Floats, label: Ints, n: int, weights: Floats, work: Floats, penalty: float, tol: float, max_iter: int
) -> int:
    """Fit one task: `weights` (classes seen, D + 1) holds the start, then the solution; X is (M, D)."""
    classes, items = len(weights), len(label)
    span = items <= SPAN_SHARE * n
    strength = penalty * 2 if classes == 2 else penalty
    fit, pre = carve(work, X, label, classes, items if span else n, span, strength)
    if span:
        _start_items(fit, pre, weights, n)
    else:
        _start_features(fit, pre, weights)
    iterations = solve(fit, pre, tol * tol * items * classes, max_iter)
    v, stride = fit.vector[V], fit.stride
    if span:
        gemm(False, False, classes, n, items, 1, v, stride, X, X.shape[1], 0, weights, weights.shape[1])
    for c in range(classes):
        if not span:
            weights[c, :n] = v[c * stride : c * stride + n]
        weights[c, -1] = v[classes * stride + c]
    return iterations


@nb.njit(error_model="numpy")
def _classes(seen: Floats, y: Ints, found: Ints, place: Ints, label: Ints) -> int:
    """Number the classes seen: `found` lists them, `label` renames `y`."""
    k = 0
    for c in range(len(seen)):
        place[c] = -1
        if seen[c]:
            found[k] = c
            place[c] = k
            k += 1
    for i in range(len(label)):
        if y[i] < 0 or place[y[i]] < 0:
            raise ValueError("a labelled item has a class that is not marked as seen")
        label[i] = place[y[i]]
    return k


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _fit_rows(
    X: Floats, y: Ints, count: Ints, n_features: Ints, seen: Floats, W: Floats, penalty: Floats,
    tol: float, max_iter: int, rows: Ints,
) -> Ints:  # fmt: skip
    size = 0
    for row in rows:
        classes, items, n = np.sum(seen[row]), count[row], n_features[row]
        size = max(size, room(classes, items, items if items <= SPAN_SHARE * n else n))
    C, pitch = W.shape[1], W.shape[2]
    work, weights = np.empty(size, X.dtype), np.zeros((C, pitch), X.dtype)
    found, place, labels = np.empty(C, np.int64), np.empty(C, np.int64), np.empty(y.shape[1], np.int64)
    iterations = np.zeros(len(rows), np.int64)
    for g in range(len(rows)):
        row = rows[g]
        label, n = labels[: count[row]], n_features[row]
        k = _classes(seen[row], y[row], found, place, label)
        for j in range(k):
            weights[j, :n] = W[row, found[j], :n]
            weights[j, -1] = W[row, found[j], -1]
        if k > 1:
            iterations[g] = _fit_task(X[row], label, n, weights[:k], work, penalty[row], tol, max_iter)
        W[row] = 0
        for j in range(k):
            W[row, found[j], :n] = weights[j, :n]
            W[row, found[j], -1] = weights[j, -1]
    return iterations


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
) -> Tensor:
    """The numba twin of `al_gym.learners.softmax_fit.fit_softmax`, for tensors on the CPU: same arguments and results.

    Each task is fitted at its true size, so that its result does not depend on the padding or on batch mates.
    """
    if rows is None:
        rows = torch.arange(len(XL))
    if tol >= FLOAT64_BELOW:
        arrays = [a.numpy() for a in (XL, y, count, n_features, seen, W, penalty.to(torch.float32))]
        return torch.from_numpy(_fit_rows(*arrays, tol, max_iter, rows.numpy()))
    wide = W[rows].double()
    few = (XL[rows].double(), y[rows], count[rows], n_features[rows], seen[rows], wide, penalty[rows].double())
    iterations = _fit_rows(*(a.numpy() for a in few), tol, max_iter, np.arange(len(rows)))
    W[rows] = wide.to(W.dtype)
    return torch.from_numpy(iterations)
