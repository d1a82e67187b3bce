"""A collection of datasets that can be listed, sampled, filtered and split by family."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from al_gym.errors import DatasetError, ParameterError, UnknownNameError
from al_gym.tasks.cache import DatasetCache
from al_gym.tasks.dataset import Dataset

PARTS = ("train", "valid", "test")
CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Entry:
    """A dataset that is loaded when it is asked for.

    Attributes:
        name: the name that the loaded dataset has.
        family: the family that the loaded dataset has.
        load: takes nothing and returns the dataset, the same one each time; picklable (a module's function or a
            `functools.partial` of one) if the distribution is to be pickled.
    """

    name: str
    family: str
    load: Callable[[], Dataset]


@dataclass(frozen=True)
class _Held:
    """Loader of a dataset that is in memory already."""

    dataset: Dataset

    def __call__(self) -> Dataset:
        return self.dataset


class TaskDistribution:
    """Datasets by name, loaded lazily; `sample` draws one uniformly.

    Args:
        entries: datasets in memory, or entries that load one; names are unique.
        splits: a fixed meta-split, part name to dataset names; without it `part` splits by a hash of the family.
        loaded: datasets of lazy entries that are in memory already and are kept as if just loaded.
        cache_bytes: loaded datasets are kept up to this many bytes. Parts and filtered views share the store.

    Raises:
        ParameterError: a name twice, or a fixed split that puts one family on two sides.
        UnknownNameError: a fixed split that names a dataset which is not here.
    """

    def __init__(
        self,
        entries: Iterable[Dataset | Entry],
        *,
        splits: Mapping[str, Sequence[str]] | None = None,
        loaded: Iterable[Dataset] = (),
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._entries: dict[str, Entry] = {}
        for item in entries:
            entry = Entry(item.name, item.family, _Held(item)) if isinstance(item, Dataset) else item
            if entry.name in self._entries:
                raise ParameterError(f"two datasets are called {entry.name!r}; rename one.")
            self._entries[entry.name] = entry
        self._names = tuple(self._entries)
        self._cache = DatasetCache(cache_bytes)
        for dataset in loaded:
            self._cache.put(self._entry(dataset.name).name, dataset)
        self._splits = None if splits is None else {part: tuple(names) for part, names in splits.items()}
        self._check_splits()

    def _check_splits(self) -> None:
        side: dict[str, str] = {}
        for part, names in (self._splits or {}).items():
            for name in names:
                family = self._entry(name).family
                if side.setdefault(family, part) != part:
                    raise ParameterError(
                        f"family {family!r} stands in both {side[family]!r} and {part!r} of the split."
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """Dataset names, in the order given."""
        return self._names

    @property
    def families(self) -> dict[str, str]:
        """Family of each dataset, by dataset name."""
        return {entry.name: entry.family for entry in self._entries.values()}

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Dataset]:
        return (self.get(name) for name in self._names)

    def __repr__(self) -> str:
        shown = ", ".join(self._names[:3]) + (", ..." if len(self) > 3 else "")
        return f"TaskDistribution({len(self)} datasets: {shown})"

    def _entry(self, name: str) -> Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError("dataset", name, self._names) from None

    def get(self, name: str) -> Dataset:
        """The dataset called `name`, loaded now or kept from before.

        Raises:
            UnknownNameError: no such dataset; the message has the closest names.
            DatasetError: the loader returned a dataset with another name or family.
        """
        entry = self._entry(name)
        if isinstance(entry.load, _Held):
            return entry.load.dataset
        dataset = self._cache.get(name)
        if dataset is None:
            dataset = entry.load()
            if (dataset.name, dataset.family) != (entry.name, entry.family):
                raise DatasetError(
                    f"the loader of {entry.name!r} (family {entry.family!r}) returned {dataset.name!r} "
                    f"(family {dataset.family!r}); make them equal."
                )
            self._cache.put(name, dataset)
        return dataset

    def sample(self, rng: np.random.Generator) -> Dataset:
        """One dataset, each with the same probability.

        Raises:
            ParameterError: the distribution is empty.
        """
        if not self._names:
            raise ParameterError("cannot sample from an empty distribution; use a larger one or another part of it.")
        return self.get(self._names[int(rng.integers(len(self._names)))])

    def filter(
        self, predicate: Callable[[Dataset], bool] | None = None, *, names: Iterable[str] | None = None
    ) -> TaskDistribution:
        """The datasets in `names` (all by default) for which `predicate` holds (always by default), in this order.

        A fixed meta-split stays, restricted to the datasets that are left. A predicate sees each dataset, so it loads
        all of them once.

        Raises:
            UnknownNameError: a name is not here.
        """
        wanted = self._names if names is None else {self._entry(name).name for name in names}
        kept = [name for name in self._names if name in wanted]
        if predicate is not None:
            kept = [name for name in kept if predicate(self.get(name))]
        return self._subset(kept)

    def split(self, fractions: Sequence[float] = (0.6, 0.2, 0.2), seed: int = 0) -> dict[str, TaskDistribution]:
        """Meta-split by family into `train`, `valid` and `test` (promise P4).

        Each family goes where a hash of (seed, family name) says, so that a family never stands on two sides and
        adding a dataset never moves another one. The shares are met on average over families: a part of a small
        distribution may be empty.

        Args:
            fractions: three non-negative shares that sum to 1.
            seed: another seed gives another split.

        Raises:
            ParameterError: the shares are not as above.
        """
        if len(fractions) != len(PARTS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
            raise ParameterError(f"fractions must be {len(PARTS)} non-negative shares that sum to 1, got {fractions}.")
        edges = np.cumsum(fractions)[:-1]
        names: dict[str, list[str]] = {part: [] for part in PARTS}
        for name, family in self.families.items():
            names[PARTS[int(np.searchsorted(edges, _uniform(seed, family), side="right"))]].append(name)
        return {part: self._subset(chosen) for part, chosen in names.items()}

    def part(self, name: str) -> TaskDistribution:
        """One side of the meta-split: the fixed one where the suite declares it, else that of `split()`.

        Raises:
            UnknownNameError: no such part.
        """
        parts = self._part_names()
        if name not in parts:
            raise UnknownNameError("split", name, parts)
        return self._subset(parts[name])

    def __add__(self, other: TaskDistribution) -> TaskDistribution:
        """Both collections in one; where one has a fixed meta-split, each part of the sum is the sum of the parts.

        Raises:
            ParameterError: a name stands in both, or the fixed splits would put one family on two sides.
        """
        entries = [*self._entries.values(), *other._entries.values()]
        splits: dict[str, list[str]] | None = None
        if self._splits is not None or other._splits is not None:
            splits = {}
            for tasks in (self, other):
                for part, names in tasks._part_names().items():
                    splits.setdefault(part, []).extend(names)
        return TaskDistribution(entries, splits=splits, cache_bytes=max(self._cache.limit, other._cache.limit))

    def _part_names(self) -> Mapping[str, Sequence[str]]:
        return self._splits if self._splits is not None else {part: t.names for part, t in self.split().items()}

    def hashes(self) -> dict[str, str]:
        """Content hash (hexadecimal SHA-256 of the features) of each dataset, by name; loads all of them."""
        return {name: self.get(name).content_hash.hex() for name in self._names}

    def _subset(self, names: Iterable[str]) -> TaskDistribution:
        kept = list(names)
        inside = set(kept)
        splits: dict[str, list[str]] | None = None
        if self._splits is not None:
            splits = {part: [name for name in chosen if name in inside] for part, chosen in self._splits.items()}
        subset = TaskDistribution([self._entries[name] for name in kept], splits=splits, cache_bytes=0)
        subset._cache = self._cache
        return subset


def _uniform(seed: int, family: str) -> float:
    """A number in [0, 1) that depends on the two arguments alone, on every machine."""
    digest = hashlib.blake2b(f"{seed}:{family}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2.0**64
