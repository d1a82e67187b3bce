"""Recall at a fixed review effort: the number itself, and its way through an evaluation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from al_gym.cli import main
from al_gym.errors import DatasetError, ParameterError
from al_gym.evaluation.api import evaluate
from al_gym.evaluation.review import recall_at
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.scaling import Scaler


def rare(n: int = 500, share: float = 0.06, seed: int = 0) -> Dataset:
    """A rule and two rare kinds that stand a little apart."""
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(n) < share, 1 + rng.integers(2, size=n), 0)
    X = rng.normal(size=(n, 4)) + np.array([[0, 0, 0, 0], [2, 0, 0, 0], [0, 2, 0, 0]])[y]
    return Dataset("rare", X, y, ("good", "dent", "scratch"))


def test_the_most_suspicious_share_is_reviewed() -> None:
    suspicion = np.array([0.9, 0.1, 0.8, 0.3, 0.7, 0.2, 0.0, 0.4, 0.5, 0.6])
    wanted = np.isin(np.arange(10), [0, 3, 4])
    assert [recall_at(suspicion, wanted, effort) for effort in (0.1, 0.2, 0.3, 0.31, 0.7, 1.0)] == pytest.approx(
        [1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1]
    )


def test_ties_count_with_the_mean_over_their_orders() -> None:
    suspicion, wanted = np.array([1.0, 0.5, 0.5, 0.5, 0.0]), np.array([1, 1, 0, 0, 1], bool)
    drawn = []
    rng = np.random.default_rng(0)
    for _ in range(4000):
        order = np.lexsort([rng.random(5), -suspicion])
        drawn.append(wanted[order[:2]].sum() / 3)
    assert recall_at(suspicion, wanted, 0.4) == pytest.approx(np.mean(drawn), abs=0.01)
    assert recall_at(np.zeros(5), wanted, 0.2) == pytest.approx(0.2)


def test_rows_hold_the_recall_that_scikit_learn_gives(tmp_path: Path) -> None:
    data = rare()
    evaluate(["margin"], tasks=data, seeds=2, rounds=3, review_effort=0.1, out=tmp_path, save_queries=True)
    rows = pd.read_csv(tmp_path / "results.csv", keep_default_na=False)
    with np.load(tmp_path / "queries.npz") as queries:
        for row in rows.itertuples():
            pool, test = queries[f"rare/{row.seed}/pool"], queries[f"rare/{row.seed}/test"]
            labelled = queries[f"rare/{row.seed}/margin/queries"][: row.n_labelled]
            scaler = Scaler(data.X[pool], "standardize")
            model = LogisticRegression(C=1, tol=1e-8, max_iter=10_000).fit(scaler(data.X[labelled]), data.y[labelled])
            suspicion = 1 - model.predict_proba(scaler(data.X[test]))[:, 0]
            expected = recall_at(suspicion, data.y[test] != 0, 0.1)
            assert row.test_review_recall == pytest.approx(expected, abs=0.001)
    assert rows["test_review_recall"].nunique() > 4


def test_summary_and_command_line_take_the_recall_as_metric(tmp_path: Path) -> None:
    data = rare()
    np.savez(tmp_path / "rare.npz", X=data.X, y=data.y)
    arguments = ["evaluate", "--policy", "random", "--data", str(tmp_path), "--seeds", "2", "--rounds", "2"]
    out = tmp_path / "out"
    assert (
        main([*arguments, "--review-effort", "0.2", "--metric", "review-recall", "--jobs", "1", "--out", str(out)]) == 0
    )
    rows = pd.read_csv(out / "results.csv", keep_default_na=False)
    result = evaluate(["random"], tasks=data, seeds=2, rounds=2, review_effort=0.2, metric="review-recall")
    last = rows[rows["round"] == 2]["test_review_recall"].mean()
    assert result.summary["policies"]["random"]["final_accuracy"] == pytest.approx(last, abs=1e-4)
    assert main([*arguments, "--metric", "review-recall", "--out", str(tmp_path / "other")]) == 2


def test_without_a_review_the_file_is_as_before() -> None:
    assert "test_review_recall" not in evaluate(["random"], tasks=rare(), seeds=1, rounds=1).results


def test_impossible_reviews_are_refused() -> None:
    for bad in (0.0, 1.5, -1):
        with pytest.raises(ParameterError, match="review_effort"):
            evaluate(["random"], tasks=rare(), review_effort=bad)
    data = rare()
    rows = np.r_[np.flatnonzero(data.y == 0), np.flatnonzero(data.y)[:3]]
    few = Dataset("few", data.X[rows], data.y[rows], data.class_names)
    with pytest.raises(DatasetError, match="largest class alone"):
        evaluate(["random"], tasks=few, seeds=20, rounds=1, review_effort=0.1)
