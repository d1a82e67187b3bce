"""Do two datasets hold the same rows? The overlap test behind promise P4.

Copies of one dataset differ in which rows they hold, in row order, in dtype and in their constant columns
(scikit-learn's digits have three that are always 0; in UCI's optdigits, a superset of their rows, one of them varies).
Rows are therefore compared after dropping constant columns, as float32, in two ways:

* column by column, for datasets that are left with equally many columns;
* as the bag of their non-zero values, for any two: a column that is 0 throughout one dataset and not throughout the
  other changes nothing then, nor does the order of columns. Only rows with enough distinct values count, as one-hot
  rows of unrelated tables would agree by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import DatasetError, ParameterError
from al_gym.streams import mix
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import TaskDistribution

#: A row's bag of non-zero values identifies it if it holds at least this many distinct ones.
MIN_DISTINCT = 8
_CHUNK = 2048


@dataclass(frozen=True)
class Overlap:
    """Two datasets that share rows.

    Attributes:
        first: name of a dataset.
        second: name of the other one.
        shared: different rows of the smaller one that the larger one also holds.
        share: the same as a share of the smaller one's different rows, in (0, 1].
    """

    first: str
    second: str
    shared: int
    share: float


def row_keys(dataset: Dataset) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Hash every row, column by column and as a bag of non-zero values; constant columns are left out.

    Returns:
        (items,) uint64 keys of the rows with their columns in order.
        (items,) uint64 keys of the rows as bags; 0 where a row has too few distinct values to be told apart.
    """
    X = dataset.X
    varied = np.flatnonzero(np.asarray(X.max(axis=0) != X.min(axis=0)))
    column_keys = mix(np.arange(1, len(varied) + 1, dtype=np.uint64))
    aligned, bags = np.empty(len(X), np.uint64), np.empty(len(X), np.uint64)
    with np.errstate(over="ignore"):
        for start in range(0, len(X), _CHUNK):
            rows = slice(start, start + _CHUNK)
            values = np.asarray(X[rows])[:, varied].astype(np.float32) + np.float32(0)  # -0 becomes 0
            bits = values.view(np.uint32).astype(np.uint64)
            aligned[rows] = mix(mix(bits ^ column_keys).sum(axis=1, dtype=np.uint64) + np.uint64(len(varied)))
            keys = np.where(values != 0, mix(mix(bits)), np.uint64(0)).sum(axis=1, dtype=np.uint64)
            bags[rows] = np.where(_distinct_nonzero(values) >= MIN_DISTINCT, keys, np.uint64(0))
    return aligned, bags


def _distinct_nonzero(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """(items,) number of distinct non-zero values of each row."""
    ordered = np.sort(values, axis=1)
    new = np.ones(ordered.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return (new & (ordered != 0)).sum(axis=1)


def shared_rows(a: Dataset, b: Dataset) -> int:
    """Number of rows of `a` that `b` also holds, however its columns are ordered and whichever are constant."""
    (a_aligned, a_bags), (b_aligned, b_bags) = row_keys(a), row_keys(b)
    return int(_found(a_aligned, a_bags, b_aligned, b_bags).sum())


def _found(
    aligned: NDArray[np.uint64], bags: NDArray[np.uint64], b_aligned: NDArray[np.uint64], b_bags: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    return np.isin(aligned, b_aligned) | ((bags != 0) & np.isin(bags, b_bags))


def find_overlaps(datasets: list[Dataset], *, min_share: float = 0.02) -> list[Overlap]:
    """All pairs of datasets that share at least `min_share` of the smaller one's rows, largest share first.

    Repeated rows count once, or one empty image in many copies would look like an overlap.

    Args:
        datasets: with distinct names.
        min_share: in (0, 1]. Unrelated tables with few columns of few values agree in some rows by chance.
    """
    if not 0 < min_share <= 1:
        raise ParameterError(f"min_share must lie in (0, 1], got {min_share}.")
    keys = [_different(*row_keys(dataset)) for dataset in datasets]
    overlaps = []
    for i, j in sorted(_candidates(keys)):
        small, large = sorted((i, j), key=lambda k: len(keys[k][0]))
        shared = int(_found(*keys[small], *keys[large]).sum())
        share = shared / len(keys[small][0])
        if share >= min_share:
            overlaps.append(Overlap(datasets[i].name, datasets[j].name, shared, share))
    return sorted(overlaps, key=lambda overlap: -overlap.share)


def _different(aligned: NDArray[np.uint64], bags: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    unique, first = np.unique(aligned, return_index=True)
    return unique, bags[first]


def _candidates(keys: list[tuple[NDArray[np.uint64], NDArray[np.uint64]]]) -> set[tuple[int, int]]:
    """Pairs of datasets with a key in common, found by one sort of all keys."""
    pairs: set[tuple[int, int]] = set()
    for kind in (0, 1):
        unique = [np.unique(both[kind]) for both in keys]
        unique = [part[part != 0] for part in unique]
        values = np.concatenate([*unique, np.empty(0, np.uint64)])
        owner = np.repeat(np.arange(len(unique)), [len(part) for part in unique])
        order = np.lexsort((owner, values))
        values, owner = values[order], owner[order]
        for gap in range(1, len(keys)):
            same = values[gap:] == values[:-gap]
            if not same.any():
                break
            found = np.unique(np.stack([owner[:-gap][same], owner[gap:][same]]), axis=1)
            pairs.update(map(tuple, found.T.tolist()))
    return pairs


def check_no_overlap(parts: Mapping[str, TaskDistribution], *, min_share: float = 0.02) -> None:
    """Check that no family and no row stands on two sides of a meta-split (promise P4); loads every dataset.

    Args:
        parts: the sides by name, for example `TaskDistribution.split()`.
        min_share: as for `find_overlaps`.

    Raises:
        DatasetError: names the family, or the datasets with their shared rows.
    """
    sides: dict[tuple[str, str], str] = {}
    datasets: list[Dataset] = []
    for part, tasks in parts.items():
        for dataset in tasks:
            for key in (("family", dataset.family), ("dataset", dataset.name)):
                if sides.setdefault(key, part) != part:
                    raise DatasetError(
                        f"{key[0]} {key[1]!r} stands in both {sides[key]!r} and {part!r}; keep it on one side."
                    )
            datasets.append(dataset)
    side = {dataset.name: sides["dataset", dataset.name] for dataset in datasets}
    crossing = [o for o in find_overlaps(datasets, min_share=min_share) if side[o.first] != side[o.second]]
    if crossing:
        worst = "; ".join(
            f"{o.first!r} ({side[o.first]}) and {o.second!r} ({side[o.second]}) share {o.shared} different rows, "
            f"{o.share:.0%} of the smaller one"
            for o in crossing[:5]
        )
        raise DatasetError(
            f"{len(crossing)} pair(s) of datasets overlap across the split: {worst}. Give both one family."
        )
