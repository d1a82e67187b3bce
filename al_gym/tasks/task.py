"""One labelling task: a dataset, a split of it, a seed set and an oracle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import ParameterError, TaskError
from al_gym.storage import block_rows, is_large
from al_gym.streams import Stream, task_key
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.scaling import Scaler, resolve_scaling
from al_gym.tasks.split import split_rows

Initial = Literal["per-class"] | int


@dataclass(frozen=True, eq=False)
class Task:
    """A pool to query, a holdout to measure on, and a seed set.

    Attributes:
        dataset: where the items come from.
        seed: the split's seed; with the dataset's content it fixes every random choice of a campaign.
        pool: (pool items,) int64, rows of the dataset.
        holdout: (holdout items,) int64, rows of the dataset, disjoint from the pool. Validation rows in an
            environment, test rows in an evaluation; a task never holds both (promise P3).
        scaling: `standardize`, `center` or `none`.
        seed_set: (seeds,) int64, positions in the pool that are labelled before the first query.
        label_noise: probability in [0, 1) that the oracle answers with another class.
        nominal: pool and holdout size that were asked for; storage is padded to them, so that tasks of one
            environment share blocks.
    """

    dataset: Dataset
    seed: int
    pool: NDArray[np.int64]
    holdout: NDArray[np.int64]
    scaling: str
    seed_set: NDArray[np.int64]
    label_noise: float = 0.0
    nominal: tuple[int, int] = (0, 0)

    @cached_property
    def key(self) -> int:
        """64-bit key of the task's random streams."""
        return task_key(self.dataset.content_hash, self.seed)

    @cached_property
    def oracle_labels(self) -> NDArray[np.int64]:
        """(pool items,) int64: what the oracle answers, noise included."""
        return _oracle_labels(self.dataset, self.pool, self.key, self.label_noise)

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Scaled pool features, scaled holdout features, holdout labels; the scaling is fitted on the pool."""
        scaler, pool = Scaler.and_scaled(np.asarray(self.dataset.X[self.pool]), self.scaling)
        return pool, scaler(np.asarray(self.dataset.X[self.holdout])), self.dataset.y[self.holdout]

    def fill(self, out: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Write the scaled pool into `out` (pool items, features) float32; returns holdout features and labels.

        Large pools are scaled block by block in the order of the file, so that a memory map is read from one end to
        the other and no copy of the pool is made.
        """
        if not is_large(len(self.pool), self.dataset.n_features):
            out[:], holdout, labels = self.arrays()
            return holdout, labels
        place = np.full(self.dataset.n_items, -1, np.int64)
        place[self.pool] = np.arange(len(self.pool))
        scaler = Scaler.of_blocks(lambda: (block for _, block in self._pool_blocks(place)), self.scaling)
        for at, block in self._pool_blocks(place):
            out[at] = scaler(block)
        return scaler(np.asarray(self.dataset.X[self.holdout])), self.dataset.y[self.holdout]

    def _pool_blocks(self, place: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Positions in the pool and features, unscaled; `place` (items of the dataset,) has position or -1."""
        size = block_rows(self.dataset.n_features)
        for start in range(0, len(place), size):
            at = place[start : start + size]
            inside = at >= 0
            if inside.any():
                yield at[inside], np.asarray(self.dataset.X[start : start + size])[inside]

    def with_seed_set(self, seed_set: Any) -> Task:
        """The same task with another seed set: positions in the pool, each at most once.

        Raises:
            TaskError: empty, repeated or out-of-range positions.
        """
        chosen = np.asarray(seed_set, dtype=np.int64).reshape(-1)
        if (
            len(chosen) == 0
            or len(np.unique(chosen)) != len(chosen)
            or chosen.min() < 0
            or chosen.max() >= len(self.pool)
        ):
            raise TaskError(
                f"seed set {chosen.tolist()[:10]} must be distinct positions in a pool of {len(self.pool)}."
            )
        return replace(self, seed_set=chosen)


def make_task(
    dataset: Dataset,
    seed: int,
    *,
    pool_size: int = 500,
    validation_size: int | None = None,
    test_size: int | None = None,
    initial: Initial = "per-class",
    scaling: str = "auto",
    label_noise: float = 0.0,
) -> Task:
    """Split a dataset by the campaign rules of CONTRACT; `split_rows` has the details, sides and groups included.

    Args:
        dataset: at least 4 items.
        seed: non-negative.
        pool_size: pool items; 60 % of the dataset if that is fewer.
        validation_size: an environment's holdout: the next items, at most half of what follows the pool.
        test_size: an evaluation's holdout: the next items, or all that are left. Give exactly one of the two.
        initial: `per-class` for one item of each class present in the pool, or a number of items at random.
        scaling: `auto`, `standardize`, `center` or `none`.
        label_noise: probability in [0, 1) of a wrong answer.

    Raises:
        ParameterError: a size is not positive, both or neither holdout is asked for, noise out of range.
        TaskError: the dataset is too small for a pool, a holdout and a seed set.
    """
    _check_sizes(pool_size, validation_size, test_size, initial, label_noise, seed)
    pool, holdout = split_rows(dataset, seed, pool_size=pool_size, validation_size=validation_size, test_size=test_size)
    scaling = resolve_scaling(scaling, dataset.modality)
    key = task_key(dataset.content_hash, seed)
    if initial == "per-class":
        labels = _oracle_labels(dataset, pool, key, label_noise)
        seed_set = np.sort(np.unique(labels, return_index=True)[1])
    else:
        if initial >= len(pool):
            raise TaskError(
                f"{dataset.name}: a seed set of {initial} leaves nothing of a pool of {len(pool)}; lower initial."
            )
        seed_set = np.arange(initial)
    nominal = (pool_size, int(validation_size or test_size or 0))
    return Task(dataset, seed, pool, holdout, scaling, seed_set.astype(np.int64), label_noise, nominal)


def _check_sizes(
    pool_size: int, validation_size: int | None, test_size: int | None, initial: Initial, label_noise: float, seed: int
) -> None:
    sizes = {
        "pool_size": (pool_size, 2),
        "validation_size": (validation_size, 1),
        "test_size": (test_size, 1),
        "seed": (seed, 0),
    }
    for name, (value, least) in sizes.items():
        if value is not None and value < least:
            raise ParameterError(f"{name} must be at least {least}, got {value}.")
    if (validation_size is None) == (test_size is None):
        raise ParameterError("give exactly one of validation_size (environments) and test_size (evaluation).")
    if initial != "per-class" and (isinstance(initial, str) or initial < 1):
        raise ParameterError(f"initial must be 'per-class' or a positive number of items, got {initial!r}.")
    if not 0 <= label_noise < 1:
        raise ParameterError(f"label_noise must lie in [0, 1), got {label_noise}.")


def _oracle_labels(dataset: Dataset, pool: NDArray[np.int64], key: int, noise: float) -> NDArray[np.int64]:
    labels = dataset.y[pool]
    if noise == 0.0:
        return labels
    stream = Stream.of(np.array([key], np.uint64), np.zeros(1, np.int64), "label-noise")
    flip = stream.uniform(len(pool), 0)[0] < noise
    step = 1 + (stream.uniform(len(pool), 1)[0] * (dataset.n_classes - 1)).astype(np.int64)
    return np.where(flip, (labels + step) % dataset.n_classes, labels)
