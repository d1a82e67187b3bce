"""Numba twin of `al_gym.pool.rounds`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from al_gym.kernels.stamp import njit
from al_gym.pool.arrays import PoolArrays
from al_gym.pool.rounds import LOG_LOSS_FLOOR, PREQUENTIAL_RATE

_FLOOR, _RATE = np.float32(LOG_LOSS_FLOOR), np.float32(PREQUENTIAL_RATE)
Array = Any


@njit(cache=True, nogil=True)
def _reveal(
    X: Array, labelled: Array, y: Array, order: Array, XL: Array, yL: Array, seen: Array, count: Array, last: Array,
    n_features: Array, rows: Array, queries: Array, answers: Array,
) -> None:  # fmt: skip
    for g in range(len(rows)):
        row = rows[g]
        d, at = n_features[row], count[row]
        for j in range(queries.shape[1]):
            item = queries[g, j]
            if item < 0:
                break
            answer = answers[row, item]
            labelled[row, item] = True
            y[row, item] = answer
            order[row, at] = item
            XL[row, at, :d] = X[row, item, :d]
            yL[row, at] = answer
            seen[row, answer] = True
            at += 1
        last[row] = at - count[row]
        count[row] = at


@njit(cache=True, nogil=True)
def _close_round(
    y: Array, proba: Array, predicted: Array, previous: Array, prequential: Array, round_: Array, n_items: Array,
    rows: Array, queries: Array,
) -> None:  # fmt: skip
    for g in range(len(rows)):
        row = rows[g]
        hits, loss, batch = np.float32(0), np.float32(0), 0
        for j in range(queries.shape[1]):
            item = queries[g, j]
            if item < 0:
                break
            answer = y[row, item]
            hits += np.float32(predicted[row, item] == answer)
            loss -= np.float32(np.log(max(proba[row, answer, item], _FLOOR)))
            batch += 1
        hits /= np.float32(max(batch, 1))
        loss /= np.float32(max(batch, 1))
        p = prequential[row]
        p[2] = hits if round_[row] == 0 else p[2] + _RATE * (hits - p[2])
        p[3] = loss if round_[row] == 0 else p[3] + _RATE * (loss - p[3])
        p[0], p[1] = hits, loss
        previous[row, : n_items[row]] = predicted[row, : n_items[row]]
        round_[row] += 1


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _first_unsound(top1: Array, n_items: Array, rows: Array) -> int:
    for g in range(len(rows)):
        total = np.float32(0)
        for item in range(n_items[rows[g]]):
            total += top1[rows[g], item]
        if not np.isfinite(total):
            return g
    return -1


@njit(cache=True, nogil=True)
def _impossible(labelled: Array, n_items: Array, rows: Array, queries: Array, k: Array, wrong: Array) -> None:
    for g in range(len(rows)):
        row = rows[g]
        for j in range(queries.shape[1]):
            item = queries[g, j]
            if (item >= 0) != (j < k[g]):
                wrong[g] = True
            elif item >= 0:
                if item >= n_items[row] or labelled[row, item]:
                    wrong[g] = True
                for other in range(j):
                    if queries[g, other] == item:
                        wrong[g] = True


def reveal(pool: PoolArrays, rows: Tensor, queries: Tensor, answers: Tensor) -> None:
    """See `al_gym.pool.rounds.reveal`."""
    p = pool.numpy
    known = (p.X, p.labelled, p.y, p.order, p.XL, p.yL, p.seen, p.count, p.last_batch, p.n_features)
    _reveal(*known, rows.numpy(), queries.numpy(), answers.numpy())


def close_round(pool: PoolArrays, rows: Tensor, queries: Tensor) -> None:
    """See `al_gym.pool.rounds.close_round`."""
    p = pool.numpy
    known = (p.y, p.proba, p.predicted, p.previous, p.prequential, p.round, p.n_items)
    _close_round(*known, rows.numpy(), queries.numpy())


def first_unsound(pool: PoolArrays, rows: Tensor) -> int:
    """See `al_gym.pool.rounds.first_unsound`."""
    return int(_first_unsound(pool.numpy.top1, pool.numpy.n_items, rows.numpy()))


def impossible(pool: PoolArrays, rows: Tensor, queries: Tensor, k: Tensor) -> Tensor:
    """See `al_gym.pool.rounds.impossible`."""
    wrong = np.zeros(len(rows), np.bool_)
    _impossible(pool.numpy.labelled, pool.numpy.n_items, rows.numpy(), queries.numpy(), k.numpy(), wrong)
    return torch.from_numpy(wrong)
