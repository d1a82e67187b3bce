"""Runs policies on datasets: one job a dataset and group of seeds, in parallel, each finished unit kept on disk."""

from __future__ import annotations

import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np

from al_gym.campaign import Campaign
from al_gym.errors import DatasetError, MissingExtraError, ParameterError, TaskError, UnknownNameError
from al_gym.evaluation.results import ResultStore, Unit
from al_gym.evaluation.review import check_reviewable
from al_gym.evaluation.rollout import run_policy
from al_gym.learners import make_learner
from al_gym.policies.base import Policy
from al_gym.pool import Shape
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.scaling import resolve_scaling
from al_gym.tasks.task import Initial, Task, make_task
from al_gym.threads import one_thread

BACKENDS = ("loky", "ray")
SEEDS_AT_ONCE = 10
WAVE = 8  # jobs a worker between two moves of the progress bar, where the backend cannot tell earlier
MEMORY = 200 * 2**20  # bytes of campaigns at once in a worker


@dataclass(frozen=True)
class Regime:
    """What decides the numbers of an evaluation, besides data and policies.

    Attributes:
        seeds: campaigns a dataset and policy.
        seed: the first of them; the others count up.
        rounds: rounds of the default batch that make the budget.
        batch_size: the default batch.
        initial: `per-class` for one labelled item of each class, or a number of random items.
        pool_size: items to choose from, 60 % of the dataset if that is fewer.
        test_size: items to test on, or all that are left.
        scaling: `auto`, `standardize`, `center` or `none`; fitted on the pool.
        max_budget_share: the budget is at most this share of the pool, in (0, 1].
        label_noise: probability in [0, 1) that the oracle answers with another class.
        learner: a learner's name or 'name:parameter=value'.
        review_effort: share of the test items that a person reviews, in (0, 1]; None for no review.
    """

    seeds: int = 30
    seed: int = 0
    rounds: int = 20
    batch_size: int = 5
    initial: Initial = "per-class"
    pool_size: int = 500
    test_size: int = 1500
    scaling: str = "auto"
    max_budget_share: float = 1.0
    label_noise: float = 0.0
    learner: str = "softmax"
    review_effort: float | None = None

    def __post_init__(self) -> None:
        least = {"seeds": 1, "seed": 0, "rounds": 1, "batch_size": 1, "pool_size": 2, "test_size": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < bound:
                raise ParameterError(f"{name} must be an integer of at least {bound}, got {value!r}.")
        if self.initial != "per-class" and (not isinstance(self.initial, int) or self.initial < 1):
            raise ParameterError(f"initial must be 'per-class' or a positive number of items, got {self.initial!r}.")
        if not 0 < self.max_budget_share <= 1:
            raise ParameterError(f"max_budget_share must lie in (0, 1], got {self.max_budget_share}.")
        if not 0 <= self.label_noise < 1:
            raise ParameterError(f"label_noise must lie in [0, 1), got {self.label_noise}.")
        if self.review_effort is not None and not 0 < self.review_effort <= 1:
            raise ParameterError(f"review_effort must lie in (0, 1], got {self.review_effort}.")
        resolve_scaling(self.scaling, "tabular")
        make_learner(self.learner)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of every dataset."""
        return tuple(range(self.seed, self.seed + self.seeds))

    def budget(self, pool_items: int) -> int:
        """Labels to buy after the seed set from a pool of that size."""
        return min(self.rounds * self.batch_size, int(self.max_budget_share * pool_items))

    def make_tasks(self, dataset: Dataset) -> dict[int, Task]:
        """One task a seed.

        Raises:
            TaskError: the dataset is too small for the seed set and one batch, or for one label of the budget, or a
                test set has nothing to find in a review.
        """
        tasks = {
            seed: make_task(
                dataset,
                seed,
                pool_size=self.pool_size,
                test_size=self.test_size,
                initial=self.initial,
                scaling=self.scaling,
                label_noise=self.label_noise,
            )
            for seed in self.all_seeds
        }
        for task in tasks.values():
            pool, start = len(task.pool), len(task.seed_set)
            if pool < start + self.batch_size:
                raise TaskError(
                    f"fewer items than the seed set and one batch: a pool of {pool} with seed {task.seed}, "
                    f"a seed set of {start}, a batch of {self.batch_size}"
                )
            if self.review_effort is not None:
                check_reviewable(task)
            if self.budget(pool) < 1:
                raise TaskError(f"a pool of {pool} has no label to buy at a budget share of {self.max_budget_share}")
        return tasks


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset once it was loaded.

    Attributes:
        name: of the dataset. scaling: that `auto` stood for. modality: of its features.
        budget: labels to buy after the seed set.
        reason: why it could not be used; empty if it could.
    """

    name: str
    scaling: str = ""
    modality: str = ""
    budget: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Job:
    """Some seeds of one dataset: which policies still have to run on which of them.

    Attributes:
        tasks: holds the dataset alone. dataset: its name. work: (policy, seeds) pairs.
    """

    tasks: TaskDistribution
    dataset: str
    work: tuple[tuple[str, tuple[int, ...]], ...]


def run_job(job: Job, regime: Regime, policies: Mapping[str, Policy], store: ResultStore) -> DatasetInfo:
    """Do one job and store its units; runs in a worker.

    Seeds share one batch of campaigns, and policies share its splits and distances: each goes back to the seed sets.
    """
    try:
        dataset = job.tasks.get(job.dataset)
        tasks = regime.make_tasks(dataset)
    except (DatasetError, TaskError) as error:
        return DatasetInfo(job.dataset, reason=str(error).removeprefix(f"{job.dataset}: "))
    first = tasks[regime.seed]
    budget = regime.budget(len(first.pool))
    wanted = sorted({seed for _, seeds in job.work for seed in seeds})
    for chunk in _chunks(wanted, first, budget):
        with one_thread():
            _run_chunk(job, {seed: tasks[seed] for seed in chunk}, budget, regime, policies, store)
    return DatasetInfo(job.dataset, first.scaling, dataset.modality, budget)


def _run_chunk(
    job: Job, tasks: Mapping[int, Task], budget: int, regime: Regime, policies: Mapping[str, Policy], store: ResultStore
) -> None:
    """Run all policies on some seeds, in one batch of campaigns."""
    seeds = list(tasks)
    campaign = Campaign(len(seeds), learner=regime.learner)
    campaign.load(np.arange(len(seeds)), list(tasks.values()), [budget] * len(seeds))
    used = np.zeros(len(seeds), np.bool_)
    for name, wanted in job.work:
        slots = np.array([i for i, seed in enumerate(seeds) if seed in wanted], np.int64)
        if not len(slots):
            continue
        if used[slots].any():
            campaign.restart(slots[used[slots]])
        used[slots] = True
        run = run_policy(
            name,
            policies[name],
            campaign,
            slots,
            batch_size=regime.batch_size,
            budget=budget,
            review_effort=regime.review_effort,
        )
        unit = Unit(job.dataset, name, tuple(seeds[i] for i in slots))
        store.add(unit, run.rows, run.queries, exhausted=run.exhausted)


def _chunks(seeds: Sequence[int], task: Task, budget: int) -> Iterator[list[int]]:
    """Seeds that fit into memory together."""
    size = max(1, int(MEMORY // _bytes(task, budget)))
    for start in range(0, len(seeds), size):
        yield list(seeds[start : start + size])


def _bytes(task: Task, budget: int) -> int:
    """Memory of one campaign, padding and the spare rows of a growing block included."""
    data = task.dataset
    shape = Shape.of(len(task.pool), data.n_features, data.n_classes, len(task.seed_set) + budget, len(task.holdout))
    features = shape.features * (shape.items + shape.labels + shape.holdout + 2 * shape.classes)
    pairs = min(shape.items, 4096) ** 2
    return 2 * 4 * (features + 2 * pairs + 4 * shape.items * shape.classes)


def plan(tasks: TaskDistribution, names: Sequence[str], regime: Regime, store: ResultStore, jobs: int) -> list[Job]:
    """Jobs for what is missing of policies `names`; a dataset with nothing missing has one that only looks at it."""
    units = [Unit(dataset, policy, regime.all_seeds) for dataset in tasks.names for policy in names]
    missing: dict[str, dict[int, list[str]]] = {dataset: defaultdict(list) for dataset in tasks.names}
    for unit in store.missing(units):
        for seed in unit.seeds:
            missing[unit.dataset][seed].append(unit.policy)
    size = min(SEEDS_AT_ONCE, max(1, -(-len(tasks) * regime.seeds // (4 * jobs))))
    result = []
    for dataset, by_seed in missing.items():
        alone, seeds = tasks.filter(names=[dataset]), sorted(by_seed)
        for start in range(0, max(1, len(seeds)), size):
            group = seeds[start : start + size]
            work = [(name, tuple(seed for seed in group if name in by_seed[seed])) for name in names]
            result.append(Job(alone, dataset, tuple((name, chosen) for name, chosen in work if chosen)))
    return result


def run_jobs(
    todo: Sequence[Job],
    regime: Regime,
    policies: Mapping[str, Policy],
    store: ResultStore,
    *,
    jobs: int,
    backend: str,
    done: Callable[[DatasetInfo], None],
) -> dict[str, DatasetInfo]:
    """Do the jobs.

    Args:
        todo: from `plan`. regime: of the evaluation. policies: by name. store: where units go.
        jobs: worker processes; 1 for none beside this one.
        backend: `loky` or `ray`.
        done: called after each job.

    Returns:
        What is known of each dataset.

    Raises:
        KeyboardInterrupt: finished units stay.
        MissingExtraError: the backend is `ray` and Ray is not installed.
    """
    infos: dict[str, DatasetInfo] = {}
    for info in _results(todo, regime, policies, store, min(jobs, max(1, len(todo))), backend):
        infos[info.name] = info
        done(info)
    return infos


def _results(
    todo: Sequence[Job],
    regime: Regime,
    policies: Mapping[str, Policy],
    store: ResultStore,
    jobs: int,
    backend: str,
) -> Iterator[DatasetInfo]:
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    if jobs == 1 and backend == "loky":
        for job in todo:
            yield run_job(job, regime, policies, store)
        return
    calls = [joblib.delayed(_work)(job, regime, policies, store) for job in todo]
    if backend == "ray":
        _register_ray()
        with joblib.parallel_config(backend="ray", n_jobs=jobs):
            for start in range(0, len(calls), WAVE * jobs):  # this backend yields nothing before all are done
                yield from joblib.Parallel()(calls[start : start + WAVE * jobs])
        return
    yield from joblib.Parallel(n_jobs=jobs, backend=backend, return_as="generator_unordered")(calls)


def _work(job: Job, *shared: Any) -> DatasetInfo:
    """`run_job` in a process of its own, which leaves Ctrl-C to the process that started it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return run_job(job, *shared)


def _register_ray() -> None:
    try:
        from ray.util.joblib import register_ray
    except ImportError:
        raise MissingExtraError("ray", "ray") from None
    register_ray()
