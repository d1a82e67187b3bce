"""N-way K-shot classification from any dataset with many classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import ParameterError, TaskError
from al_gym.tasks.dataset import Dataset


@dataclass(frozen=True)
class Episode:
    """One few-shot task: rows of a dataset and their labels 0..ways-1.

    Attributes:
        classes: (ways,) int64, the dataset's class behind each label.
        support: (ways * shots,) int64 rows to learn from. support_labels: (ways * shots,) int64.
        query: (ways * queries,) int64 rows to judge on, disjoint from the support. query_labels: likewise.
    """

    classes: NDArray[np.int64]
    support: NDArray[np.int64]
    support_labels: NDArray[np.int64]
    query: NDArray[np.int64]
    query_labels: NDArray[np.int64]

    def dataset(self, source: Dataset, name: str) -> Dataset:
        """The episode's rows as a dataset of its own, for environments and evaluations."""
        rows = np.concatenate([self.support, self.query])
        labels = np.concatenate([self.support_labels, self.query_labels])
        names = tuple(source.class_names[c] for c in self.classes)
        return Dataset(name, np.asarray(source.X[rows]), labels, names, source.modality, source.family, source.source)


@dataclass(frozen=True)
class FewShotTasks:
    """Episodes of N classes with K labelled items each.

    **Source:** Vinyals et al. 2016, *Matching networks for one shot learning* (the protocol).

    Attributes:
        dataset: where the items come from.
        ways: classes of an episode (N). shots: labelled items of each class (K).
        queries: items of each class to judge on.
        classes: classes to draw from, all with enough items if empty; disjoint choices make a meta-split by class.

    Raises:
        ParameterError: a number below 1 (ways below 2), or a class that does not exist.
        TaskError: fewer classes with enough items than ways.
    """

    dataset: Dataset
    ways: int = 5
    shots: int = 1
    queries: int = 15
    classes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("ways", 2), ("shots", 1), ("queries", 1)):
            if getattr(self, name) < least:
                raise ParameterError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        wrong = [c for c in self.classes if not 0 <= c < self.dataset.n_classes]
        if wrong:
            raise ParameterError(f"{self.dataset.name} has classes 0..{self.dataset.n_classes - 1}, not {wrong}.")
        usable = len(self.usable())
        if usable < self.ways:
            raise TaskError(
                f"{self.dataset.name}: {usable} classes have {self.shots} + {self.queries} items, {self.ways} are "
                "needed; lower ways, shots or queries."
            )

    def usable(self) -> NDArray[np.int64]:
        """Classes with enough items, sorted."""
        sizes = np.bincount(self.dataset.y, minlength=self.dataset.n_classes)
        enough = np.flatnonzero(sizes >= self.shots + self.queries)
        return enough if not self.classes else np.intersect1d(enough, self.classes)

    def sample(self, rng: np.random.Generator) -> Episode:
        """One episode; its classes come in random order, so that a label means nothing across episodes."""
        classes = rng.permutation(self.usable())[: self.ways]
        support, query = [], []
        for chosen in classes:
            rows = rng.permutation(np.flatnonzero(self.dataset.y == chosen))
            support.append(rows[: self.shots])
            query.append(rows[self.shots : self.shots + self.queries])
        labels = np.arange(self.ways)
        return Episode(
            classes,
            np.concatenate(support),
            labels.repeat(self.shots),
            np.concatenate(query),
            labels.repeat(self.queries),
        )
