"""L-BFGS of one softmax fit: see `al_gym.learners.softmax_fit` for the method, `softmax_fit` here for the two forms."""

from __future__ import annotations

import numba as nb
import numpy as np

from al_gym.kernels.blas import FASTMATH, INLINED
from al_gym.kernels.curvature import Preconditioner, factor_features, factor_items
from al_gym.kernels.elementwise import exp
from al_gym.kernels.product import Floats, product
from al_gym.kernels.softmax_buffers import CHANGES, PAIRED, STEPS, D, E, Fit, G, P, Q, T, V, Z
from al_gym.learners.softmax_fit import CURVATURE_FLOOR, LINE_SEARCH_SLOPE, LINE_SEARCH_STEPS, MEMORY, REFRESH

START_STEPS = 3
"""Refinements that turn warm-start weights into coefficients of the items."""


@nb.njit(**INLINED)
def dot(a: Floats, b: Floats) -> float:
    """The inner product of two vectors."""
    total = a.dtype.type(0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@nb.njit(**INLINED)
def _add(share: float, a: Floats, b: Floats) -> None:
    """B += share * a."""
    factor = a.dtype.type(share)
    for i in range(a.size):
        b[i] += factor * a[i]


@nb.njit(**INLINED)
def _scale(share: float, a: Floats, b: Floats) -> None:
    """B = share * a."""
    factor = a.dtype.type(share)
    for i in range(a.size):
        b[i] = factor * a[i]


@nb.njit(**INLINED)
def _subtract_from(a: Floats, b: Floats) -> None:
    """B = a - b."""
    for i in range(a.size):
        b[i] = a[i] - b[i]


@nb.njit(**INLINED)
def add_intercept(fit: Fit, vector: Floats, logits: Floats, out: Floats) -> None:
    """`out` = logits plus the intercepts of `vector`."""
    for c in range(fit.classes):
        shift = vector[fit.classes * fit.stride + c]
        for i in range(fit.items):
            out[c, i] = logits[c, i] + shift


@nb.njit(**INLINED)
def map_logits(fit: Fit, vector: Floats, out: Floats) -> None:
    """`out` = coefficients @ F, without intercepts."""
    product(fit.classes, fit.n, fit.width, vector, fit.stride, fit.F, fit.width, False, out, fit.width)


@nb.njit(**INLINED)
def _exponentials(
    z: Floats, q: Floats, step: float, binary: bool, p: Floats, top: Floats, norm: Floats, first: Floats
) -> None:
    """Write p = exp(z + step q - top), with `top` the largest of an item; norm = their sums, first = those of p q.

    With `binary` one more class has the logit 0.
    """
    for i in range(z.shape[1]):
        top[i] = z[0, i] + step * q[0, i]
        first[i] = 0
    if binary:
        for i in range(z.shape[1]):
            top[i] = max(top[i], z.dtype.type(0))
            norm[i] = exp(-top[i])
    else:
        for i in range(z.shape[1]):
            norm[i] = 0
    for c in range(1, len(z)):
        for i in range(z.shape[1]):
            top[i] = max(top[i], z[c, i] + step * q[c, i])
    for c in range(len(z)):
        for i in range(z.shape[1]):
            e = exp(z[c, i] + step * q[c, i] - top[i])
            p[c, i] = e
            norm[i] += e
            first[i] += e * q[c, i]


@nb.njit(**INLINED)
def evaluate(fit: Fit, t: float) -> float:
    """The mean of Q under the softmax at Z + t Q, summed over items; leaves exponentials in P."""
    z, q, p = fit.logit[Z], fit.logit[Q], fit.logit[P]
    top, norm, first = fit.item[0], fit.item[1], fit.item[2]
    _exponentials(z, q, z.dtype.type(t), fit.binary, p, top, norm, first)
    slope = z.dtype.type(0)
    for i in range(fit.items):
        norm[i] = 1 / norm[i]
        slope += first[i] * norm[i]
    for i in range(fit.items, fit.width):
        norm[i] = 0
    return slope


@nb.njit(**INLINED)
def _moments(p: Floats, q: Floats, first: Floats, second: Floats) -> None:
    """Sums of p q and p q^2 over classes."""
    for i in range(p.shape[1]):
        first[i] = 0
        second[i] = 0
    for c in range(len(p)):
        for i in range(p.shape[1]):
            pq = p[c, i] * q[c, i]
            first[i] += pq
            second[i] += pq * q[c, i]


@nb.njit(**INLINED)
def _bend(fit: Fit, residuals: bool) -> float:
    """The variance of Q, summed over items, under the residuals in P or under the exponentials that `evaluate` left."""
    q, norm, first, second = fit.logit[Q], fit.item[1], fit.item[2], fit.item[3]
    _moments(fit.logit[P], q, first, second)
    bend = q.dtype.type(0)
    if residuals:
        for i in range(fit.items):
            own = q[fit.label[i], i] if fit.label[i] >= 0 else q.dtype.type(0)
            bend += second[i] - first[i] * (first[i] + 2 * own)
    else:
        for i in range(fit.items):
            mean = first[i] * norm[i]
            bend += second[i] * norm[i] - mean * mean
    return bend


@nb.njit(**INLINED)
def _weigh(p: Floats, total: Floats, square: Floats, weight: Floats) -> None:
    """Curvature of each item: the mean of p (1 - p) over classes, weighted by itself."""
    for i in range(p.shape[1]):
        total[i] = 1e-30
        square[i] = 0
    for c in range(len(p)):
        for i in range(p.shape[1]):
            q = p[c, i] * (1 - p[c, i])
            total[i] += q
            square[i] += q * q
    for i in range(p.shape[1]):
        weight[i] = max(square[i] / total[i], weight.dtype.type(CURVATURE_FLOOR))


@nb.njit(**INLINED)
def _normalise(fit: Fit) -> None:
    """Exponentials in P become probabilities."""
    p, norm = fit.logit[P], fit.item[1]
    for c in range(fit.classes):
        for i in range(fit.width):
            p[c, i] *= norm[i]


@nb.njit(**INLINED)
def factor(fit: Fit, pre: Preconditioner) -> None:
    """The preconditioner at the probabilities in P."""
    _weigh(fit.logit[P], fit.item[2], fit.item[3], pre.weight[0])
    if fit.span:
        factor_items(pre, fit.F, fit.items, fit.penalty)
    else:
        factor_features(pre, fit.F, fit.rows, fit.items, fit.n, fit.penalty)


@nb.njit(**INLINED)
def _gradient(fit: Fit) -> None:
    """The gradient from the probabilities in P, which become residuals."""
    p, g = fit.logit[P], fit.vector[G]
    size = fit.classes * fit.stride
    for i in range(fit.items):
        if fit.label[i] >= 0:
            p[fit.label[i], i] -= 1
    if fit.span:
        _scale(1.0, p.reshape(-1), g[:size])
    else:
        product(fit.classes, fit.items, fit.stride, p, fit.width, fit.rows, fit.stride, False, g, fit.stride)
    _add(fit.penalty, fit.vector[V, :size], g[:size])
    for c in range(fit.classes):
        total = p.dtype.type(0)
        for i in range(fit.width):
            total += p[c, i]
        g[size + c] = total


@nb.njit(**INLINED)
def _precondition(fit: Fit, pre: Preconditioner) -> None:
    """D = inverse preconditioner applied to D, and E from D."""
    d, u, stride, size = fit.vector[D], fit.vector[T], fit.stride, fit.classes * fit.stride
    product(fit.classes, fit.n, stride, d, stride, pre.inverse, stride, False, u, stride)
    for c in range(fit.classes):
        row = d[c * stride : (c + 1) * stride]
        shift = (d[size + c] - dot(pre.column[1], row)) / pre.column[2, 0]
        d[size + c] = shift
        _scale(1.0, u[c * stride : (c + 1) * stride], row)
        _add(-shift, pre.column[0], row)
    if fit.span:
        e = fit.vector[E]
        map_logits(fit, d, e)
        for c in range(fit.classes):
            e[size + c] = d[size + c]


@nb.njit(**INLINED)
def _direction(fit: Fit, pre: Preconditioner, stored: int) -> float:
    """D and E = the L-BFGS direction (two-loop recursion); returns the slope along it."""
    vector, rho, share = fit.vector, fit.loop[0], fit.loop[1]
    d, paired, e = vector[D], PAIRED if fit.span else STEPS, vector[E if fit.span else D]
    _scale(-1.0, vector[G], d)
    oldest = max(0, stored - MEMORY)
    for age in range(stored - 1, oldest - 1, -1):
        j = age % MEMORY
        share[j] = rho[j] * dot(vector[paired + j], d)
        _add(-share[j], vector[CHANGES + j], d)
    _precondition(fit, pre)
    for age in range(oldest, stored):
        j = age % MEMORY
        rest = share[j] - rho[j] * dot(vector[CHANGES + j], e)
        _add(rest, vector[STEPS + j], d)
        if fit.span:
            _add(rest, vector[PAIRED + j], e)
    return dot(e, vector[G])


@nb.njit(**INLINED)
def _line_search(fit: Fit, slope: float) -> float:
    """Step at which the slope along the direction has nearly vanished; P: residuals before, its exponentials after.

    Newton's step from the curvature at the start is nearly always it, so that the exponentials are taken once.
    """
    size, q = fit.classes * fit.stride, fit.logit[Q]
    e = fit.vector[E if fit.span else D, :size]
    quadratic, linear = fit.penalty * dot(e, fit.vector[D, :size]), fit.penalty * dot(e, fit.vector[V, :size])
    for i in range(fit.items):
        if fit.label[i] >= 0:
            linear -= q[fit.label[i], i]
    t, low, high = -slope / max(_bend(fit, True) + quadratic, 1e-30), 0.0, np.inf
    for trial in range(LINE_SEARCH_STEPS):
        here = evaluate(fit, t) + linear + t * quadratic
        if abs(here) <= LINE_SEARCH_SLOPE * abs(slope) or trial == LINE_SEARCH_STEPS - 1:
            break
        if here < 0:
            low = t
        else:
            high = t
        guess = min(t - here / max(_bend(fit, False) + quadratic, 1e-30), 4 * t)
        t = guess if low < guess < high else 0.5 * (low + min(high, 4 * t))
    return t


@nb.njit(**INLINED)
def _move(fit: Fit, t: float, stored: int) -> None:
    """Take the step t and remember it; the old gradient waits in the place of its change."""
    vector, j = fit.vector, stored % MEMORY
    _scale(t, vector[D], vector[STEPS + j])
    if fit.span:
        _scale(t, vector[E], vector[PAIRED + j])
    _scale(1.0, vector[G], vector[CHANGES + j])
    _add(1.0, vector[STEPS + j], vector[V])
    _add(t, fit.logit[Q].reshape(-1), fit.logit[Z].reshape(-1))


@nb.njit(**INLINED)
def _remember(fit: Fit, stored: int) -> int:
    """Turn the old gradient into its change; returns the number of pairs, grown if this one is of use."""
    vector, j = fit.vector, stored % MEMORY
    change = vector[CHANGES + j]
    _subtract_from(vector[G], change)
    product = dot(vector[(PAIRED if fit.span else STEPS) + j], change)
    if product <= 0:
        return stored
    fit.loop[0, j] = 1 / product
    return stored + 1


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _start_span(fit: Fit, pre: Preconditioner) -> None:
    """Coefficients V of the items whose logits fit those in Q (without intercept): ridge regression, refined."""
    v, e, u, weight, q = fit.vector[V], fit.vector[E], fit.vector[T], pre.weight[0], fit.logit[Q]
    k, items, stride = fit.classes, fit.items, fit.stride
    for step in range(START_STEPS + 1):
        for c in range(k):
            for i in range(items):
                e[c * stride + i] = -q[c, i]
        product(k, items, stride, v, stride, fit.F, stride, True, e, stride)
        if step < START_STEPS:
            for c in range(k):
                for i in range(items):
                    u[c * stride + i] = -e[c * stride + i] * weight[i]
            product(k, items, stride, u, stride, pre.inverse, stride, True, v, stride)
    p = fit.logit[P]
    for c in range(k):
        for i in range(items):
            p[c, i] = q[c, i] + e[c * stride + i]
    add_intercept(fit, v, p, fit.logit[Z])


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def solve(fit: Fit, pre: Preconditioner, target: float, max_iter: int, warm: bool) -> int:
    """Minimise from V, whose logits are in Z; a warm start over items finds V first. Returns the iterations."""
    convert, iteration, stored = fit.span and warm, np.int64(0), np.int64(0)
    evaluate(fit, 0.0)
    while True:
        _normalise(fit)
        if (iteration == 0 and stored == 0) or iteration in REFRESH:
            factor(fit, pre)
        if convert:
            convert, stored = False, np.int64(-1)
            _start_span(fit, pre)
            evaluate(fit, 0.0)
            continue
        _gradient(fit)
        stored = _remember(fit, stored) if iteration > 0 else np.int64(0)
        slope = _direction(fit, pre, stored)
        if -target <= slope <= 0 or iteration == max_iter:
            return iteration
        if not slope < 0:  # uphill by rounding, or not a number
            return max_iter
        if fit.span:
            e = fit.vector[E, : fit.classes * fit.width].reshape((fit.classes, fit.width))
            add_intercept(fit, fit.vector[D], e, fit.logit[Q])
        else:
            map_logits(fit, fit.vector[D], fit.logit[Q])
            add_intercept(fit, fit.vector[D], fit.logit[Q], fit.logit[Q])
        _move(fit, _line_search(fit, slope), stored)
        iteration += 1
