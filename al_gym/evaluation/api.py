"""Held-out evaluation from Python; the command line is a thin cover of it."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from al_gym.errors import DatasetError, ParameterError, ResumeError, UnknownNameError
from al_gym.evaluation.files import write_json
from al_gym.evaluation.metrics import METRICS
from al_gym.evaluation.results import ResultStore
from al_gym.evaluation.runner import BACKENDS, DatasetInfo, Regime, plan, run_jobs
from al_gym.evaluation.source import Source, read_source
from al_gym.evaluation.summary import RunFacts, add_groups, build_summary
from al_gym.evaluation.table import paired_table, summary_table
from al_gym.learners import LEARNERS, make_learner
from al_gym.policies.base import Policy
from al_gym.policies.fixed import FixedStrategy
from al_gym.policies.loading import PolicyLike, resolve_policies
from al_gym.registry import parse_spec
from al_gym.tasks.load import TaskSpec
from al_gym.tasks.task import Initial

FREE = ("jobs", "backend", "strict", "save_queries")  # arguments that no number depends on


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found.

    Attributes:
        results: the rows of results.csv.
        summary: the content of summary.json.
        out: folder of the files; None if none was asked for.
        left_out: dataset -> columns of its table that stand beside its text and were not used.
    """

    results: pd.DataFrame
    summary: dict[str, Any]
    out: Path | None
    left_out: Mapping[str, Sequence[str]]

    def table(self) -> Table:
        """Policies by mean AULC, for `rich.print`."""
        return summary_table(self.summary)

    def paired(self, policy: str) -> Table:
        """One policy against every other one, by AULC and, under a round cost, by utility."""
        return paired_table(self.summary, policy)


def evaluate(
    policies: Mapping[str, PolicyLike] | Sequence[PolicyLike],
    *,
    data: str | Path | None = None,
    tasks: TaskSpec | None = None,
    split: str | None = None,
    datasets: str | Path | Iterable[str] | None = None,
    label_column: str | None = None,
    text_column: str | None = None,
    text_encoder: str = "auto",
    group_column: str | None = None,
    strict: bool = False,
    seeds: int = 30,
    seed: int = 0,
    rounds: int = 20,
    batch_size: int = 5,
    initial: Initial = "per-class",
    pool_size: int = 500,
    test_size: int = 1500,
    scaling: str = "auto",
    max_budget_share: float = 1.0,
    label_noise: float = 0.0,
    learner: str = "softmax",
    review_effort: float | None = None,
    metric: str = "accuracy",
    round_cost: float = 0.0,
    jobs: int | None = None,
    backend: str = "loky",
    save_queries: bool = False,
    out: str | Path | None = None,
    trusted: bool = False,
    progress: bool = False,
) -> EvaluationResult:
    """Run policies on the same splits and seed sets of every dataset, and compare them on test items.

    Args:
        policies: name -> policy, or a list; whatever `load_policy` takes.
        data: a folder of npz, csv and parquet files; or else
        tasks: a suite's name, datasets, or a `TaskDistribution`.
        split: part of `tasks`; `test` if None and `tasks` names a suite, else all.
        datasets: names to keep, or a file with one name a line.
        label_column: of the tables in `data`.
        text_column: of the tables in `data`.
        text_encoder: of that column: `auto`, `lsa`, `sentence-transformers`, ... (`al_gym.tasks.encoders`).
        group_column: of the tables in `data`: its groups never stand in pool and test set of one task.
        strict: stop at the first dataset that cannot be used, instead of leaving it out.
        seeds: campaigns a dataset and policy.
        seed: the first of them.
        rounds: rounds of the default batch that make the budget.
        batch_size: the default batch.
        initial: `per-class` for one labelled item of each class, or a number of random items.
        pool_size: items to choose from, 60 % of the dataset if that is fewer.
        test_size: items to test on, or all that are left.
        scaling: `auto`, `standardize`, `center` or `none`; fitted on the pool.
        max_budget_share: the budget is at most this share of the pool, in (0, 1].
        label_noise: probability in [0, 1) that the oracle answers with another class.
        learner: a learner's name or 'name:parameter=value'.
        review_effort: share of the test items that a person can review, in (0, 1]; adds the column
            `test_review_recall` to the rows (`al_gym.evaluation.review`).
        metric: what is summarised, `accuracy`, `balanced-accuracy` or, with a review effort, `review-recall`.
        round_cost: price of a round in AULC; adds `utility` to the summary.
        jobs: worker processes; the number of cores if None.
        backend: `loky` or `ray`.
        save_queries: write queries.npz, with which scikit-learn alone can replay every campaign.
        out: folder of the files; started again with it, only what is missing is computed. None keeps no file.
        trusted: load policies from a pickle too.
        progress: show a progress bar on standard error.

    Returns:
        Rows, summary and table.

    Raises:
        ParameterError: an argument is out of range.
        UnknownNameError: nothing of a name; lists the closest ones.
        PolicyError: a policy cannot be loaded, or gave an impossible answer.
        DatasetError: no dataset can be used, or, if `strict`, one of them cannot.
        ResumeError: `out` holds an evaluation with other arguments; lists the difference.
    """
    chosen = resolve_policies(policies, trusted=trusted)
    regime = Regime(
        seeds=seeds,
        seed=seed,
        rounds=rounds,
        batch_size=batch_size,
        initial=initial,
        pool_size=pool_size,
        test_size=test_size,
        scaling=scaling,
        max_budget_share=max_budget_share,
        label_noise=label_noise,
        learner=learner,
        review_effort=review_effort,
    )
    jobs = joblib.cpu_count() if jobs is None else jobs
    _check(metric, review_effort, round_cost, jobs, backend, save_queries, out)
    source = read_source(
        data,
        tasks,
        split=split,
        datasets=datasets,
        label_column=label_column,
        text_column=text_column,
        text_encoder=text_encoder,
        group_column=group_column,
        initial=initial,
        batch_size=batch_size,
        strict=strict,
    )
    arguments = {
        "policies": {name: policy.fingerprint() for name, policy in chosen.items()},
        **source.arguments,
        **_regime_arguments(regime),
        "learner": _learner_arguments(learner),
        "metric": metric,
        "round_cost": round_cost,
        "strict": strict,
        "save_queries": save_queries,
        "jobs": jobs,
        "backend": backend,
    }
    with _folder(out) as folder:
        store = ResultStore(folder, arguments, free=FREE)
        infos = _run(source, regime, chosen, store, progress)
        results = store.finish(source.tables() if save_queries else None, save_queries=save_queries)
        summary = _summarise(results, source, infos, chosen, store)
        write_json(folder / "summary.json", summary)
    return EvaluationResult(results, summary, None if out is None else Path(out), source.left_out)


def _check(
    metric: str,
    review_effort: float | None,
    round_cost: float,
    jobs: int,
    backend: str,
    save_queries: bool,
    out: str | Path | None,
) -> None:
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    if metric == "review-recall" and review_effort is None:
        raise ParameterError("metric 'review-recall' needs review_effort=, say 0.1 for a tenth of the test items.")
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    if not math.isfinite(round_cost) or round_cost < 0:
        raise ParameterError(f"round_cost must be finite and at least 0, got {round_cost}.")
    if jobs < 1:
        raise ParameterError(f"jobs must be at least 1, got {jobs}.")
    if save_queries and out is None:
        raise ParameterError("save_queries needs a folder: give out=.")


def _regime_arguments(regime: Regime) -> dict[str, Any]:
    """The regime as it is saved; a review that nobody asked for leaves no trace."""
    return {key: value for key, value in asdict(regime).items() if (key, value) != ("review_effort", None)}


def _learner_arguments(spec: str) -> dict[str, Any]:
    """The learner's name with all its parameters, as it is used."""
    name, _ = parse_spec(spec, "learner")
    learner = make_learner(spec)
    arguments = {"name": name} | {key: getattr(learner, key) for key in signature(LEARNERS.get(name)).parameters}
    return arguments | ({"digest": learner.digest()} if learner.digest() else {})


@contextlib.contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    """The folder of the files, or one that is gone afterwards."""
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="al_gym-") as folder:
        yield Path(folder)


def _run(
    source: Source, regime: Regime, policies: Mapping[str, Policy], store: ResultStore, progress: bool
) -> dict[str, DatasetInfo]:
    """Compute what is missing; returns what is known of each dataset, unusable ones included."""
    jobs, backend, strict = (store.arguments[key] for key in ("jobs", "backend", "strict"))
    todo = plan(source.tasks, list(policies), regime, store, jobs)
    with _bar(len(todo), progress) as advance:

        def done(info: DatasetInfo) -> None:
            advance(info.name)
            if strict and info.reason:
                raise DatasetError(f"{source.files.get(info.name, info.name)}: {info.reason}")

        return run_jobs(todo, regime, policies, store, jobs=jobs, backend=backend, done=done)


@contextlib.contextmanager
def _bar(total: int, show: bool) -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error; yields what moves it on."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not show) as bar:
        task = bar.add_task("evaluate", total=total)
        yield lambda name: bar.update(task, advance=1, description=name)


def _summarise(
    results: pd.DataFrame,
    source: Source,
    infos: Mapping[str, DatasetInfo],
    policies: Mapping[str, Policy],
    store: ResultStore,
) -> dict[str, Any]:
    """The content of summary.json."""
    unusable = {source.files.get(name, name): info.reason for name, info in infos.items() if info.reason}
    skipped = dict(sorted({**source.skipped, **unusable}.items()))
    used = {name: info for name, info in sorted(infos.items()) if not info.reason}
    if not used:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise DatasetError(f"no dataset can be used: {reasons}")
    strangers = sorted(set(results["dataset"].unique()) - set(used))
    if strangers:
        raise ResumeError(f"{store.out} holds results of {strangers[0]!r}, which is not in the data any more.")
    budget = {name: info.budget for name, info in used.items()}
    summary = build_summary(
        results,
        budget,
        fixed=[name for name, policy in policies.items() if isinstance(policy, FixedStrategy)],
        privileged=[name for name, policy in policies.items() if policy.privileged],
        run=RunFacts({name: info.scaling for name, info in used.items()}, skipped, store.exhausted(), store.arguments),
        metric=store.arguments["metric"],
        round_cost=store.arguments["round_cost"],
    )
    add_groups(summary, results, budget, {"modality": {name: info.modality for name, info in used.items()}})
    return summary
