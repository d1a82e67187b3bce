"""The datasets to train on: a suite's training part, and whatever a folder adds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from al_gym.errors import ParameterError
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.folder import load_folder
from al_gym.tasks.load import load_tasks
from al_gym.tasks.overlap import find_overlaps

NONE = "none"  # instead of a suite's name


@dataclass(frozen=True)
class TrainingTasks:
    """What to train on.

    Attributes:
        arguments: `tasks` and `split` of the environment.
        left_out: dataset or file of the folder -> why it is not trained on.
    """

    arguments: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)


def training_tasks(tasks: str, data: str | None, datasets: str | None, judges: str) -> TrainingTasks:
    """Read the tasks.

    Args:
        tasks: a suite; its training part is used. 'none' for the datasets of the folder alone.
        data: a folder whose datasets are added, all of them, whatever part of a meta-split they would be in.
        datasets: a file with the names to use of the folder, one a line.
        judges: the suite of the held-out evaluation. Datasets of its families, or with its rows, are left out.

    Raises:
        ParameterError: `datasets` without `data`, or every dataset of the folder is held out.
        DatasetError: no file of the folder can be used.
    """
    if data is None:
        if tasks == NONE:
            raise ParameterError("--tasks none leaves nothing to train on without a folder; add --data.")
        if datasets is not None:
            raise ParameterError("--datasets restricts the folder of --data; give both.")
        return TrainingTasks({"tasks": tasks, "split": "train"})
    found, report = load_folder(data, datasets=datasets)
    seen = _seen_by(load_tasks(judges), found)
    kept = found.filter(names=[name for name in found.names if name not in seen])
    left_out = {**report.skipped, **seen}
    if not len(kept):
        raise ParameterError(f"no dataset of {data} can be trained on: {left_out}.")
    chosen = kept if tasks == NONE else load_tasks(tasks, "train") + kept
    return TrainingTasks({"tasks": chosen, "split": None}, left_out)


def _seen_by(judges: TaskDistribution, tasks: TaskDistribution) -> dict[str, str]:
    """Datasets that are relatives of a judge (promise P4)."""
    held_out = {judges.families[name]: name for name in judges.names}
    seen = {
        name: f"has the family of the held-out {held_out[family]!r}"
        for name, family in tasks.families.items()
        if family in held_out
    }
    marked = {f"held-out {judge.name}": replace(judge, name=f"held-out {judge.name}", check=False) for judge in judges}
    rest = {name: tasks.get(name) for name in tasks.names if name not in seen}
    for overlap in find_overlaps([*marked.values(), *rest.values()]):
        first, second = sorted((overlap.first, overlap.second), key=lambda name: name in rest)
        if first in marked and second in rest:
            seen[second] = f"shares {overlap.shared} rows with the {first!r}"
    return seen
