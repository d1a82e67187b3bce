"""The scikit-learn replay: agrees with an independent loop and sees every kind of mistake."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from al_gym.errors import DatasetError, ParameterError
from al_gym.evaluation.files import COLUMNS, write_json
from al_gym.evaluation.queries import CampaignQueries
from al_gym.evaluation.replay import difference_summary, fit_and_score, main, replay, scale
from al_gym.evaluation.results import ResultStore, Unit

SCALING = {"tab": "standardize", "emb": "center", "txt": "none"}
OFFSETS = [2, 5, 10, 15]


def make_data(name):
    rng = np.random.default_rng(len(name) + ord(name[0]))
    y = rng.integers(3, size=120)
    X = rng.normal(size=(120, 4)) * [1, 5, 0.1, 1] + y[:, None] * [1, 4, 0.1, 0]
    X[:, 3] = 2.5  # constant
    return X.astype(np.float32), np.array(["no", "maybe", "yes"])[y]


def run_campaign(name, seed, noise=False):
    """An evaluation of random queries written out with scikit-learn's own scaler and metrics."""
    X, y = make_data(name)
    codes = np.unique(y, return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(120)
    pool, test = order[:60], order[60:]
    first = pool[codes[pool] == codes[pool[0]]][:2]  # one class only: round 0 is a constant prediction
    queries = np.r_[first, [row for row in pool if row not in first][:13]]
    labels = np.where(np.arange(15) % 4 == 3, (codes[queries] + 1) % 3, codes[queries]) if noise else codes[queries]
    Z = X.astype(np.float64)
    if SCALING[name] == "standardize":
        Z = StandardScaler().fit(Z[pool]).transform(Z)
    elif SCALING[name] == "center":
        Z = Z - Z[pool].mean(axis=0)
        Z = Z / np.sqrt((Z[pool] ** 2).mean())
    records = []
    for r, n in enumerate(OFFSETS):
        rows, known = queries[:n], labels[:n]
        if len(set(known)) == 1:
            predicted = np.full(len(test), known[0])
        else:
            predicted = LogisticRegression(tol=1e-8, max_iter=10000).fit(Z[rows], known).predict(Z[test])
        batch = n - (OFFSETS[r - 1] if r else 0)
        scores = (np.mean(predicted == codes[test]), balanced_accuracy_score(codes[test], predicted))
        records.append((name, seed, "p,1", r, n, *scores, "random" if r else "", batch))
    campaign = CampaignQueries(pool, test, queries, OFFSETS, labels if noise else None)
    return pd.DataFrame.from_records(records, columns=COLUMNS), campaign


def make_evaluation(tmp_path, noise=False, learner=None):
    store = ResultStore(tmp_path / "out", {"policies": {"p,1": "random"}})
    (tmp_path / "data").mkdir()
    for name in SCALING:
        frames, campaigns = zip(*(run_campaign(name, seed, noise) for seed in (0, 1)), strict=True)
        store.add(Unit(name, "p,1", (0, 1)), pd.concat(frames), dict(enumerate(campaigns)))
        if name != "txt":
            X, y = make_data(name)
            np.savez(tmp_path / "data" / f"{name}.npz", X=X, y=y)
    store.finish({"txt": make_data("txt")}, save_queries=True)
    arguments = {"learner": learner or {"name": "softmax", "C": 1.0}}
    write_json(tmp_path / "out" / "summary.json", {"scaling": SCALING, "arguments": arguments})
    return tmp_path / "out"


@pytest.mark.parametrize("noise", [False, True])
def test_the_replay_agrees_with_an_independent_loop(tmp_path, noise):
    out = make_evaluation(tmp_path, noise)
    table = replay(out / "queries.npz", tmp_path / "data")
    assert len(table) == 3 * 2 * 4
    assert set(table["round"]) == {0, 1, 2, 3}
    found = difference_summary(table)
    assert found["accuracy_max"] <= 1e-6
    assert found["balanced_max"] <= 1e-6
    assert table["replayed_accuracy"].nunique() > 5


def test_a_wrong_result_is_seen(tmp_path, capsys):
    out = make_evaluation(tmp_path)
    command = [str(out), "--data", str(tmp_path / "data")]
    assert main(command) == 0
    assert "within" in capsys.readouterr().out
    rows = pd.read_csv(out / "results.csv", keep_default_na=False)
    rows.loc[5, "test_accuracy"] += 0.02
    rows.to_csv(out / "results.csv", index=False)
    assert difference_summary(replay(out / "queries.npz", tmp_path / "data"))["accuracy_max"] == pytest.approx(
        0.02, abs=1e-6
    )
    assert main(command) == 1
    assert "OUTSIDE" in capsys.readouterr().out


def test_a_wrong_scaling_and_a_wrong_order_are_seen(tmp_path):
    out = make_evaluation(tmp_path)
    write_json(out / "summary.json", {"scaling": dict.fromkeys(SCALING, "none"), "arguments": {}})
    table = replay(out / "queries.npz", tmp_path / "data")
    assert table[table["dataset"] == "txt"]["difference"].max() <= 1e-6
    assert table[table["dataset"] == "tab"]["difference"].max() > 0.01


def test_a_sample_of_rounds_datasets_and_policies(tmp_path):
    out = make_evaluation(tmp_path)
    table = replay(out / "queries.npz", tmp_path / "data", every=2, datasets=["tab"], policies=["p,1"])
    assert set(table["dataset"]) == {"tab"}
    assert sorted(set(table["round"])) == [0, 2, 3]  # each second one and the last
    two = replay(out / "queries.npz", tmp_path / "data", every=2, datasets=["tab"], jobs=2)
    pd.testing.assert_frame_equal(table, two)


def test_bad_input_is_named(tmp_path, capsys):
    out = make_evaluation(tmp_path)
    path, data = out / "queries.npz", tmp_path / "data"
    with pytest.raises(ParameterError, match="every"):
        replay(path, data, every=0)
    with pytest.raises(ParameterError, match="'wine'"):
        replay(path, data, datasets=["wine"])
    with pytest.raises(DatasetError, match="'emb'"):
        replay(path)
    assert main([str(out)]) == 2
    assert "emb" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere")]) == 2
    assert len(replay(path, datasets=["txt"])) == 8  # its data lie in queries.npz
    rows = pd.read_csv(out / "results.csv", keep_default_na=False)
    rows.assign(seed=rows["seed"] + 7).to_csv(out / "results.csv", index=False)
    with pytest.raises(DatasetError, match="seed 7"):
        replay(path, data)


def test_data_that_do_not_fit_are_refused(tmp_path):
    out = make_evaluation(tmp_path)
    X, y = make_data("tab")
    np.savez(tmp_path / "data" / "tab.npz", X=X[:50], y=y[:50])
    with pytest.raises(DatasetError, match="beyond the 50"):
        replay(out / "queries.npz", tmp_path / "data", datasets=["tab"])


def test_another_learner_cannot_be_replayed(tmp_path):
    out = make_evaluation(tmp_path, learner={"name": "knn"})
    with pytest.raises(ParameterError, match="'knn'"):
        replay(out / "queries.npz", tmp_path / "data")


def test_the_penalty_is_read_from_the_arguments(tmp_path):
    out = make_evaluation(tmp_path, learner={"name": "softmax", "C": 1e-3})
    assert replay(out / "queries.npz", tmp_path / "data")["difference"].max() > 0.01


def test_scaling_rules():
    X = np.array([[1.0, 7.0, 4.0], [3.0, 7.0, 8.0], [100.0, 9.0, -5.0]])
    np.testing.assert_allclose(scale(X, 2, "standardize"), [[-1, 0, -1], [1, 0, 1], [98, 0, -5.5]])
    size = np.sqrt((1 + 1 + 4 + 4) / 6)
    np.testing.assert_allclose(scale(X, 2, "center") * size, X - [2, 7, 6])
    np.testing.assert_array_equal(scale(X, 2, "none"), X)
    np.testing.assert_array_equal(scale(np.ones((3, 2)), 2, "center"), np.zeros((3, 2)))
    with pytest.raises(ParameterError, match="'auto'"):
        scale(X, 2, "auto")


def test_unseen_classes_are_errors():
    X, labels = np.array([[0.0], [1.0]]), np.array([0, 1])
    accuracy, balanced = fit_and_score(X, labels, np.array([[0.0], [1.0], [1.0], [0.0]]), np.array([0, 1, 2, 2]))
    assert accuracy == 0.5
    assert balanced == pytest.approx(2 / 3)
