"""Which rows of a dataset become pool and holdout (CONTRACT, campaign rules)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import TaskError
from al_gym.tasks.dataset import HOLDOUT_ONLY, POOL_ONLY, Dataset

Rows = NDArray[np.int64]

#: A pool takes at most this share of a dataset.
POOL_SHARE = 0.6


def split_rows(
    dataset: Dataset, seed: int, *, pool_size: int, validation_size: int | None, test_size: int | None
) -> tuple[Rows, Rows]:
    """Rows of the pool and of the holdout, both in the order of one permutation.

    The permutation depends on the content of the features and on the seed. The pool is its first rows that may stand in
    a pool, the holdout the first ones after them that may stand in a holdout. Where the dataset has `sides`, they say
    what may; where it has `groups`, whole groups go to one side: in random order to the pool's until that holds 60 % of
    the rows, and at least one to the holdout's. Labels play no part.

    Args:
        dataset: at least 4 items. seed: non-negative. pool_size: pool items, at most 60 % of the dataset.
        validation_size: an environment's holdout, at most half of what could be held out; or else
        test_size: an evaluation's holdout.

    Raises:
        TaskError: too few rows on one side.
    """
    n = dataset.n_items
    words = np.frombuffer(dataset.content_hash[:16], dtype=np.uint32).tolist()
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 1, *words])))
    order = rng.permutation(n)
    size = min(pool_size, int(POOL_SHARE * n))
    if dataset.sides is None and dataset.groups is None:
        pool, rest = order[:size], order[size:]
    else:
        for_pool, for_holdout = _sides(dataset, rng)
        pool = order[for_pool[order]][:size]
        free = for_holdout.copy()
        free[pool] = False
        rest = order[free[order]]
    holdout = rest[: test_size if validation_size is None else min(validation_size, len(rest) // 2)]
    if len(pool) < 2 or len(holdout) < 1:
        bound = "" if dataset.sides is None and dataset.groups is None else ", or free rows from their side or group"
        raise TaskError(
            f"{dataset.name}: {n} items are too few for a pool of 2 and a holdout of 1; use a larger dataset{bound}."
        )
    return pool, holdout


def _sides(dataset: Dataset, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows may stand in the pool, and which in the holdout, by side or group; both (items,) bool."""
    if dataset.sides is not None:
        return dataset.sides != HOLDOUT_ONLY, dataset.sides != POOL_ONLY
    assert dataset.groups is not None
    _, group, size = np.unique(dataset.groups, return_inverse=True, return_counts=True)
    turn = rng.permutation(len(size))
    before = np.cumsum(size[turn]) - size[turn]
    in_pool = np.zeros(len(size), np.bool_)
    in_pool[turn[:-1]] = before[:-1] < int(POOL_SHARE * dataset.n_items)
    return in_pool[group.reshape(-1)], ~in_pool[group.reshape(-1)]
