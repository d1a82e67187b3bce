"""Where the datasets of an evaluation come from: a folder, a suite, or datasets in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from al_gym.errors import ParameterError
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.encoders import resolve_text_encoder
from al_gym.tasks.folder import load_folder, read_names
from al_gym.tasks.load import TaskSpec, load_tasks
from al_gym.tasks.suites import SUITES
from al_gym.tasks.task import Initial


@dataclass(frozen=True)
class Source:
    """The datasets of an evaluation, and what is to be said of them.

    Attributes:
        tasks: the datasets.
        arguments: what names them, JSON-able.
        files: dataset -> its file's name, where it has one.
        skipped: file -> why it cannot be used.
        encoded: datasets that no npz file holds as they are used.
        left_out: dataset -> columns of its table that stand beside its text and are not used.
    """

    tasks: TaskDistribution
    arguments: Mapping[str, Any]
    encoded: frozenset[str]
    files: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def tables(self) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
        """Features and labels of the encoded datasets."""
        datasets = [self.tasks.get(name) for name in self.tasks.names if name in self.encoded]
        return {dataset.name: (dataset.X, dataset.y) for dataset in datasets}


def read_source(
    data: str | Path | None,
    tasks: TaskSpec | None,
    *,
    split: str | None,
    datasets: str | Path | Iterable[str] | None,
    label_column: str | None,
    text_column: str | None,
    text_encoder: str,
    group_column: str | None,
    initial: Initial,
    batch_size: int,
    strict: bool,
) -> Source:
    """Find the datasets; arguments as in `evaluate`.

    Raises:
        ParameterError: both or neither of data and tasks, or an argument that belongs to the other one.
        DatasetError: no file can be used, or, if `strict`, one cannot.
        UnknownNameError: no such suite, dataset or column.
    """
    if (data is None) == (tasks is None):
        raise ParameterError("give exactly one of data (a folder) and tasks (a suite or datasets).")
    names = None
    if datasets is not None:
        names = sorted(set(read_names(datasets) if isinstance(datasets, str | Path) else datasets))
    if tasks is not None:
        if (label_column, text_column, text_encoder, group_column) != (None, None, "auto", None):
            raise ParameterError("label_column, text_column, group_column and text_encoder belong to data=.")
        return _from_tasks(tasks, split, names)
    if split is not None:
        raise ParameterError("split belongs to tasks=; a folder is evaluated as a whole, and datasets= restricts it.")
    text_encoder = "lsa" if text_column is None else resolve_text_encoder(text_encoder)
    found, report = load_folder(
        str(data),
        label_column=label_column,
        text_column=text_column,
        text_encoder=text_encoder,
        group_column=group_column,
        datasets=names,
        initial=initial,
        batch_size=batch_size,
        strict=strict,
    )
    arguments = {"data": str(data), "label_column": label_column, "text_column": text_column, "datasets": names}
    if text_column is not None:
        arguments["text_encoder"] = text_encoder
    if group_column is not None:
        arguments["group_column"] = group_column
    return Source(found, arguments, report.encoded, report.files, report.skipped, report.left_out)


def _from_tasks(tasks: TaskSpec, split: str | None, names: list[str] | None) -> Source:
    suite = isinstance(tasks, str) and tasks.partition(":")[0] in SUITES
    split = "test" if split is None and suite else split
    found = load_tasks(tasks, split)
    if names is not None:
        found = found.filter(names=names)
    arguments = {"tasks": _text(tasks), "split": split, "datasets": names}
    return Source(found, arguments, frozenset(found.names))


def _text(tasks: TaskSpec) -> str | list[str]:
    if isinstance(tasks, str | Path):
        return str(tasks)
    return [tasks.name] if isinstance(tasks, Dataset) else list(load_tasks(tasks).names)
