"""Replay an evaluation with scikit-learn alone, from queries.npz and the data files.

    python -m al_gym.evaluation.replay OUT --data DIR [--every 5]

Nothing of al_gym's campaign, learner or scaling is used here: this module repeats the campaign rules on purpose, so
that a mistake in either shows as a difference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from rich.console import Console
from sklearn.linear_model import LogisticRegression

from al_gym.errors import AlGymError, DatasetError, ParameterError
from al_gym.evaluation.files import read_json, read_results

Array = NDArray[Any]
MEAN_BOUND = 0.0005
TAIL_BOUND = 0.005


@dataclass(frozen=True)
class Campaign:
    """Rounds of one campaign to replay.

    Attributes:
        policy: its name.
        queries: (labelled,) row numbers in the order they were labelled.
        labels: (labelled,) labels that were revealed.
        rounds: rounds to fit.
        labelled: number of labels at each of these rounds.
    """

    policy: str
    queries: Array
    labels: Array
    rounds: Array
    labelled: Array


def scale(X: Array, n_pool: int, scaling: str) -> NDArray[np.float64]:
    """Scale all rows with numbers fitted on the pool, by the campaign rules.

    Args:
        X: (items, features) numbers, the pool first.
        n_pool: number of items in the pool.
        scaling: "standardize", "center" or "none".
    """
    X = np.asarray(X, dtype=np.float64)
    base = X[:n_pool]
    if scaling == "none":
        return X
    if scaling not in ("standardize", "center"):
        raise ParameterError(f"Unknown scaling {scaling!r}; it must be 'standardize', 'center' or 'none'.")
    mean = base.mean(axis=0)
    if scaling == "center":
        size = float(np.sqrt(np.mean((base - mean) ** 2)))
        return (X - mean) / (size or 1.0)
    varies = base.max(axis=0) > base.min(axis=0)
    return np.where(varies, (X - mean) / np.where(varies, base.std(axis=0), 1.0), 0.0)


def fit_and_score(X: Array, labels: Array, X_test: Array, y_test: Array, C: float = 1.0) -> tuple[float, float]:
    """Accuracy and balanced accuracy on the test set of the reference learner.

    Args:
        X: (labelled, features) float64, scaled.
        labels: (labelled,) revealed labels.
        X_test: (test, features) float64, scaled.
        y_test: (test,) true labels; classes without a revealed label count as errors.
        C: inverse strength of the penalty.
    """
    if len(np.unique(labels)) == 1:
        predicted = np.full(len(y_test), labels[0])
    else:
        predicted = LogisticRegression(C=C, tol=1e-8, max_iter=10000).fit(X, labels).predict(X_test)
    right = predicted == y_test
    recalls = [right[y_test == c].mean() for c in np.unique(y_test)]
    return float(right.mean()), float(np.mean(recalls))


def load_data(queries: Mapping[str, Array], dataset: str, folder: Path | None) -> tuple[Array, Array]:
    """Features and labels of a dataset, from queries.npz or else from DIR/DATASET.npz.

    Returns:
        X (items, features) as stored and y (items,) integers 0..classes-1 in the sorted order of the labels.
    """
    if f"{dataset}/X" in queries:
        X, y = queries[f"{dataset}/X"], queries[f"{dataset}/y"]
    else:
        if folder is None or not (folder / f"{dataset}.npz").exists():
            raise DatasetError(
                f"No data for {dataset!r}: queries.npz does not hold it, and {folder} has no {dataset}.npz; pass data=."
            )
        with np.load(folder / f"{dataset}.npz", allow_pickle=False) as file:
            X, y = file["X"], file["y"]
    return X, np.unique(y, return_inverse=True)[1].reshape(-1)


@dataclass(frozen=True)
class Split:
    """One (dataset, seed) to replay.

    Attributes:
        dataset: its name.
        seed: the campaigns' seed.
        X: (pool + test, features) features as in the file, pool first.
        y_test: (test,) true labels of the test set.
        n_pool: size of the pool.
        campaigns: what to replay; their queries are positions in the pool.
    """

    dataset: str
    seed: int
    X: Array
    y_test: Array
    n_pool: int
    campaigns: tuple[Campaign, ...]


def _replay_split(split: Split, scaling: str, C: float) -> list[tuple[Any, ...]]:
    """Tuples of dataset, seed, policy, round, accuracy, balanced accuracy."""
    scaled = scale(split.X, split.n_pool, scaling)
    test = scaled[split.n_pool :]
    results = []
    for campaign in split.campaigns:
        for r, n in zip(campaign.rounds.tolist(), campaign.labelled.tolist(), strict=True):
            scores = fit_and_score(scaled[campaign.queries[:n]], campaign.labels[:n], test, split.y_test, C)
            results.append((split.dataset, split.seed, campaign.policy, r, *scores))
    return results


def _split(
    queries: Mapping[str, Array], X: Array, y: Array, name: tuple[str, int], policies: Sequence[str], every: int
) -> Split:
    dataset, seed = name
    key = f"{dataset}/{seed}"
    if f"{key}/pool" not in queries:
        raise DatasetError(
            f"queries.npz holds no campaign of {dataset!r} with seed {seed}; it belongs to another results.csv."
        )
    pool, test = queries[f"{key}/pool"], queries[f"{key}/test"]
    if np.isin(test, pool).any() or max(pool.max(), test.max()) >= len(y):
        raise DatasetError(f"{key}: pool and test set overlap, or name rows beyond the {len(y)} of the data file.")
    position = np.full(len(y), -1)
    position[pool] = np.arange(len(pool))
    campaigns = []
    for policy in policies:
        rows, offsets = queries[f"{key}/{policy}/queries"], queries[f"{key}/{policy}/offsets"]
        if (position[rows] < 0).any() or len(np.unique(rows)) != len(rows):
            raise DatasetError(f"{key}/{policy}: a query lies outside the pool or comes twice.")
        labels = queries[f"{key}/{policy}/labels"] if f"{key}/{policy}/labels" in queries else y[rows]
        rounds = np.unique(np.r_[np.arange(0, len(offsets), every), len(offsets) - 1])
        campaigns.append(Campaign(policy, position[rows], labels, rounds, offsets[rounds]))
    return Split(dataset, seed, X[np.r_[pool, test]], y[test], len(pool), tuple(campaigns))


def replay(
    queries_npz: str | Path,
    data_folder: str | Path | None = None,
    *,
    every: int = 1,
    datasets: Collection[str] | None = None,
    policies: Collection[str] | None = None,
    jobs: int = 1,
) -> pd.DataFrame:
    """Fit every saved round again with scikit-learn and compare with the results.csv beside the queries.

    Args:
        queries_npz: the evaluation's queries.npz; results.csv and summary.json lie beside it.
        data_folder: folder of the npz files; not needed where queries.npz holds the data.
        every: replay each `every`-th round and the last one.
        datasets: replay these only.
        policies: replay these only.
        jobs: processes.

    Returns:
        Columns dataset, seed, policy, round, n_labelled, test_accuracy, replayed_accuracy, difference (absolute),
        test_balanced_accuracy, replayed_balanced_accuracy, difference_balanced; accuracies in [0, 1].

    Raises:
        DatasetError: files do not fit together.
        ParameterError: the evaluation used another learner than logistic regression, or nothing is left to replay.
    """
    if every < 1:
        raise ParameterError(f"every must be at least 1, got {every}.")
    path = Path(queries_npz)
    summary, rows = read_json(path.parent / "summary.json"), read_results(path.parent / "results.csv")
    C = _penalty(summary["arguments"])
    rows = _only(_only(rows, "dataset", datasets), "policy", policies)
    folder = None if data_folder is None else Path(data_folder)
    with np.load(path, allow_pickle=False) as queries:
        splits = _splits(queries, rows, folder, every)
        parts = Parallel(n_jobs=jobs)(delayed(_replay_split)(s, summary["scaling"][s.dataset], C) for s in splits)
    return _compare(rows, [record for part in parts for record in part])


def _only(rows: pd.DataFrame, column: str, wanted: Collection[str] | None) -> pd.DataFrame:
    unknown = sorted(set(wanted or ()) - set(rows[column]))
    if unknown:
        raise ParameterError(f"No {column} {unknown[0]!r} in results.csv.")
    return rows if wanted is None else rows[rows[column].isin(list(wanted))]


def _splits(queries: Mapping[str, Array], rows: pd.DataFrame, folder: Path | None, every: int) -> Iterator[Split]:
    for dataset, part in rows.groupby("dataset", observed=True, sort=True):
        X, y = load_data(queries, str(dataset), folder)
        for seed, campaigns in part.groupby("seed", sort=True):
            names = [str(name) for name in campaigns["policy"].unique()]
            yield _split(queries, X, y, (str(dataset), int(str(seed))), names, every)


def _penalty(arguments: Mapping[str, Any]) -> float:
    learner = arguments.get("learner", {"name": "softmax", "C": 1.0})
    if learner["name"] != "softmax":
        raise ParameterError(f"Only the learner 'softmax' can be replayed, this evaluation used {learner['name']!r}.")
    return float(learner.get("C", 1.0))


def _compare(rows: pd.DataFrame, records: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    keys = ["dataset", "seed", "policy", "round"]
    replayed = pd.DataFrame.from_records(records, columns=[*keys, "replayed_accuracy", "replayed_balanced_accuracy"])
    reported = rows.astype({"dataset": str, "policy": str})[
        [*keys, "n_labelled", "test_accuracy", "test_balanced_accuracy"]
    ]
    table = replayed.merge(reported, on=keys, how="left", validate="one_to_one")
    if not len(table) or table["test_accuracy"].isna().any():
        raise DatasetError(
            "queries.npz and results.csv do not hold the same rounds; they belong to different evaluations."
        )
    table["difference"] = (table["replayed_accuracy"] - table["test_accuracy"]).abs()
    table["difference_balanced"] = (table["replayed_balanced_accuracy"] - table["test_balanced_accuracy"]).abs()
    return table


def difference_summary(table: pd.DataFrame) -> dict[str, float]:
    """Mean, 99th percentile and maximum of the absolute differences of `replay`, for both metrics."""
    columns = {"accuracy": table["difference"], "balanced": table["difference_balanced"]}
    return {
        f"{kind}_{name}": float(value)
        for kind, values in columns.items()
        for name, value in (("mean", values.mean()), ("p99", values.quantile(0.99)), ("max", values.max()))
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 if the accuracies agree within the bounds of the contract, 1 if not, 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m al_gym.evaluation.replay", description="Replay an evaluation with scikit-learn alone."
    )
    parser.add_argument("out", type=Path, help="folder of an evaluation made with --save-queries")
    parser.add_argument("--data", type=Path, default=None, help="folder of the npz files")
    parser.add_argument("--every", type=int, default=1, help="replay each n-th round and the last one")
    parser.add_argument("--dataset", action="append", help="replay this dataset only; may be repeated")
    parser.add_argument("--policy", action="append", help="replay this policy only; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args(arguments)
    try:
        table = replay(
            options.out / "queries.npz",
            options.data,
            every=options.every,
            datasets=options.dataset,
            policies=options.policy,
            jobs=options.jobs,
        )
    except (AlGymError, OSError) as error:
        Console(stderr=True).print(f"error: {error}", markup=False)
        return 2
    found = difference_summary(table)
    agrees = found["accuracy_mean"] <= MEAN_BOUND and found["accuracy_p99"] <= TAIL_BOUND
    console = Console()
    for kind in ("accuracy", "balanced"):
        mean, p99, worst = (100 * found[f"{kind}_{name}"] for name in ("mean", "p99", "max"))
        console.print(
            f"{kind}: difference in points: mean {mean:.4f}, 99th percentile {p99:.4f}, largest {worst:.4f}",
            highlight=False,
        )
    console.print(
        f"{len(table)} rounds replayed; {'within' if agrees else 'OUTSIDE'} the bounds of "
        f"{100 * MEAN_BOUND} (mean) and {100 * TAIL_BOUND} (99th percentile) points."
    )
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
