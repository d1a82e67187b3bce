"""Writing a round into the storage: the oracle's answers, and how well the model foresaw them.

`al_gym.kernels.rounds` is the numba twin.
"""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym.pool.arrays import PoolArrays

LOG_LOSS_FLOOR = 1e-3
PREQUENTIAL_RATE = 0.3


def reveal(pool: PoolArrays, rows: Tensor, queries: Tensor, answers: Tensor) -> None:
    """Label `queries`; counts move on, models do not.

    Args:
        pool: the block's storage. rows: (tasks,) int64.
        queries: (tasks, width) int64, -1 for none, the valid ones first.
        answers: (rows of the block, items) int64, what the oracle says.
    """
    batch = (queries >= 0).sum(dim=1)
    task, slot = torch.nonzero(queries >= 0, as_tuple=True)
    row, item = rows[task], queries[task, slot]
    place = pool.count[row] + slot
    answer = answers[row, item]
    pool.labelled[row, item] = True
    pool.y[row, item] = answer
    pool.order[row, place] = item
    pool.XL[row, place] = pool.X[row, item]
    pool.yL[row, place] = answer
    pool.seen[row, answer] = True
    pool.count[rows] += batch
    pool.last_batch[rows] = batch


def close_round(pool: PoolArrays, rows: Tensor, queries: Tensor) -> None:
    """After `reveal`, before the refit: record the prequential loss, keep the predictions, count the round.

    Args:
        pool: the block's storage, with the model that chose `queries`. rows: (tasks,) int64.
        queries: (tasks, width) int64, -1 for none.
    """
    asked = queries >= 0
    item = queries.clamp(min=0)
    answer = pool.y[rows].gather(1, item)
    p = pool.proba[rows[:, None], answer.clamp(min=0), item].clamp(min=LOG_LOSS_FLOOR)
    hit = (pool.predicted[rows].gather(1, item) == answer).to(torch.float32)
    batch = asked.sum(dim=1).clamp(min=1)
    now = torch.stack([(hit * asked).sum(1) / batch, (-p.log() * asked).sum(1) / batch], dim=1)
    before = pool.prequential[rows, 2:]
    first = (pool.round[rows] == 0)[:, None]
    mean = torch.where(first, now, before + PREQUENTIAL_RATE * (now - before))
    pool.prequential[rows] = torch.cat([now, mean], dim=1)
    pool.previous[rows] = pool.predicted[rows]
    pool.round[rows] += 1


def first_unsound(pool: PoolArrays, rows: Tensor) -> int:
    """The first of `rows` (tasks,) int64 with a largest probability that is not finite, as its place; -1 for none."""
    bad = ~torch.isfinite(pool.top1[rows].sum(dim=1))
    return int(torch.nonzero(bad)[0]) if bool(bad.any()) else -1


def impossible(pool: PoolArrays, rows: Tensor, queries: Tensor, k: Tensor) -> Tensor:
    """(tasks,) bool: not exactly `k` (tasks,) distinct unlabelled items, first, then -1."""
    asked = queries >= 0
    width = torch.arange(queries.shape[1], device=rows.device)
    wrong = (asked != (width[None, :] < k[:, None])).any(dim=1)
    ordered = torch.where(asked, queries, -1 - width).sort(dim=1).values
    wrong |= (ordered[:, 1:] == ordered[:, :-1]).any(dim=1)
    item = queries.clamp(min=0, max=pool.y.shape[1] - 1)
    taken = (queries >= pool.n_items[rows][:, None]) | pool.labelled[rows[:, None], item]
    return wrong | (taken & asked).any(dim=1)
