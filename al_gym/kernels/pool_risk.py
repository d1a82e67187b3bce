"""Numba twin of `al_gym.strategies.lookahead.Trial.pool_risk`: the risk of a pool after each of many refits."""

from __future__ import annotations

from collections.abc import Callable

import numba as nb
import numpy as np
import torch
from torch import Tensor

from al_gym.kernels.blas import FASTMATH, gemm
from al_gym.kernels.elementwise import log32
from al_gym.kernels.lookahead import GROUP, exponentials
from al_gym.kernels.product import Floats
from al_gym.kernels.stamp import sources_stamp

_F = np.float32


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _risks(Z: Floats, zero: Floats, E: Floats, item: Floats, entropy: bool) -> None:
    """item[2] = 1 - max p, or the entropy, of every item at logits Z (K, n)."""
    exponentials(Z, zero, _F(0), E, item)
    K, n = Z.shape
    top, inverse, risk = item[0], item[1], item[2]
    for i in range(n):
        risk[i] = -log32(inverse[i]) if entropy else 1 - inverse[i]
    if entropy:
        for c in range(K):
            for i in range(n):
                risk[i] -= E[c, i] * inverse[i] * (Z[c, i] - top[i])


def _entry(stamp: str) -> Callable[..., None]:
    """The kernel, with a cache on disk; see `al_gym.kernels.stamp`."""

    @nb.njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
    def risk(theta: Floats, X: Floats, z: Floats, outside: Floats, entropy: bool, out: Floats) -> None:
        _ = stamp
        K, refits, d = theta.shape
        n = len(X)
        room = max(1, min(refits, GROUP // (K * n)))
        Z, E = np.zeros((K, room, n), np.float32), np.zeros((K, n), np.float32)
        zero, item, before = np.zeros((K, n), np.float32), np.empty((3, n), np.float32), np.empty(n, np.float32)
        _risks(z, zero, E, item, entropy)
        for i in range(n):
            before[i] = item[2, i]
        for first in range(0, refits, room):
            size = min(room, refits - first)
            for c in range(K):
                gemm(False, True, size, n, d, 1, theta[c, first:], d, X, d, 0, Z[c], n)
            for b in range(size):
                for c in range(K):
                    for i in range(n):
                        Z[c, b, i] += z[c, i]
                    if len(outside):
                        away, there = theta[c, first + b, d - 1], outside[(first + b) // (refits // len(outside))]
                        for i in range(n):
                            Z[c, b, i] += away * there[i]
                _risks(Z[:, b], zero, E, item, entropy)
                total = 0.0
                for i in range(n):
                    total += item[2, i] - before[i]
                out[first + b] = total

    return risk


_risk_entry = _entry(sources_stamp())


def pool_risk(theta: Tensor, X: Tensor, z: Tensor, outside: Tensor | None, kind: str) -> Tensor:
    """How much the sum over a pool of the risk grows by a refit, (P,) float64.

    Args:
        theta: (classes, P, d) float32 changes of the weights, those of one item side by side.
        X: (n, d) float32 coordinates of the pool.
        z: (classes, n) float32 log-probabilities before.
        outside: (items, n) float32 what the last coordinate of an item adds along each pool item; None for nothing.
        kind: 'error' or 'entropy'.
    """
    out = torch.empty(theta.shape[1], dtype=torch.float64)
    rest = z.new_zeros(0, 0) if outside is None else outside
    arrays = [a.contiguous().numpy() for a in (theta, X, z, rest)]
    _risk_entry(*arrays, kind == "entropy", out.numpy())
    return out
