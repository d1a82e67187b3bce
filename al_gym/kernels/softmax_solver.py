"""L-BFGS of one softmax fit: see `al_gym.learners.softmax_fit` for the method, `softmax_fit` here for the two forms."""

from __future__ import annotations

import numba as nb
import numpy as np

from al_gym.kernels.blas import FASTMATH, gemm
from al_gym.kernels.curvature import Floats, Preconditioner, factor_features, factor_items
from al_gym.kernels.elementwise import exp
from al_gym.kernels.softmax_buffers import Fit, Ints
from al_gym.learners.softmax_fit import CURVATURE_FLOOR, LINE_SEARCH_SLOPE, LINE_SEARCH_STEPS, MEMORY, REFRESH

START_STEPS = 3
"""Refinements that turn warm-start weights into coefficients of the items."""


@nb.njit(fastmath=FASTMATH)
def _dot(a: Floats, b: Floats) -> float:
    x, y = a.reshape(-1), b.reshape(-1)
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@nb.njit(fastmath=FASTMATH)
def _add(share: float, a: Floats, b: Floats) -> None:
    """b += share * a."""
    x, y = a.reshape(-1), b.reshape(-1)
    factor = x.dtype.type(share)
    for i in range(x.size):
        y[i] += factor * x[i]


@nb.njit(fastmath=FASTMATH)
def logits(fit: Fit, V: Floats, b: Floats, out: Floats, items: int) -> None:
    n, width = fit.F.shape
    gemm(False, False, len(V), items, n, 1, V, V.shape[1], fit.F, width, 0, out, width)
    for c in range(len(V)):
        for i in range(items):
            out[c, i] += b[c]


@nb.njit(fastmath=FASTMATH)
def evaluate(fit: Fit, t: float, items: int) -> tuple[float, float]:
    """Sum p q and the variance of q under p, at logits Z + t Q; leaves exponentials in P and 1 / their sum in item[1]."""
    Z, Q, P = fit.Z, fit.Q, fit.P
    top, norm, first, second = fit.item
    step = Z.dtype.type(t)
    for i in range(Z.shape[1]):
        top[i] = Z[0, i] + step * Q[0, i]
        norm[i] = 0
        first[i] = 0
        second[i] = 0
    for c in range(1, len(Z)):
        for i in range(Z.shape[1]):
            top[i] = max(top[i], Z[c, i] + step * Q[c, i])
    for c in range(len(Z)):
        for i in range(Z.shape[1]):
            q = Q[c, i]
            e = exp(Z[c, i] + step * q - top[i])
            P[c, i] = e
            norm[i] += e
            first[i] += e * q
            second[i] += e * q * q
    slope, bend = Z.dtype.type(0), Z.dtype.type(0)
    for i in range(items):
        norm[i] = 1 / norm[i]
        mean = first[i] * norm[i]
        slope += mean
        bend += second[i] * norm[i] - mean * mean
    for i in range(items, Z.shape[1]):
        norm[i] = 0
    return slope, bend


@nb.njit(fastmath=FASTMATH)
def normalise(fit: Fit) -> None:
    for c in range(len(fit.P)):
        for i in range(fit.P.shape[1]):
            fit.P[c, i] *= fit.item[1, i]


@nb.njit(fastmath=FASTMATH)
def _weigh(fit: Fit, weight: Floats) -> None:
    """Curvature of each item: the mean of p (1 - p) over classes, weighted by itself."""
    total, square = fit.item[2], fit.item[3]
    total[:] = 1e-30
    square[:] = 0
    for c in range(len(fit.P)):
        for i in range(fit.P.shape[1]):
            q = fit.P[c, i] * (1 - fit.P[c, i])
            total[i] += q
            square[i] += q * q
    for i in range(weight.size):
        weight[i] = max(square[i] / total[i], weight.dtype.type(CURVATURE_FLOOR))


@nb.njit(fastmath=FASTMATH)
def _gradient(fit: Fit, X: Floats, label: Ints, penalty: float, span: bool) -> None:
    """Gradient from the probabilities in P, which become residuals."""
    P, G, V = fit.P, fit.G, fit.V
    for i in range(len(label)):
        P[label[i], i] -= 1
    if span:
        G[:] = P
    else:
        n, items = len(fit.F), len(label)
        gemm(False, False, len(P), n, items, 1, P, P.shape[1], X, X.shape[1], 0, G, G.shape[1])
    _add(penalty, V, G)
    for c in range(len(P)):
        total = P.dtype.type(0)
        for i in range(P.shape[1]):
            total += P[c, i]
        fit.gb[c] = total


@nb.njit(fastmath=FASTMATH)
def _precondition(fit: Fit, pre: Preconditioner, span: bool) -> None:
    """(D, db) = inverse preconditioner applied to (D, db), and E from D."""
    D, T, db, n, stride = fit.D, fit.T, fit.db, len(fit.F), fit.D.shape[1]
    for c in range(len(D)):
        db[c] = (db[c] - _dot(pre.k, D[c])) / pre.schur[0]
    gemm(False, False, len(D), n, n, 1, D, stride, pre.P, stride, 0, T, stride)
    D[:] = T
    for c in range(len(D)):
        _add(-db[c], pre.n, D[c])
    if span:
        gemm(False, False, len(D), n, n, 1, D, stride, fit.F, stride, 0, fit.E, stride)


@nb.njit(fastmath=FASTMATH)
def _direction(fit: Fit, pre: Preconditioner, stored: int, span: bool) -> float:
    """D, E, db = the L-BFGS direction (two-loop recursion); returns the slope along it."""
    D, E, db, rho, share = fit.D, fit.E, fit.db, fit.rho, fit.share
    for c in range(len(D)):
        db[c] = -fit.gb[c]
        for i in range(D.shape[1]):
            D[c, i] = -fit.G[c, i]
    oldest = max(0, stored - MEMORY)
    for age in range(stored - 1, oldest - 1, -1):
        j = age % MEMORY
        share[j] = rho[j] * (_dot(fit.paired[j], D) + _dot(fit.step_b[j], db))
        _add(-share[j], fit.changes[j], D)
        _add(-share[j], fit.change_b[j], db)
    _precondition(fit, pre, span)
    for age in range(oldest, stored):
        j = age % MEMORY
        rest = share[j] - rho[j] * (_dot(fit.changes[j], E) + _dot(fit.change_b[j], db))
        _add(rest, fit.steps[j], D)
        _add(rest, fit.step_b[j], db)
        if span:
            _add(rest, fit.paired[j], E)
    return _dot(E, fit.G) + _dot(db, fit.gb)


@nb.njit(fastmath=FASTMATH)
def _line_search(fit: Fit, label: Ints, slope: float, penalty: float) -> float:
    """Step at which the slope along the direction has nearly vanished; P holds its exponentials."""
    quadratic, linear = penalty * _dot(fit.E, fit.D), penalty * _dot(fit.E, fit.V)
    for i in range(len(label)):
        linear -= fit.Q[label[i], i]
    t, low, high = 1.0, 0.0, np.inf
    for trial in range(LINE_SEARCH_STEPS):
        mean, variance = evaluate(fit, t, len(label))
        here = mean + linear + t * quadratic
        if abs(here) <= LINE_SEARCH_SLOPE * abs(slope) or trial == LINE_SEARCH_STEPS - 1:
            break
        if here < 0:
            low = t
        else:
            high = t
        guess = min(t - here / max(variance + quadratic, 1e-30), 4 * t)
        t = guess if low < guess < high else 0.5 * (low + min(high, 4 * t))
    return t


@nb.njit(fastmath=FASTMATH)
def _move(fit: Fit, t: float, stored: int, span: bool) -> None:
    """Take the step t and remember it; the old gradient waits in the slot of its change."""
    j = stored % MEMORY
    step = fit.V.dtype.type(t)
    fit.steps[j][:] = step * fit.D
    fit.step_b[j][:] = step * fit.db
    if span:
        fit.paired[j][:] = step * fit.E
    fit.changes[j][:] = fit.G
    fit.change_b[j][:] = fit.gb
    _add(t, fit.D, fit.V)
    _add(t, fit.db, fit.b)
    _add(t, fit.Q, fit.Z)


@nb.njit(fastmath=FASTMATH)
def _remember(fit: Fit, stored: int) -> int:
    """Turn the old gradient into its change; returns the number of pairs, grown if this one is of use."""
    j = stored % MEMORY
    change, change_b = fit.changes[j], fit.change_b[j]
    for c in range(len(change)):
        change_b[c] = fit.gb[c] - change_b[c]
        for i in range(change.shape[1]):
            change[c, i] = fit.G[c, i] - change[c, i]
    product = _dot(fit.paired[j], change) + _dot(fit.step_b[j], change_b)
    if product <= 0:
        return stored
    fit.rho[j] = 1 / product
    return stored + 1


@nb.njit(fastmath=FASTMATH)
def factor(fit: Fit, pre: Preconditioner, X: Floats, items: int, penalty: float, span: bool) -> None:
    _weigh(fit, pre.weight)
    if span:
        factor_items(pre, fit.F, items, penalty)
    else:
        factor_features(pre, X, items, len(fit.F), penalty)


@nb.njit(fastmath=FASTMATH)
def solve(
    fit: Fit, pre: Preconditioner, X: Floats, label: Ints, penalty: float, target: float, max_iter: int, span: bool
) -> int:
    """Minimise from V and b, whose probabilities are in P and preconditioner in `pre`; returns the iterations."""
    items, stored = len(label), 0
    _gradient(fit, X, label, penalty, span)
    for iteration in range(max_iter):
        slope = _direction(fit, pre, stored, span)
        if slope >= -target:
            return iteration
        if span:
            for c in range(len(fit.Q)):
                for i in range(items):
                    fit.Q[c, i] = fit.E[c, i] + fit.db[c]
        else:
            logits(fit, fit.D, fit.db, fit.Q, items)
        t = _line_search(fit, label, slope, penalty)
        _move(fit, t, stored, span)
        normalise(fit)
        if iteration + 1 in REFRESH:
            factor(fit, pre, X, items, penalty, span)
        _gradient(fit, X, label, penalty, span)
        stored = _remember(fit, stored)
    return max_iter


@nb.njit(fastmath=FASTMATH)
def start_span(fit: Fit, pre: Preconditioner, items: int) -> None:
    """Coefficients of the items whose logits fit those in Q (without intercept): ridge regression, refined."""
    V, E, Q, T, stride = fit.V, fit.E, fit.Q, fit.T, fit.V.shape[1]
    E[:] = Q
    for _ in range(START_STEPS):
        for c in range(len(E)):
            for i in range(items):
                T[c, i] = E[c, i] * pre.weight[i]
        gemm(False, False, len(V), items, items, 1, T, stride, pre.P, stride, 1, V, stride)
        E[:] = Q
        gemm(False, False, len(V), items, items, -1, V, stride, fit.F, stride, 1, E, stride)
