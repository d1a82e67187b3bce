"""The scores of `al_gym.learners.softmax_score` as numba kernels: tiles of items stay in the nearest cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba as nb
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.kernels.blas import FASTMATH, INLINED
from al_gym.kernels.elementwise import exp, log32
from al_gym.kernels.product import HALF, Floats, product
from al_gym.kernels.stamp import sources_stamp
from al_gym.pool.tiles import TILE

Ints = NDArray[np.int64]


@nb.njit(error_model="numpy")
def padded(classes: int) -> int:
    """`classes` rounded up to what `product` takes."""
    return (classes + HALF - 1) // HALF * HALF


class Model(NamedTuple):
    """One linear softmax model, of the classes seen.

    Attributes:
        weights: (classes, features), those of the classes seen in the first rows.
        turned: (features, padded classes), the same feature-major; for features that are not in tiles.
        intercept: (classes,). found: (classes,) int32, the classes seen in the first `count` places.
    """

    weights: Floats
    turned: Floats
    intercept: Floats
    found: NDArray[np.int32]


class Tile(NamedTuple):
    """Buffers of one tile.

    Attributes:
        logit: (classes, TILE).
        turned: (TILE, padded classes), the same item-major; for features that are not in tiles.
        best: (TILE,) largest logit; second: (TILE,) second largest; total, spread: (TILE,) sums over classes.
        winner: (TILE,) int32, class of the largest.
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
    weights, turned = np.zeros((classes, features), np.float32), np.zeros((features, padded(classes)), np.float32)
    return Model(weights, turned, np.empty(classes, np.float32), np.empty(classes, np.int32))


@nb.njit(error_model="numpy")
def _load(seen: Floats, W: Floats, n: int, tiled: bool, model: Model) -> int:
    """Copy the classes seen to `model`; returns how many there are."""
    k = 0
    for c in range(len(seen)):
        if seen[c]:
            model.found[k] = c
            model.intercept[k] = W[c, -1]
            if tiled:
                for j in range(n):
                    model.weights[k, j] = W[c, j]
            else:
                for j in range(n):
                    model.turned[j, k] = W[c, j]
            k += 1
    return k


@nb.njit(**INLINED)
def _logits(X: Floats, start: int, model: Model, k: int, n: int, tile: Tile, size: int) -> None:
    """`tile.logit` of `size` items from `start` on, without intercepts; X is one row of the block."""
    z = tile.logit
    if X.ndim == 3:
        product(k, n, TILE, model.weights, model.weights.shape[1], X[start // TILE], TILE, False, z, TILE)
    else:
        classes = tile.turned.shape[1]
        product(size, n, padded(k), X[start:], X.shape[1], model.turned, classes, False, tile.turned, classes)
        for c in range(k):
            for i in range(size):
                z[c, i] = tile.turned[i, c]


@nb.njit(**INLINED)
def _rank(model: Model, k: int, tile: Tile) -> None:
    """Add the intercepts; the largest and second largest logits, and the winner."""
    z, best, second, winner = tile.logit, tile.best, tile.second, tile.winner
    for i in range(TILE):
        z[0, i] += model.intercept[0]
        best[i] = z[0, i]
        second[i] = -np.inf
        winner[i] = model.found[0]
    for c in range(1, k):
        place, shift = model.found[c], model.intercept[c]
        for i in range(TILE):
            v = z[c, i] + shift
            z[c, i] = v
            winner[i] = place if v > best[i] else winner[i]
            second[i] = max(second[i], min(best[i], v))
            best[i] = max(best[i], v)


@nb.njit(**INLINED)
def _soften(tile: Tile, k: int) -> None:
    """Logits become exponentials; `total` is the largest probability, `second` the next, `spread` the entropy."""
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


@nb.njit(**INLINED)
def _copy(source: Floats, out: Floats) -> None:
    """Fill `out` from the start of `source` (numba's slice assignment takes seconds to compile)."""
    for i in range(out.size):
        out[i] = source[i]


@nb.njit(**INLINED)
def _multiply(a: Floats, b: Floats, out: Floats) -> None:
    """Fill `out` with products of the first entries."""
    for i in range(out.size):
        out[i] = a[i] * b[i]


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _score_rows(
    X: Floats, n_items: Ints, n_features: Ints, seen: Floats, W: Floats, proba: Floats, top1: Floats, top2: Floats,
    entropy: Floats, predicted: Ints, rows: Ints, n_classes: Ints,
) -> None:  # fmt: skip
    classes = W.shape[1]
    tile, model = _make_tile(classes), _make_model(classes, W.shape[2] - 1)
    for row in rows:
        n, items = n_features[row], n_items[row]
        k = _load(seen[row], W[row], n, X.ndim == 4, model)
        for c in range(n_classes[row] if len(n_classes) else classes):
            if not seen[row, c]:
                proba[row, c, :items] = 0
            proba[row, c, items:] = 0
        for start in range(0, items, TILE):
            size = min(TILE, items - start)
            _logits(X[row], start, model, k, n, tile, size)
            _rank(model, k, tile)
            _soften(tile, k)
            if k == 1:
                tile.second[:] = 0
            for c in range(k):
                _multiply(tile.logit[c], tile.total, proba[row, model.found[c], start : start + size])
            if len(top1):
                _copy(tile.total, top1[row, start : start + size])
            if len(top2):
                _copy(tile.second, top2[row, start : start + size])
            if len(entropy):
                _copy(tile.spread, entropy[row, start : start + size])
            if len(predicted):
                _copy(tile.winner, predicted[row, start : start + size])
        top1[row : row + 1, items:] = 0
        top2[row : row + 1, items:] = 0
        entropy[row : row + 1, items:] = 0
        predicted[row : row + 1, items:] = 0


@nb.njit(**INLINED)
def _count_hits(winner: NDArray[np.int32], y: Ints, model: Model, k: int, hits: Ints) -> None:
    """Add to `hits` how many items have their label, `y`, for a winner, by class; `winner` is overwritten."""
    for i in range(y.size):
        winner[i] = winner[i] if winner[i] == y[i] else -1
    for c in range(k):
        count, place = np.int32(0), model.found[c]
        for i in range(y.size):
            count += np.int32(winner[i] == place)
        hits[place] += count


@nb.njit(fastmath=FASTMATH, error_model="numpy")
def _hit_rows(X: Floats, y: Ints, n_items: Ints, n_features: Ints, seen: Floats, W: Floats, rows: Ints) -> Ints:
    classes = W.shape[1]
    tile, model = _make_tile(classes), _make_model(classes, W.shape[2] - 1)
    hits = np.zeros((len(rows), classes), np.int64)
    for g in range(len(rows)):
        row = rows[g]
        n, items = n_features[row], n_items[row]
        k = _load(seen[row], W[row], n, X.ndim == 4, model)
        for start in range(0, items, TILE):
            size = min(TILE, items - start)
            _logits(X[row], start, model, k, n, tile, size)
            _rank(model, k, tile)
            _count_hits(tile.winner, y[row, start : start + size], model, k, hits[g])
    return hits


def _entries(stamp: str) -> tuple[Callable[..., None], Callable[..., Ints]]:
    """`_score_rows` and `_hit_rows` with a cache on disk; see `al_gym.kernels.stamp`."""

    @nb.njit(cache=True, nogil=True, error_model="numpy")
    def score_rows(
        X: Floats, n_items: Ints, n_features: Ints, seen: Floats, W: Floats, proba: Floats, top1: Floats, top2: Floats,
        entropy: Floats, predicted: Ints, rows: Ints, n_classes: Ints,
    ) -> None:  # fmt: skip
        _ = stamp
        _score_rows(X, n_items, n_features, seen, W, proba, top1, top2, entropy, predicted, rows, n_classes)

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
    n_classes: Tensor | None = None,
) -> None:
    """The numba twin of `al_gym.learners.softmax_score.score_softmax`, for tensors on the CPU.

    X may also lie in tiles, (rows, tiles, features, 64): see `al_gym.pool.tiles`. That is faster.
    """
    nothing = torch.empty(0, 0)
    arrays = [a.numpy() for a in (X, n_items, n_features, seen, W, proba)]
    scores = [(nothing if a is None else a).numpy() for a in (top1, top2, entropy)]
    winners = (nothing.long() if predicted is None else predicted).numpy()
    sizes = np.empty(0, np.int64) if n_classes is None else n_classes.numpy()
    _score(*arrays, *scores, winners, _all_rows(X, rows), sizes)


def accuracy_softmax(
    X: Tensor, y: Tensor, n_items: Tensor, n_features: Tensor, seen: Tensor, W: Tensor, rows: Tensor | None = None
) -> Tensor:
    """The numba twin of `al_gym.learners.softmax_score.accuracy_softmax`, for tensors on the CPU."""
    return class_hits_softmax(X, y, n_items, n_features, seen, W, rows).sum(dim=1)


def class_hits_softmax(
    X: Tensor, y: Tensor, n_items: Tensor, n_features: Tensor, seen: Tensor, W: Tensor, rows: Tensor | None = None
) -> Tensor:
    """The numba twin of `al_gym.learners.softmax_score.class_hits_softmax`; X as for `score_softmax`."""
    arrays = [a.numpy() for a in (X, y, n_items, n_features, seen, W)]
    return torch.from_numpy(_hit(*arrays, _all_rows(X, rows)))
