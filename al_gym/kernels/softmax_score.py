"""The scores of `al_gym.learners.softmax_score` as numba kernels: tiles of items stay in the nearest cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba as nb
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.kernels.blas import FASTMATH, gemm
from al_gym.kernels.curvature import Floats
from al_gym.kernels.elementwise import exp, log32
from al_gym.kernels.stamp import sources_stamp

Ints = NDArray[np.int64]

TILE = 128
"""Items that are scored together."""


class Tile(NamedTuple):
    """Buffers of one tile.

    Attributes:
        logit: (classes, TILE).
        best: (TILE,) largest logit; second: (TILE,) second largest; total, spread: (TILE,) sums over classes.
        winner: (TILE,) int32, place of the largest among the classes seen.
    """

    logit: Floats
    best: Floats
    second: Floats
    total: Floats
    spread: Floats
    winner: NDArray[np.int32]


@nb.njit(error_model="numpy")
def _make_tile(classes: int) -> Tile:
    item = np.zeros((4, TILE), np.float32)
    logit = np.zeros((classes, TILE), np.float32)
    return Tile(logit, item[0], item[1], item[2], item[3], np.zeros(TILE, np.int32))


@nb.njit(error_model="numpy")
def _seen_weights(seen: Floats, W: Floats, n: int, found: Ints, weights: Floats, intercept: Floats) -> int:
    """The classes seen, listed in `found`, and their weights."""
    k = 0
    for c in range(len(seen)):
        if seen[c]:
            found[k] = c
            weights[k, :n] = W[c, :n]
            intercept[k] = W[c, -1]
            k += 1
    return k


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _rank(X: Floats, weights: Floats, intercept: Floats, k: int, n: int, tile: Tile, size: int) -> None:
    """Logits of `size` items, their largest, second largest and winner."""
    z, best, second, winner = tile.logit, tile.best, tile.second, tile.winner
    gemm(False, True, k, size, n, 1, weights, weights.shape[1], X, X.shape[1], 0, z, TILE)
    for i in range(TILE):
        best[i] = -np.inf
        second[i] = -np.inf
        winner[i] = 0
    for c in range(k):
        place, shift = np.int32(c), intercept[c]
        for i in range(TILE):
            v = z[c, i] + shift
            z[c, i] = v
            winner[i] = place if v > best[i] else winner[i]
            second[i] = max(second[i], min(best[i], v))
            best[i] = max(best[i], v)


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _soften(tile: Tile, k: int) -> None:
    """Logits become probabilities: `total` is the largest, `second` the second largest, `spread` the entropy."""
    z, best, second, total, spread = tile.logit, tile.best, tile.second, tile.total, tile.spread
    for i in range(TILE):
        total[i] = 0
        spread[i] = 0
    for c in range(k):
        for i in range(TILE):
            gap = z[c, i] - best[i]
            e = exp(gap)
            z[c, i] = e
            total[i] += e
            spread[i] += e * gap
    for i in range(TILE):
        inverse = np.float32(1) / total[i]
        spread[i] = max(log32(total[i]) - spread[i] * inverse, np.float32(0))
        second[i] = exp(second[i] - best[i]) * inverse
        total[i] = inverse
    for c in range(k):
        for i in range(TILE):
            z[c, i] *= total[i]


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _score_rows(
    X: Floats, n_items: Ints, n_features: Ints, seen: Floats, W: Floats, proba: Floats, top1: Floats, top2: Floats,
    entropy: Floats, predicted: Ints, rows: Ints,
) -> None:  # fmt: skip
    classes = W.shape[1]
    tile, found = _make_tile(classes), np.empty(classes, np.int64)
    weights, intercept = np.empty((classes, X.shape[2]), np.float32), np.empty(classes, np.float32)
    for row in rows:
        n, items = n_features[row], n_items[row]
        k = _seen_weights(seen[row], W[row], n, found, weights, intercept)
        for c in range(classes):
            if not seen[row, c]:
                proba[row, c, :items] = 0
            proba[row, c, items:] = 0
        for start in range(0, items, TILE):
            size = min(TILE, items - start)
            end = start + size
            _rank(X[row, start:], weights, intercept, k, n, tile, size)
            _soften(tile, k)
            for c in range(k):
                proba[row, found[c], start:end] = tile.logit[c, :size]
            if len(top1):
                top1[row, start:end] = tile.total[:size]
            if len(top2):
                for i in range(size):
                    top2[row, start + i] = tile.second[i] if k > 1 else 0
            if len(entropy):
                entropy[row, start:end] = tile.spread[:size]
            if len(predicted):
                for i in range(size):
                    predicted[row, start + i] = found[tile.winner[i]]
        top1[row : row + 1, items:] = 0
        top2[row : row + 1, items:] = 0
        entropy[row : row + 1, items:] = 0
        predicted[row : row + 1, items:] = 0


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _hit_rows(X: Floats, y: Ints, n_items: Ints, n_features: Ints, seen: Floats, W: Floats, rows: Ints) -> Ints:
    classes = W.shape[1]
    tile, found = _make_tile(classes), np.empty(classes, np.int64)
    weights, intercept = np.empty((classes, X.shape[2]), np.float32), np.empty(classes, np.float32)
    hits = np.zeros((len(rows), classes), np.int64)
    for g in range(len(rows)):
        row = rows[g]
        n, items = n_features[row], n_items[row]
        k = _seen_weights(seen[row], W[row], n, found, weights, intercept)
        for start in range(0, items, TILE):
            size = min(TILE, items - start)
            _rank(X[row, start:], weights, intercept, k, n, tile, size)
            for i in range(size):
                winner = found[tile.winner[i]]
                if winner == y[row, start + i]:
                    hits[g, winner] += 1
    return hits


def _entries(stamp: str) -> tuple[Callable[..., None], Callable[..., Ints]]:
    """`_score_rows` and `_hit_rows` with a cache on disk; see `al_gym.kernels.stamp`."""

    @nb.njit(cache=True, nogil=True, error_model="numpy")
    def score_rows(
        X: Floats, n_items: Ints, n_features: Ints, seen: Floats, W: Floats, proba: Floats, top1: Floats, top2: Floats,
        entropy: Floats, predicted: Ints, rows: Ints,
    ) -> None:  # fmt: skip
        _ = stamp
        _score_rows(X, n_items, n_features, seen, W, proba, top1, top2, entropy, predicted, rows)

    @nb.njit(cache=True, nogil=True, error_model="numpy")
    def hit_rows(X: Floats, y: Ints, n_items: Ints, n_features: Ints, seen: Floats, W: Floats, rows: Ints) -> Ints:
        _ = stamp
        return _hit_rows(X, y, n_items, n_features, seen, W, rows)

    return score_rows, hit_rows


_score, _hit = _entries(sources_stamp())


def _all_rows(X: Tensor, rows: Tensor | None) -> Ints:
    return np.arange(len(X)) if rows is None else rows.numpy()


def score_softmax(
    X: Tensor,
    n_items: Tensor,
    n_features: Tensor,
    seen: Tensor,
    W: Tensor,
    proba: Tensor,
    top1: Tensor | None = None,
    top2: Tensor | None = None,
    entropy: Tensor | None = None,
    predicted: Tensor | None = None,
    rows: Tensor | None = None,
) -> None:
    """The numba twin of `al_gym.learners.softmax_score.score_softmax`, for tensors on the CPU."""
    nothing = torch.empty(0, 0)
    arrays = [a.numpy() for a in (X, n_items, n_features, seen, W, proba)]
    scores = [(nothing if a is None else a).numpy() for a in (top1, top2, entropy)]
    winners = (nothing.long() if predicted is None else predicted).numpy()
    _score(*arrays, *scores, winners, _all_rows(X, rows))


def accuracy_softmax(
    X: Tensor, y: Tensor, n_items: Tensor, n_features: Tensor, seen: Tensor, W: Tensor, rows: Tensor | None = None
) -> Tensor:
    """The numba twin of `al_gym.learners.softmax_score.accuracy_softmax`, for tensors on the CPU."""
    return class_hits_softmax(X, y, n_items, n_features, seen, W, rows).sum(dim=1)


def class_hits_softmax(
    X: Tensor, y: Tensor, n_items: Tensor, n_features: Tensor, seen: Tensor, W: Tensor, rows: Tensor | None = None
) -> Tensor:
    """The numba twin of `al_gym.learners.softmax_score.class_hits_softmax`, for tensors on the CPU."""
    arrays = [a.numpy() for a in (X, y, n_items, n_features, seen, W)]
    return torch.from_numpy(_hit(*arrays, _all_rows(X, rows)))
