"""The result store: exact format, order, crash safety and restarts."""

from __future__ import annotations

import io
import json
import pickle

import numpy as np
import pandas as pd
import pytest

from al_gym.errors import DatasetError, ParameterError, ResumeError
from al_gym.evaluation.files import COLUMNS, read_json, read_results, write_atomically, write_json, write_results
from al_gym.evaluation.results import ResultStore, Unit

from .made_up import made_up_rows

ARGUMENTS = {
    "policies": {"p": "margin", "q": "random"},
    "rounds": 4,
    "learner": {"name": "softmax", "C": 1.0},
    "jobs": 1,
}
UNITS = [Unit(d, p, seeds) for p in ("p", "q") for d in ("b", "a") for seeds in ((0, 1), (2,))]


def rows_of(unit, rows):
    return rows[(rows["dataset"] == unit.dataset) & (rows["policy"] == unit.policy) & rows["seed"].isin(unit.seeds)]


def fill(store, units, rows, **options):
    for unit in units:
        store.add(unit, rows_of(unit, rows), **options)


def test_results_csv_has_the_columns_and_order_of_the_contract(tmp_path):
    rows = made_up_rows()
    store = ResultStore(tmp_path, ARGUMENTS)
    fill(store, UNITS, rows.sample(frac=1, random_state=0))
    returned = store.finish()
    text = (tmp_path / "results.csv").read_text()
    lines = text.splitlines()
    assert lines[0] == "dataset,seed,policy,round,n_labelled,test_accuracy,test_balanced_accuracy,strategy,batch"
    first = rows.iloc[0]
    assert lines[1] == f"a,0,p,0,3,{first['test_accuracy']},{first['test_balanced_accuracy']},,3"
    assert lines[2].endswith(",margin,5")
    expected = rows.sort_values(["dataset", "seed", "policy", "round"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(text), keep_default_na=False), expected, check_dtype=False)
    text_types = {"dataset": str, "policy": str, "strategy": str}
    pd.testing.assert_frame_equal(returned.astype(text_types), expected.astype(text_types), check_dtype=False)
    pd.testing.assert_frame_equal(
        read_results(tmp_path / "results.csv").astype(text_types), returned.astype(text_types), check_dtype=False
    )


def test_the_file_does_not_depend_on_the_order_or_the_chunks_of_units(tmp_path):
    rows = made_up_rows()
    fill(ResultStore(tmp_path / "one", ARGUMENTS), UNITS, rows)
    whole = [Unit(d, p, (0, 1, 2)) for d in ("a", "b") for p in ("q", "p")]
    fill(ResultStore(tmp_path / "two", ARGUMENTS), whole, rows)
    for name in ("one", "two"):
        ResultStore(tmp_path / name, ARGUMENTS).finish()
    assert (tmp_path / "one/results.csv").read_bytes() == (tmp_path / "two/results.csv").read_bytes()


def test_awkward_names_survive(tmp_path):
    names = {"uherding:power=2,width=1": "x", 'say "hi"': "y", "nan": "z"}
    rows = made_up_rows(datasets=("NA", "ä/b"), policies=tuple(names))
    store = ResultStore(tmp_path, {"policies": names})
    for dataset in ("NA", "ä/b"):
        for policy in names:
            unit = Unit(dataset, policy, (0, 1, 2))
            store.add(unit, rows_of(unit, rows))
    store.finish()
    read = read_results(tmp_path / "results.csv")
    assert list(read["policy"].unique()) == list(names)
    assert list(read["dataset"].unique()) == ["NA", "ä/b"]
    assert set(pd.read_csv(tmp_path / "results.csv", keep_default_na=False)["policy"]) == set(names)


def test_a_large_file_written_in_parts_equals_pandas(tmp_path, monkeypatch):
    monkeypatch.setattr("al_gym.evaluation.files._ROWS_AT_ONCE", 7)
    rows = made_up_rows()
    write_results(tmp_path / "results.csv", rows)
    assert (tmp_path / "results.csv").read_text() == rows.to_csv(index=False, lineterminator="\n")


def test_missing_is_what_is_not_finished_whatever_the_chunks(tmp_path):
    rows = made_up_rows()
    store = ResultStore(tmp_path, ARGUMENTS)
    assert store.missing(UNITS) == UNITS
    fill(store, UNITS[:3], rows)
    restarted = ResultStore(tmp_path, ARGUMENTS)
    assert restarted.missing(UNITS) == UNITS[3:]
    other = [Unit("b", "p", (0, 1, 2, 3)), Unit("a", "p", (1, 2))]
    assert restarted.missing(other) == [Unit("b", "p", (3,)), Unit("a", "p", (2,))]


def test_a_kill_while_writing_leaves_no_unit(tmp_path, monkeypatch):
    store = ResultStore(tmp_path, ARGUMENTS)
    rows = made_up_rows()
    with monkeypatch.context() as patch:
        patch.setattr("al_gym.evaluation.files.os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fill(store, UNITS[:1], rows)
    assert list(tmp_path.rglob("*.tmp"))
    restarted = ResultStore(tmp_path, ARGUMENTS)
    assert restarted.missing(UNITS) == UNITS
    assert not list(tmp_path.rglob("*.tmp"))
    fill(restarted, UNITS, rows)
    assert len(restarted.finish()) == len(rows)


def test_a_write_that_fails_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"


def test_a_damaged_unit_is_named(tmp_path):
    store = ResultStore(tmp_path, ARGUMENTS)
    fill(store, UNITS[:1], made_up_rows())
    damaged = tmp_path / "units" / UNITS[0].file_name
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(ResumeError, match=UNITS[0].file_name):
        store.missing(UNITS)


def test_added_policies_are_fine_and_join_the_results(tmp_path):
    rows = made_up_rows(policies=("p", "q", "new"))
    fill(ResultStore(tmp_path, ARGUMENTS), UNITS, rows)
    more = {**ARGUMENTS, "policies": {"new": "badge", **ARGUMENTS["policies"]}, "jobs": 2}
    store = ResultStore(tmp_path, more)
    assert store.missing(UNITS) == []
    added = [Unit(d, "new", (0, 1, 2)) for d in ("a", "b")]
    assert store.missing(added) == added
    fill(store, added, rows)
    assert len(store.finish()) == len(rows)
    assert list(store.rows()["policy"].unique()) == ["new", "p", "q"]
    assert read_json(tmp_path / "arguments.json") == more


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds": 5}, "rounds: 4 before, 5 now"),
        ({"learner": {"name": "softmax", "C": 2.0}}, "learner.C: 1.0 before, 2.0 now"),
        ({"policies": {"p": "entropy", "q": "random"}}, "policies.p: 'margin' before, 'entropy' now"),
        ({"policies": {"p": "margin"}}, r"policies.q: 'random' before, '\(absent\)' now"),
        ({"label_noise": 0.1}, r"label_noise: '\(absent\)' before, 0.1 now"),
    ],
)
def test_changed_arguments_are_refused_with_the_difference(tmp_path, change, message):
    ResultStore(tmp_path, ARGUMENTS)
    with pytest.raises(ResumeError, match=message):
        ResultStore(tmp_path, {**ARGUMENTS, **change})
    assert read_json(tmp_path / "arguments.json") == ARGUMENTS


def test_a_folder_of_something_else_and_no_policies_are_refused(tmp_path):
    (tmp_path / "results.csv").write_text("mine")
    with pytest.raises(ResumeError, match=r"no arguments\.json"):
        ResultStore(tmp_path, ARGUMENTS)
    with pytest.raises(ParameterError, match="policies"):
        ResultStore(tmp_path / "new", {"rounds": 3})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(policy="q"), "'policy'"),
        (lambda f: f[f["seed"] == 0], "'seed'"),
        (lambda f: f.drop(columns="batch"), "'batch'"),
        (lambda f: f[f["round"] != 2], "rounds"),
        (lambda f: f.assign(batch=4), "n_labelled"),
        (lambda f: f.assign(strategy="margin"), "round 0"),
        (lambda f: f.assign(test_accuracy=1.2), "test_accuracy"),
        (lambda f: f.assign(test_balanced_accuracy=np.nan), "test_balanced_accuracy"),
    ],
)
def test_a_frame_that_is_not_the_units_is_refused(tmp_path, change, message):
    store = ResultStore(tmp_path, ARGUMENTS)
    with pytest.raises(ParameterError, match=message):
        store.add(UNITS[0], change(rows_of(UNITS[0], made_up_rows())))
    with pytest.raises(ParameterError, match="not among"):
        store.add(Unit("a", "other", (0,)), made_up_rows(policies=("other",), datasets=("a",), seeds=(0,)))
    assert store.missing(UNITS) == UNITS


def test_exhausted_datasets_are_remembered_over_a_restart(tmp_path):
    rows = made_up_rows()
    store = pickle.loads(pickle.dumps(ResultStore(tmp_path, ARGUMENTS)))  # workers get a copy
    fill(store, UNITS[:4], rows)
    fill(store, [u for u in UNITS[4:] if u.dataset == "b"], rows, exhausted=[1])
    assert ResultStore(tmp_path, ARGUMENTS).exhausted() == ["b"]


def test_files_that_are_not_results_are_refused(tmp_path):
    (tmp_path / "results.csv").write_text("dataset,policy,strategy\n")
    with pytest.raises(DatasetError, match="'seed'"):
        read_results(tmp_path / "results.csv")
    (tmp_path / "list.json").write_text(json.dumps(COLUMNS))
    with pytest.raises(DatasetError, match="list"):
        read_json(tmp_path / "list.json")
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "nan.json", {"x": float("nan")})
