"""One way in for everything that can name datasets."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from al_gym.errors import ParameterError, UnknownNameError
from al_gym.tasks.class_folders import load_images, load_texts
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.folder import load_folder
from al_gym.tasks.openml import load_openml
from al_gym.tasks.suites import SUITES
from al_gym.tasks.vision import load_vision

TaskSpec = str | Path | Dataset | Sequence[Dataset] | TaskDistribution


def load_tasks(spec: TaskSpec, split: str | None = None) -> TaskDistribution:
    """The datasets that `spec` names, or one side of their meta-split.

    Args:
        spec: the name of a suite (`al_gym.list_suites()`), a folder of npz, csv and parquet files, `openml:61` or
            `vision:cifar10` (several with commas between; downloaded when needed), `images:FOLDER` or `texts:FOLDER`
            with one folder a class (see `load_images`), a dataset, datasets, or a distribution. A folder whose name is
            that of a suite is written `./NAME`. Files of a folder of tables that cannot be used are left out with a
            warning; `load_folder` reports or refuses them.
        split: `train`, `valid` or `test`: the suite's own split, else a split by a hash of the family; None for all.

    Raises:
        UnknownNameError: neither a suite nor a folder; no such split.
        ParameterError: no dataset is on that side of the split, or `spec` has another type.
    """
    tasks = _resolve(spec)
    if split is not None:
        part = tasks.part(split)
        if len(part) == 0 < len(tasks):
            raise ParameterError(
                f"split {split!r} of {spec!r} holds none of its {len(tasks)} datasets; use another split or split=None."
            )
        return part
    return tasks


def _resolve(spec: TaskSpec) -> TaskDistribution:
    if isinstance(spec, TaskDistribution):
        return spec
    if isinstance(spec, Dataset):
        return TaskDistribution([spec])
    if isinstance(spec, str) and spec.partition(":")[0] in _BY_PREFIX:
        kind, _, names = spec.partition(":")
        return TaskDistribution([_BY_PREFIX[kind](name.strip()) for name in names.split(",")])
    if isinstance(spec, str) and spec.partition(":")[0] in SUITES:
        return SUITES.make(spec)
    if isinstance(spec, str | Path):
        if not Path(spec).is_dir():
            raise UnknownNameError("task suite (and no folder of that name either):", str(spec), SUITES.names())
        tasks, report = load_folder(spec)
        for name, reason in report.skipped.items():
            warnings.warn(f"{name} is left out: {reason}")
        return tasks
    datasets = [item for item in spec if isinstance(item, Dataset)] if isinstance(spec, Sequence) else []
    if datasets and len(datasets) == len(spec):
        return TaskDistribution(datasets)
    raise ParameterError(f"tasks must be a suite's name, a folder, datasets or a TaskDistribution, got {spec!r}.")


def _openml(number: str) -> Dataset:
    if not number.isdigit():
        raise ParameterError(f"openml: takes the numbers of datasets, as in 'openml:61,1590', got {number!r}.")
    return load_openml(int(number))


def _vision(name: str) -> Dataset:
    return load_vision(name, download=True)


_BY_PREFIX: dict[str, Callable[[str], Dataset]] = {
    "openml": _openml,
    "vision": _vision,
    "images": load_images,
    "texts": load_texts,
}
