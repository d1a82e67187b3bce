"""The MetaEnv protocol: environments whose task can be sampled, set and read (learn2learn, garage)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from al_gym.errors import ParameterError, UnknownNameError
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.task import Task

MetaTask = dict[str, Any]
"""`{"task": a dataset's name, "task_seed": n}`, as `reset(options=...)` takes it: plain, small to pickle, and JSON."""
_SEEDS = 2**31


def draw_tasks(tasks: TaskDistribution, n: int, rng: np.random.Generator) -> list[MetaTask]:
    """`n` tasks by name, each dataset with the same probability and a new split each.

    Raises:
        ParameterError: `n` is below 1, or there is no dataset.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ParameterError(f"sample_tasks takes a number of tasks of at least 1, got {n!r}.")
    if not len(tasks):
        raise ParameterError("there is no dataset to sample tasks from; use a larger collection or another split.")
    return [
        {"task": tasks.names[int(rng.integers(len(tasks)))], "task_seed": int(rng.integers(_SEEDS))} for _ in range(n)
    ]


def check_task(task: Any, tasks: TaskDistribution) -> MetaTask | None:
    """What a reset needs to start `task`.

    Args:
        task: what `sample_tasks` gave; also a dataset's name, a `Dataset`, or a `Task`, as in `reset(options=...)`;
            None for a new task in each reset.
        tasks: where names are looked up.

    Raises:
        ParameterError: not a task.
        UnknownNameError: no dataset of that name; lists the closest.
    """
    if task is None:
        return None
    if isinstance(task, str | Dataset | Task):
        task = {"task": task}
    if not isinstance(task, Mapping) or "task" not in task or set(task) - {"task", "task_seed"}:
        raise ParameterError(
            "a task is {'task': name, 'task_seed': n} from sample_tasks, a name, a Dataset, a Task or None; "
            f"got {task!r}."
        )
    if isinstance(task["task"], str) and task["task"] not in tasks:
        raise UnknownNameError("dataset", task["task"], tasks.names)
    if not isinstance(task["task"], str | Dataset | Task):
        raise ParameterError(f"a task's dataset must be a name, a Dataset or a Task, got {task['task']!r}.")
    seed = task.get("task_seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0):
        raise ParameterError(f"task_seed must be an integer of at least 0, got {seed!r}.")
    return dict(task)


def options_of(fixed: MetaTask | None, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The options of one campaign's reset: what the caller names goes before the task that was set."""
    given = options or {}
    return given if fixed is None or "task" in given else {**fixed, **given}


def replay_of(task: Task, options: Mapping[str, Any]) -> MetaTask:
    """What starts `task` again, given the options that it came from."""
    chosen = options.get("task")
    if isinstance(chosen, Task):
        return {"task": task}
    return {"task": chosen if isinstance(chosen, Dataset) else task.dataset.name, "task_seed": task.seed}
