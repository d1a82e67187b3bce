"""The file queries.npz: every campaign's split and the rows it labelled, for a replay without al_gym."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import ParameterError
from al_gym.evaluation.files import write_atomically

Array = NDArray[Any]


@dataclass(frozen=True)
class CampaignQueries:
    """Rows of the data file that one campaign used.

    Attributes:
        pool: (pool,) integers, rows of the pool.
        test: (test,) integers, rows of the test set.
        queries: (labelled,) integers, rows in the order in which they were labelled, seed set first.
        offsets: (rounds + 1,) integers, number of labels at each round; round r has queries[:offsets[r]].
        labels: (labelled,) integers, the revealed labels as positions in the sorted distinct labels of the file;
            None unless the oracle is noisy (then the file's labels are not the ones that were revealed).

    Raises:
        ParameterError: a query is not in the pool or comes twice, test and pool overlap, offsets do not fit.
    """

    pool: Array
    test: Array
    queries: Array
    offsets: Array
    labels: Array | None = None

    def __post_init__(self) -> None:
        for name in ("pool", "test", "queries", "offsets"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.int32))
        if self.labels is not None:
            object.__setattr__(self, "labels", np.asarray(self.labels, dtype=np.int32))
            if len(self.labels) != len(self.queries):
                raise ParameterError(f"{len(self.labels)} revealed labels for {len(self.queries)} queries.")
        if len(np.unique(self.queries)) != len(self.queries):
            raise ParameterError("A row was queried twice.")
        if not np.isin(self.queries, self.pool).all():
            raise ParameterError("A queried row is not in the pool.")
        if np.isin(self.test, self.pool).any():
            raise ParameterError("Pool and test set overlap.")
        if not len(self.offsets) or self.offsets[-1] != len(self.queries) or (np.diff(self.offsets) <= 0).any():
            raise ParameterError(f"Offsets {self.offsets.tolist()} do not grow to the {len(self.queries)} queries.")


def pack_ragged(name: str, parts: Sequence[Array]) -> dict[str, Array]:
    """Several arrays of different lengths as two: their concatenation and their lengths."""
    return {name: np.concatenate(parts), f"{name}_lengths": np.array([len(part) for part in parts], dtype=np.int64)}


def unpack_ragged(name: str, arrays: Mapping[str, Array]) -> list[Array]:
    """Inverse of `pack_ragged`."""
    return np.split(arrays[name], np.cumsum(arrays[f"{name}_lengths"])[:-1])


def pack_queries(campaigns: Sequence[CampaignQueries]) -> dict[str, Array]:
    """Arrays of one unit's queries; its splits are kept apart because all policies share them."""
    arrays = {
        **pack_ragged("queries", [c.queries for c in campaigns]),
        **pack_ragged("offsets", [c.offsets for c in campaigns]),
    }
    labels = [c.labels for c in campaigns if c.labels is not None]
    if labels:
        if len(labels) != len(campaigns):
            raise ParameterError("Revealed labels must be given for every campaign of a unit or for none.")
        arrays.update(pack_ragged("labels", labels))
    return arrays


def unit_entries(
    dataset: str, policy: str, seeds: Iterable[int], arrays: Mapping[str, Array]
) -> Iterator[tuple[str, Array]]:
    """Entries DATASET/SEED/POLICY/queries, offsets (and labels under noise) of one packed unit."""
    for kind in ("queries", "offsets", "labels"):
        if kind in arrays:
            for seed, part in zip(seeds, unpack_ragged(kind, arrays), strict=True):
                yield f"{dataset}/{seed}/{policy}/{kind}", part


def split_entries(dataset: str, seeds: Iterable[int], arrays: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """Entries DATASET/SEED/pool and test of one packed set of splits."""
    for kind in ("pool", "test"):
        for seed, part in zip(seeds, unpack_ragged(kind, arrays), strict=True):
            yield f"{dataset}/{seed}/{kind}", part


def table_entries(tables: Mapping[str, tuple[Array, Array]]) -> Iterator[tuple[str, Array]]:
    """Entries DATASET/X and DATASET/y of datasets that no npz file holds as they were used."""
    for name in sorted(tables):
        X, y = tables[name]
        yield f"{name}/X", np.asarray(X)
        yield f"{name}/y", np.asarray(y)


def write_queries(path: Path, entries: Iterable[tuple[str, Array]]) -> None:
    """Write an npz file atomically, entry by entry, with equal bytes for equal entries.

    Raises:
        ParameterError: two entries have one name, or an array needs pickle to be stored.
    """
    seen: set[str] = set()

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, array in entries:
                if name in seen:
                    raise ParameterError(f"Entry {name!r} would be written twice; rename the dataset or the policy.")
                if array.dtype.hasobject:
                    raise ParameterError(
                        f"Entry {name!r} has dtype {array.dtype}; store numbers or fixed-length strings."
                    )
                seen.add(name)
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, array, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue())

    write_atomically(path, write)
