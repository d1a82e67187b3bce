"""Formats of an evaluation end to end, resuming, and the replay with scikit-learn alone."""

import json

import numpy as np
import pandas as pd
import pytest
from sample_data import blobs, write_folder
from sklearn.datasets import load_iris, load_wine

import al_gym
from al_gym.errors import DatasetError, ParameterError, ResumeError, UnknownNameError
from al_gym.evaluation import results, runner
from al_gym.evaluation.api import evaluate
from al_gym.evaluation.files import COLUMNS
from al_gym.evaluation.replay import difference_summary, replay

SMALL = {"rounds": 3, "pool_size": 80, "test_size": 60, "jobs": 1, "seeds": 3}
HEADER = "dataset,seed,policy,round,n_labelled,test_accuracy,test_balanced_accuracy,strategy,batch"


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "data", a=blobs("a"), b=blobs("b", seed=2, modality="image-embedding"))


def test_files_are_those_of_the_contract(folder, tmp_path):
    out = tmp_path / "out"
    np.savez(folder / "bad.npz", X=np.ones((50, 2)), y=np.zeros(50))
    result = evaluate(
        {"m": "margin", "u": "uherding:power=2", "switch": "switch", "oracle": "oracle"}, data=folder, out=out, **SMALL
    )
    assert HEADER == ",".join(COLUMNS) == (out / "results.csv").read_text().split("\n")[0]
    rows = pd.read_csv(out / "results.csv", keep_default_na=False)
    assert len(rows) == 2 * 3 * 4 * 4
    assert rows.groupby(["dataset", "seed", "policy"])["round"].apply(list).map(lambda r: r == [0, 1, 2, 3]).all()
    assert ((rows["strategy"] == "") == (rows["round"] == 0)).all()
    assert set(rows.loc[rows["policy"] == "u", "strategy"]) == {"", "uherding"}
    assert set(rows.loc[rows["policy"] == "switch", "strategy"]) == {"", "maxherding"}
    assert rows["n_labelled"].equals(rows.groupby(["dataset", "seed", "policy"])["batch"].cumsum())
    summary = json.loads((out / "summary.json").read_text())
    assert {"policies", "paired", "best_fixed", "oracle_of_fixed_aulc", "datasets", "seeds", "scaling"} <= set(summary)
    assert {"skipped", "exhausted", "versions", "arguments"} <= set(summary)
    assert set(summary["policies"]["m"]) >= {"aulc", "aulc_ci95", "final_accuracy", "mean_rank", "privileged"}
    assert set(summary["paired"]["m"]["u"]) >= {"difference", "ci95", "p_holm", "win", "tie", "loss"}
    assert [name for name, entry in summary["policies"].items() if entry["privileged"]] == ["oracle"]
    assert summary["best_fixed"] in ("m", "u")
    assert (summary["datasets"], summary["seeds"]) == (2, 3)
    assert summary["scaling"] == {"a": "standardize", "b": "center"}
    assert list(summary["skipped"]) == ["bad.npz"]
    assert "one class" in summary["skipped"]["bad.npz"]
    assert summary["arguments"]["learner"]["name"] == "softmax"
    assert summary["arguments"]["policies"]["u"] == "uherding:power=2"
    assert summary == json.loads(json.dumps(result.summary))
    assert result.results["test_accuracy"].equals(rows["test_accuracy"])
    assert result.table().row_count == 5


def test_aulc_of_the_summary_is_the_trapezoid_of_the_rows(folder):
    result = evaluate(["margin"], data=folder, **SMALL)
    areas = [
        np.trapezoid(part["test_accuracy"], part["n_labelled"]) / 15
        for _, part in result.results.groupby(["dataset", "seed"], observed=True)
    ]
    assert np.isclose(result.summary["policies"]["margin"]["aulc"], np.mean(areas))


class Killed(Exception):
    """Stands for a kill between two writes."""


def kill_after(monkeypatch, units):
    add, written = results.ResultStore.add, []

    def dying(self, *arguments, **keywords):
        if len(written) == units:
            raise Killed
        written.append(1)
        add(self, *arguments, **keywords)

    monkeypatch.setattr(results.ResultStore, "add", dying)


@pytest.mark.parametrize("units", [0, 1, 5])
def test_a_killed_evaluation_goes_on_to_the_same_bytes(folder, tmp_path, monkeypatch, units):
    policies = ["margin", "badge", "switch"]
    evaluate(policies, data=folder, out=tmp_path / "whole", save_queries=True, **SMALL)
    monkeypatch.setattr(runner, "SEEDS_AT_ONCE", 1)
    with monkeypatch.context() as context:
        kill_after(context, units)
        with pytest.raises(Killed):
            evaluate(policies, data=folder, out=tmp_path / "killed", save_queries=True, **SMALL)
    assert not (tmp_path / "killed" / "results.csv").exists()
    assert len(list((tmp_path / "killed" / "units").glob("*.npz"))) == units
    monkeypatch.setattr(runner, "SEEDS_AT_ONCE", 2)
    evaluate(policies, data=folder, out=tmp_path / "killed", save_queries=True, **SMALL)
    assert (tmp_path / "whole" / "results.csv").read_bytes() == (tmp_path / "killed" / "results.csv").read_bytes()
    with np.load(tmp_path / "whole" / "queries.npz") as a, np.load(tmp_path / "killed" / "queries.npz") as b:
        assert sorted(a) == sorted(b)
        assert all(np.array_equal(a[key], b[key]) for key in a)


def test_a_finished_evaluation_computes_nothing_again(folder, tmp_path, monkeypatch):
    first = evaluate(["margin"], data=folder, out=tmp_path / "out", **SMALL)
    calls = []
    monkeypatch.setattr(runner, "run_policy", lambda *a, **k: calls.append(a))
    again = evaluate(["margin"], data=folder, out=tmp_path / "out", **SMALL)
    assert not calls
    assert first.results.equals(again.results)
    assert first.summary == again.summary


def test_added_policies_are_fine(folder, tmp_path, monkeypatch):
    evaluate(["margin"], data=folder, out=tmp_path / "out", **SMALL)
    run, names = runner.run_policy, []
    monkeypatch.setattr(runner, "run_policy", lambda name, *a, **k: names.append(name) or run(name, *a, **k))
    more = evaluate(["margin", "badge"], data=folder, out=tmp_path / "out", **SMALL)
    assert set(names) == {"badge"}
    both = evaluate(["margin", "badge"], data=folder, **SMALL)
    assert more.results.equals(both.results)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rounds": 4}, "rounds: 3 before, 4 now"),
        ({"seeds": 2}, "seeds"),
        ({"seed": 1}, "seed: 0 before"),
        ({"learner": "softmax:C=2"}, r"learner\.C: 1\.0 before, 2 now"),
        ({"round_cost": 0.1}, "round_cost"),
        ({"policies": {"margin": "margin:batch=2"}}, r"policies\.margin: 'margin' before"),
        ({"policies": ["badge"]}, r"policies\.margin"),
    ],
)
def test_changed_arguments_are_refused_with_the_difference(folder, tmp_path, change, word):
    arguments = {"policies": ["margin"], "data": folder, "out": tmp_path / "out", **SMALL}
    evaluate(**arguments)
    before = (tmp_path / "out" / "results.csv").read_bytes()
    with pytest.raises(ResumeError, match=word):
        evaluate(**(arguments | change))
    assert (tmp_path / "out" / "results.csv").read_bytes() == before


def test_jobs_may_change_at_a_restart(folder, tmp_path):
    evaluate(["margin"], data=folder, out=tmp_path / "out", **SMALL)
    evaluate(["margin"], data=folder, out=tmp_path / "out", save_queries=True, **(SMALL | {"jobs": 2}))
    assert (tmp_path / "out" / "queries.npz").exists()


def test_a_dataset_that_left_the_folder_is_noticed(folder, tmp_path):
    evaluate(["margin"], data=folder, out=tmp_path / "out", **SMALL)
    (folder / "a.npz").unlink()
    with pytest.raises(ResumeError, match="'a'"):
        evaluate(["margin"], data=folder, out=tmp_path / "out", **SMALL)


def test_scikit_learn_alone_gives_the_same_accuracies(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    iris, wine = load_iris(as_frame=True), load_wine()
    iris.frame.to_csv(data / "iris.csv", index=False)
    np.savez(data / "wine.npz", X=wine.data, y=wine.target)
    rng = np.random.default_rng(0)
    y = rng.choice(np.array(["x", "y", "z", "w"]), 240, p=[0.5, 0.3, 0.15, 0.05])
    X = rng.normal(0, 1.5, (240, 30)) + (np.unique(y, return_inverse=True)[1][:, None] == np.arange(30) % 4) * 1.5
    np.savez(data / "many.npz", X=X.astype(np.float16), y=y, modality="text-embedding")
    evaluate(
        ["margin", "switch", "random"], data=data, seeds=3, rounds=8, pool_size=120, jobs=1, out=out, save_queries=True
    )
    table = replay(out / "queries.npz", data)
    found = difference_summary(table)
    assert len(table) == 3 * 3 * 3 * 9
    assert found["accuracy_mean"] <= 0.0005
    assert found["accuracy_p99"] <= 0.005
    assert found["balanced_mean"] <= 0.001
    with np.load(out / "queries.npz") as saved:
        assert np.array_equal(saved["iris/y"], iris.target)
        assert not [key for key in saved if key.startswith(("wine/X", "many/X"))]


def test_replay_under_noise_and_another_penalty(folder, tmp_path):
    evaluate(
        ["entropy"],
        data=folder,
        out=tmp_path / "out",
        save_queries=True,
        label_noise=0.2,
        learner="softmax:C=0.1",
        **SMALL | {"seeds": 40},  # an item of 60 on a boundary decides a round: enough rounds for a mean and a quantile
    )
    found = difference_summary(replay(tmp_path / "out" / "queries.npz", folder))
    assert found["accuracy_mean"] <= 0.0005
    assert found["accuracy_p99"] <= 0.005


def test_datasets_restrict_and_unknown_ones_have_neighbours(folder, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("# mine\nb\n")
    assert set(evaluate(["margin"], data=folder, datasets=names, **SMALL).results["dataset"]) == {"b"}
    assert set(evaluate(["margin"], tasks="bundled", datasets=["iris"], **SMALL).results["dataset"]) == {"iris"}
    with pytest.raises(UnknownNameError, match="'iris'"):
        evaluate(["margin"], tasks="bundled", datasets=["iriss"], **SMALL)


def test_a_suite_is_evaluated_on_its_test_split():
    result = evaluate(["random"], tasks="synthetic-small", **(SMALL | {"seeds": 1}))
    test = al_gym.load_tasks("synthetic-small", "test").names
    assert sorted(set(result.results["dataset"])) == sorted(test)
    assert result.summary["arguments"]["split"] == "test"
    valid = evaluate(["random"], tasks="synthetic-small", split="valid", **(SMALL | {"seeds": 1}))
    assert not set(valid.results["dataset"]) & set(test)


def test_round_costs_add_utility(folder):
    result = evaluate(["margin", "margin:batch=15"], data=folder, round_cost=0.01, **SMALL)
    for name, rounds in (("margin", 3), ("margin:batch=15", 1)):
        entry = result.summary["policies"][name]
        assert np.isclose(entry["utility"], entry["aulc"] - 0.01 * rounds)


def test_metric_chooses_what_is_summarised(folder):
    result = evaluate(["margin"], data=folder, metric="balanced-accuracy", **SMALL)
    last = result.results.query("round == 3")["test_balanced_accuracy"].mean()
    assert np.isclose(result.summary["policies"]["margin"]["final_accuracy"], last)


@pytest.mark.parametrize(
    ("bad", "error", "word"),
    [
        ({}, ParameterError, "exactly one of data"),
        ({"tasks": "bundled", "data": "x"}, ParameterError, "exactly one of data"),
        ({"tasks": "bundled", "label_column": "y"}, ParameterError, "label_column"),
        ({"data": "x", "split": "test"}, ParameterError, "split"),
        ({"data": "no/such/folder"}, DatasetError, "no/such/folder"),
        ({"tasks": "bundeld"}, UnknownNameError, "bundled"),
        ({"tasks": "bundled", "split": "tset"}, UnknownNameError, "test"),
        ({"tasks": "bundled", "metric": "acuracy"}, UnknownNameError, "accuracy"),
        ({"tasks": "bundled", "jobs": 0}, ParameterError, "jobs"),
        ({"tasks": "bundled", "round_cost": float("nan")}, ParameterError, "round_cost"),
        ({"tasks": "bundled", "save_queries": True}, ParameterError, "out="),
        ({"tasks": "bundled", "seeds": -3}, ParameterError, "seeds"),
        ({"tasks": "bundled", "pool_size": 1}, ParameterError, "pool_size"),
    ],
)
def test_bad_arguments_are_typed_errors(bad, error, word):
    with pytest.raises(error, match=word):
        evaluate(["margin"], **bad)
