"""Numba twin of the short refits of `al_gym.strategies.refits`.

Refits are handled in groups, so that each matrix product serves many of them while their logits stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba as nb
import numpy as np
import torch
from torch import Tensor

from al_gym.kernels.blas import FASTMATH, gemm
from al_gym.kernels.elementwise import exp
from al_gym.kernels.product import Floats
from al_gym.kernels.softmax_buffers import Ints
from al_gym.kernels.stamp import sources_stamp

START_STEPS = 4
LINE_STEPS = 2
GROUP = 1 << 17
"""Logits (classes x refits x items) of a group."""
_F = np.float32
_TINY = _F(1e-30)


class Model(NamedTuple):
    """The fit before the change.

    Attributes:
        X: (n, d) coordinates of the labelled items. Z, P: (K, n) their logits and probabilities.
        V: (K, d, d) covariance. ridge: (d,).
    """

    X: Floats
    Z: Floats
    P: Floats
    V: Floats
    ridge: Floats


class Items(NamedTuple):
    """Items x (m, d) with outcomes (m, T); Vx (K, m, d), s, z (K, m) as in `al_gym.strategies.refits.Added`."""

    x: Floats
    Vx: Floats
    s: Floats
    z: Floats
    outcomes: Ints


class Group(NamedTuple):
    """Buffers of a group of P refits.

    Attributes:
        theta, g, d: (K, P, d) change of the weights, gradient, direction.
        Z, Q, R: (K, P, n) logits of the labelled items, their change along the direction, residuals.
        z, q: (K, P) the same of the new item.
        E: (K, n) scratch. item: (2, n) sums over classes. c: (8, K) scratch.
    """

    theta: Floats
    g: Floats
    d: Floats
    Z: Floats
    Q: Floats
    R: Floats
    z: Floats
    q: Floats
    E: Floats
    item: Floats
    c: Floats


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _soft(z: Floats, p: Floats) -> None:
    """P = softmax(z) of one item."""
    top, total = z[0], _F(0)
    for c in range(1, len(z)):
        top = max(top, z[c])
    for c in range(len(z)):
        p[c] = exp(z[c] - top)
        total += p[c]
    for c in range(len(z)):
        p[c] /= total


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _solve(p: Floats, s: Floats, b: Floats, out: Floats) -> None:
    """Out = (I + (diag p - p p') diag s)^-1 b."""
    above, below = _F(0), _F(1)
    for c in range(len(p)):
        share = p[c] * s[c] / (1 + p[c] * s[c])
        above += share * b[c]
        below -= share * p[c]
    scale = above / max(below, _F(1e-12))
    for c in range(len(p)):
        out[c] = (b[c] + p[c] * scale) / (1 + p[c] * s[c])


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _zero(low: Any, low_slope: Any, high: Any, high_slope: Any) -> Any:
    """Where a slope that is linear from `low` to `high` vanishes, at most `high`."""
    share = low_slope / min(low_slope - high_slope, -_TINY)
    return low + (high - low) * min(max(share, _F(0)), _F(1))


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _start(z: Floats, s: Floats, outcome: int, r: Floats, w: Floats) -> None:
    """R = softmax(z - s r) - target by Newton steps; w is (5, K) scratch."""
    p, gap, step, moved, trial = w[0], w[1], w[2], w[3], w[4]
    K = len(z)
    for c in range(K):
        r[c] = 0
    for _ in range(START_STEPS):
        for c in range(K):
            trial[c] = z[c] - s[c] * r[c]
        _soft(trial, p)
        p[outcome] -= 1
        for c in range(K):
            gap[c] = r[c] - p[c]
        p[outcome] += 1
        _solve(p, s, gap, step)
        for c in range(K):
            step[c] = -step[c]
            moved[c] = r[c] + step[c]
            trial[c] = z[c] - s[c] * moved[c]
        _soft(trial, p)
        p[outcome] -= 1
        slope, full = _F(0), _F(0)
        for c in range(K):
            slope += s[c] * gap[c] * step[c]
            full += s[c] * (moved[c] - p[c]) * step[c]
        t = _zero(_F(0), slope, _F(1), full)
        for c in range(K):
            r[c] += t * step[c]


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def exponentials(Z: Floats, Q: Floats, t: Any, E: Floats, item: Floats) -> None:
    """E = exp(Z + t Q - its largest), item[1] = 1 / their sum over the classes; Z, Q, E: (K, n)."""
    K, n = Z.shape
    top, total = item[0], item[1]
    for i in range(n):
        E[0, i] = Z[0, i] + t * Q[0, i]
        top[i] = E[0, i]
    for c in range(1, K):
        for i in range(n):
            E[c, i] = Z[c, i] + t * Q[c, i]
            top[i] = max(top[i], E[c, i])
    for i in range(n):
        E[0, i] = exp(E[0, i] - top[i])
        total[i] = E[0, i]
    for c in range(1, K):
        for i in range(n):
            E[c, i] = exp(E[c, i] - top[i])
            total[i] += E[c, i]
    for i in range(n):
        total[i] = 1 / total[i]


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _slope(model: Model, w: Group, b: int, t: Any, outcome: int) -> Any:
    """Slope of the losses of refit b after a step of t."""
    K, n = model.Z.shape
    Q = w.Q[:, b]
    exponentials(w.Z[:, b], Q, t, w.E, w.item)
    total, slope = w.item[1], _F(0)
    for c in range(K):
        for i in range(n):
            slope += (w.E[c, i] * total[i] - model.P[c, i]) * Q[c, i]
    trial, p = w.c[0], w.c[1]
    for c in range(K):
        trial[c] = w.z[c, b] + t * w.q[c, b]
    _soft(trial, p)
    p[outcome] -= 1
    for c in range(K):
        slope += p[c] * w.q[c, b]
    return slope


@nb.njit(error_model="numpy")
def _which(new: Items, refit: int) -> tuple[int, int]:
    """Item and outcome of a refit."""
    tried = new.outcomes.shape[1]
    at = refit // tried
    return at, new.outcomes[at, refit - at * tried]


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _begin(model: Model, new: Items, first: int, w: Group, size: int) -> None:
    """The start of `size` refits from number `first` on: theta, Z and z."""
    K, (n, d) = len(model.Z), model.X.shape
    s, z, r, scratch, mean = w.c[0], w.c[1], w.c[2], w.c[3:], w.g[0, 0]
    for b in range(size):
        at, outcome = _which(new, first + b)
        for c in range(K):
            s[c], z[c] = new.s[c, at], new.z[c, at]
        _start(z, s, outcome, r, scratch)
        for j in range(d):
            mean[j] = 0
        for c in range(K):
            for j in range(d):
                w.theta[c, b, j] = -r[c] * new.Vx[c, at, j]
                mean[j] += w.theta[c, b, j]
        for c in range(K):
            w.z[c, b] = z[c]
            for j in range(d):
                w.theta[c, b, j] -= mean[j] / K
                w.z[c, b] += w.theta[c, b, j] * new.x[at, j]
    for c in range(K):
        gemm(False, True, size, n, d, 1, w.theta[c], d, model.X, d, 0, w.Z[c], n)
        for b in range(size):
            for i in range(n):
                w.Z[c, b, i] += model.Z[c, i]


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _directions(model: Model, new: Items, first: int, w: Group, size: int) -> None:
    """Gradients g, directions d of descent, and the changes of the logits along them, Q and q."""
    K, (n, d) = len(model.Z), model.X.shape
    zero = w.Q[:, 0]
    for b in range(size):
        exponentials(w.Z[:, b], zero, _F(0), w.E, w.item)
        for c in range(K):
            for i in range(n):
                w.R[c, b, i] = w.E[c, i] * w.item[1, i] - model.P[c, i]
    for c in range(K):
        gemm(False, False, size, d, n, 1, w.R[c], n, model.X, d, 0, w.g[c], d)
        for b in range(size):
            for j in range(d):
                w.g[c, b, j] += model.ridge[j] * w.theta[c, b, j]
        gemm(False, False, size, d, d, -1, w.g[c], d, model.V[c], d, 0, w.d[c], d)
    for b in range(size):
        at, outcome = _which(new, first + b)
        _add_new(new, at, outcome, w, b)
    for c in range(K):
        gemm(False, True, size, n, d, 1, w.d[c], d, model.X, d, 0, w.Q[c], n)


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _add_new(new: Items, at: int, outcome: int, w: Group, b: int) -> None:
    """The new item's part in gradient and direction of refit b (Woodbury), directions that sum to zero, and q."""
    K, d = len(w.z), new.x.shape[1]
    p, gap, u, share, s = w.c[0], w.c[1], w.c[2], w.c[3], w.c[4]
    for c in range(K):
        u[c], s[c] = w.z[c, b], new.s[c, at]
    _soft(u, p)
    inner = _F(0)
    for c in range(K):
        gap[c] = p[c] - (1 if c == outcome else 0)
        u[c] = -gap[c] * s[c]
        for j in range(d):
            u[c] += w.d[c, b, j] * new.x[at, j]
        inner += p[c] * u[c]
    for c in range(K):
        u[c] = p[c] * (u[c] - inner)
    _solve(p, s, u, share)
    for c in range(K):
        for j in range(d):
            w.g[c, b, j] += gap[c] * new.x[at, j]
            w.d[c, b, j] -= (gap[c] + share[c]) * new.Vx[c, at, j]
    for j in range(d):
        mean = _F(0)
        for c in range(K):
            mean += w.d[c, b, j]
        for c in range(K):
            w.d[c, b, j] -= mean / K
    for c in range(K):
        w.q[c, b] = 0
        for j in range(d):
            w.q[c, b] += w.d[c, b, j] * new.x[at, j]


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _line_search(model: Model, w: Group, b: int, outcome: int) -> Any:
    """Step of refit b along its direction, in [0, 1]."""
    slope, lean, bend = _F(0), _F(0), _F(0)
    for c in range(len(w.z)):
        for j in range(w.d.shape[2]):
            slope += w.g[c, b, j] * w.d[c, b, j]
            lean += model.ridge[j] * w.theta[c, b, j] * w.d[c, b, j]
            bend += model.ridge[j] * w.d[c, b, j] * w.d[c, b, j]
    if slope >= 0:
        return _F(0)
    low, low_slope, high, t = _F(0), slope, _F(1), _F(1)
    high_slope = lean + bend + _slope(model, w, b, t, outcome)
    for step in range(LINE_STEPS):
        t = _zero(low, low_slope, high, high_slope)
        if step + 1 < LINE_STEPS:
            here = lean + t * bend + _slope(model, w, b, t, outcome)
            if here > 0:
                high, high_slope = t, here
            else:
                low, low_slope = t, here
    return t


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _advance(model: Model, new: Items, first: int, w: Group, size: int) -> None:
    """One step of every refit of the group."""
    K, n = model.Z.shape
    for b in range(size):
        t = _line_search(model, w, b, _which(new, first + b)[1])
        for c in range(K):
            w.z[c, b] += t * w.q[c, b]
            for j in range(w.d.shape[2]):
                w.theta[c, b, j] += t * w.d[c, b, j]
            for i in range(n):
                w.Z[c, b, i] += t * w.Q[c, b, i]


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _make_group(K: int, size: int, n: int, d: int) -> Group:
    weights, logits = np.empty((2, K, size, d), np.float32), np.zeros((3, K, size, n), np.float32)
    new, theta = np.empty((2, K, size), np.float32), np.empty((K, size, d), np.float32)
    return Group(
        theta, weights[0], weights[1], logits[0], logits[1], logits[2], new[0], new[1],
        np.empty((K, n), np.float32), np.empty((2, n), np.float32), np.empty((8, K), np.float32),
    )  # fmt: skip


def _entry(stamp: str) -> Callable[..., None]:
    """The kernel, with a cache on disk; see `al_gym.kernels.stamp`."""

    @nb.njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
    def refit(
        X: Floats, Z: Floats, P: Floats, V: Floats, ridge: Floats, x: Floats, Vx: Floats, s: Floats, z: Floats,
        outcomes: Ints, steps: int, out: Floats,
    ) -> None:  # fmt: skip
        _ = stamp
        model, new, K, (n, d) = Model(X, Z, P, V, ridge), Items(x, Vx, s, z, outcomes), len(Z), X.shape
        refits = outcomes.size
        room = max(1, min(refits, GROUP // (K * max(n, d))))
        w = _make_group(K, room, n, d)
        for first in range(0, refits, room):
            size = min(room, refits - first)
            _begin(model, new, first, w, size)
            for _step in range(steps):
                _directions(model, new, first, w, size)
                _advance(model, new, first, w, size)
            for c in range(K):
                for b in range(size):
                    for j in range(d):
                        out[c, first + b, j] = w.theta[c, b, j]

    return refit


_refit_entry = _entry(sources_stamp())


def refit_with_label(
    X: Tensor,
    Z: Tensor,
    V: Tensor,
    ridge: Tensor,
    x: Tensor,
    Vx: Tensor,
    s: Tensor,
    z: Tensor,
    outcomes: Tensor,
    steps: int,
) -> Tensor:
    """The numba twin of `al_gym.strategies.refits.refit_with_label`.

    Args:
        X: (n, d) float32 coordinates of the labelled items.
        Z: (classes, n) float32, their log-probabilities.
        V: (classes, d, d) float32 covariance.
        ridge: (d,) float32.
        x: (m, d) float32 coordinates of the items.
        Vx: (classes, m, d) float32. s: (classes, m) float32, x' V x. z: (classes, m) float32 log-probabilities.
        outcomes: (m, T) int64, the labels tried.
        steps: descent steps.

    Returns:
        (classes, m * T, d) float32.
    """
    out = torch.empty(len(Z), outcomes.numel(), X.shape[1])
    arrays = [a.contiguous().numpy() for a in (X, Z, torch.softmax(Z, 0), V, ridge, x, Vx, s, z, outcomes)]
    _refit_entry(*arrays, steps, out.numpy())
    return out
