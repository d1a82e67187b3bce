"""The scores of `al_gym.learners.softmax_score` as numba kernels: tiles of items stay in the nearest cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba as nb
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.kernels.blas import FASTMATH
from al_gym.kernels.elementwise import exp, log32
from al_gym.kernels.product import HALF, Floats, product
from al_gym.kernels.stamp import sources_stamp

Ints = NDArray[np.int64]

TILE = 128
"""Items that are scored together."""


@nb.njit(error_model="numpy")
def padded(classes: int) -> int:
    """`classes` rounded up to what `product` takes."""
    return (classes + HALF - 1) // HALF * HALF


class Model(NamedTuple):
    """One linear softmax model, of the classes seen.

    Attributes:
        weights: (features, padded classes), those of the classes seen in the first columns.
        intercept: (classes,). found: (classes,), the classes seen in the first `count` places.
    """

    weights: Floats
    intercept: Floats
    found: Ints


class Tile(NamedTuple):
    """Buffers of one tile.

    Attributes:
        logit: (classes, TILE).
        turned: (TILE, padded classes), the same item-major.
        best: (TILE,) largest logit; second: (TILE,) second largest; total, spread: (TILE,) sums over classes.
        winner: (TILE,) int32, place of the largest among the classes seen.
    """

    logit: Floats
    turned: Floats
    best: Floats
    second: Floats
    total: Floats
    spread: Floats
    winner: NDArray[np.int32]


@nb.njit(error_model="numpy")
def _make_tile(classes: int) -> Tile:
    item = np.zeros((4, TILE), np.float32)
    logit = np.zeros((classes, TILE), np.float32)
    turned = np.zeros((TILE, padded(classes)), np.float32)
    return Tile(logit, turned, item[0], item[1], item[2], item[3], np.zeros(TILE, np.int32))


@nb.njit(error_model="numpy")
def _make_model(classes: int, features: int) -> Model:
    weights = np.zeros((features, padded(classes)), np.float32)
    return Model(weights, np.empty(classes, np.float32), np.empty(classes, np.int64))


@nb.njit(error_model="numpy")
def _load(seen: Floats, W: Floats, n: int, model: Model) -> int:
    """Copy the classes seen to `model`; returns how many there are."""
    k = 0
    for c in range(len(seen)):
        if seen[c]:
            model.found[k] = c
            model.intercept[k] = W[c, -1]
            for j in range(n):
                model.weights[j, k] = W[c, j]
            k += 1
    return k


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _rank(X: Floats, model: Model, k: int, n: int, tile: Tile, size: int) -> None:
    """Logits of `size` items, their largest, second largest and winner."""
    z, best, second, winner = tile.logit, tile.best, tile.second, tile.winner
    pitch, classes = X.shape[1], tile.turned.shape[1]
    product(size, n, padded(k), X, pitch, model.weights, classes, False, tile.turned, classes)
    for c in range(k):
        for i in range(size):
            z[c, i] = tile.turned[i, c]
    for i in range(TILE):
        best[i] = -np.inf
        second[i] = -np.inf
        winner[i] = 0
    for c in range(k):
        place, shift = np.int32(c), model.intercept[c]
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


@nb.njit(error_model="numpy")
def _copy(source: Floats, out: Floats) -> None:
    """Fill `out` from the start of `source` (numba's slice assignment takes seconds to compile)."""
    for i in range(out.size):
        out[i] = source[i]


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _score_rows(
    X: Floats, n_items: Ints, n_features: Ints, seen: Floats, W: Floats, proba: Floats, top1: Floats, top2: Floats,
    entropy: Floats, predicted: Ints, rows: Ints,
) -> None:  # fmt: skip
    classes = W.shape[1]
    tile, model = _make_tile(classes), _make_model(classes, X.shape[2])
    for row in rows:
        n, items = n_features[row], n_items[row]
        k = _load(seen[row], W[row], n, model)
        for c in range(classes):
            if not seen[row, c]:
                proba[row, c, :items] = 0
            proba[row, c, items:] = 0
        for start in range(0, items, TILE):
            size = min(TILE, items - start)
            _rank(X[row, start:], model, k, n, tile, size)
            _soften(tile, k)
            if k == 1:
                tile.second[:] = 0
            for c in range(k):
                _copy(tile.logit[c], proba[row, model.found[c], start : start + size])
            if len(top1):
                _copy(tile.total, top1[row, start : start + size])
            if len(top2):
                _copy(tile.second, top2[row, start : start + size])
            if len(entropy):
                _copy(tile.spread, entropy[row, start : start + size])
            if len(predicted):
                for i in range(size):
                    predicted[row, start + i] = model.found[tile.winner[i]]
        top1[row : row + 1, items:] = 0
        top2[row : row + 1, items:] = 0
        entropy[row : row + 1, items:] = 0
        predicted[row : row + 1, items:] = 0


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _hit_rows(X: Floats, y: Ints, n_items: Ints, n_features: Ints, seen: Floats, W: Floats, rows: Ints) -> Ints:
    classes = W.shape[1]
    tile, model = _make_tile(classes), _make_model(classes, X.shape[2])
    hits = np.zeros((len(rows), classes), np.int64)
    for g in range(len(rows)):
        row = rows[g]
        n, items = n_features[row], n_items[row]
        k = _load(seen[row], W[row], n, model)
        for start in range(0, items, TILE):
            size = min(TILE, items - start)
            _rank(X[row, start:], model, k, n, tile, size)
            for i in range(size):
                winner = model.found[tile.winner[i]]
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
