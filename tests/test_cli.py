"""The command `al-gym`, as a user calls it."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from sample_data import blobs, write_folder

import al_gym
from al_gym import cli
from al_gym.evaluation import api

SMALL = ["--rounds", "2", "--seeds", "2", "--pool-size", "80", "--test-size", "60", "--jobs", "1"]


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "data", a=blobs("a"), b=blobs("b", seed=2))


def call(capsys, *arguments):
    status = cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_list_names_everything(capsys):
    status, out, _ = call(capsys, "list")
    assert status == 0
    names = [*al_gym.list_strategies(), *al_gym.list_learners(), *al_gym.list_suites(), *al_gym.list_policies()]
    for name in [
        *names,
        "descriptor",
        "lsa",
        "al_gym/Strategy-v0",
        "al_gym/Budget-v0",
        "al_gym/StrategyBudget-v0",
        "advantage",
    ]:
        assert re.search(rf"^\s*{re.escape(name)}\s", out, re.MULTILINE), name
    assert "smallest gap between the two most probable classes" in " ".join(out.split())
    assert 'needs `pip install "al-gym[text]"`' in " ".join(out.split()), "brackets are text, not markup"


@pytest.mark.parametrize("kind", cli.KINDS)
def test_list_of_one_kind(capsys, kind):
    status, out, _ = call(capsys, "list", kind)
    assert status == 0
    assert out.startswith(kind)
    headings = [line for line in out.splitlines() if line.strip() in cli.KINDS]
    assert [line.strip() for line in headings] == [kind]


def test_evaluate_writes_the_files_and_reports_what_it_skipped(capsys, folder, tmp_path):
    np.savez(folder / "broken.npz", X=np.full((60, 2), np.nan), y=np.arange(60) % 2)
    (folder / "nolabel.csv").write_text("x,z\n" + "1,2\n" * 50)
    status, out, _ = call(
        capsys, "evaluate", "--policy", "margin", "--policy", "u=uherding:power=2", "--data", folder, *SMALL,
        "--out", tmp_path / "out", "--save-queries",
    )  # fmt: skip
    assert status == 0
    assert "margin" in out and "AULC" in out
    assert re.search(r"2 skipped:.*broken\.npz: .*finite.*nolabel\.csv: .*label", out, re.DOTALL)
    rows = pd.read_csv(tmp_path / "out" / "results.csv", keep_default_na=False)
    assert set(rows["policy"]) == {"margin", "u"}
    assert len(rows) == 2 * 2 * 2 * 3
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(summary["skipped"]) == {"broken.npz", "nolabel.csv"}
    assert (tmp_path / "out" / "queries.npz").exists()


def test_without_out_a_new_folder_is_made(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--policy", "random", "--tasks", "bundled", "--datasets", names(tmp_path, "iris")]
    status, out, _ = call(capsys, "evaluate", *arguments, *SMALL)
    assert status == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "results.csv").exists()
    assert folder.name in out


def names(tmp_path, *datasets):
    path = tmp_path / "names.txt"
    path.write_text("\n".join(datasets) + "\n")
    return path


def test_every_flag_reaches_the_evaluation(monkeypatch):
    given = {}
    monkeypatch.setattr(api, "evaluate", lambda policies, **k: given.update(k, policies=policies) or stop())

    def stop():
        raise KeyboardInterrupt

    arguments = (
        "--policy a=margin --policy badge --data D --split s --datasets F --label-column l --text-column t "
        "--text-encoder lsa --group-column g --strict "
        "--trusted --seeds 3 --seed 4 --rounds 5 --batch-size 6 --initial 7 --pool-size 8 "
        "--test-size 9 --scaling none --max-budget-share 0.5 --label-noise 0.1 --learner softmax:C=2 "
        "--metric balanced-accuracy --round-cost 0.2 --review-effort 0.3 --jobs 2 --backend ray --save-queries --out O"
    )
    assert cli.main(["evaluate", *arguments.split()]) == cli.INTERRUPTED
    assert given == {
        "policies": ["a=margin", "badge"],
        "data": "D",
        "tasks": None,
        "split": "s",
        "datasets": "F",
        "label_column": "l",
        "text_encoder": "lsa",
        "group_column": "g",
        "text_column": "t",
        "strict": True,
        "trusted": True,
        "seeds": 3,
        "seed": 4,
        "rounds": 5,
        "batch_size": 6,
        "initial": 7,
        "pool_size": 8,
        "test_size": 9,
        "scaling": "none",
        "max_budget_share": 0.5,
        "label_noise": 0.1,
        "learner": "softmax:C=2",
        "review_effort": 0.3,
        "metric": "balanced-accuracy",
        "round_cost": 0.2,
        "jobs": 2,
        "backend": "ray",
        "save_queries": True,
        "out": "O",
        "progress": True,
    }


def test_defaults_of_the_flags_are_those_of_the_function(monkeypatch):
    from inspect import signature

    defaults = {key: p.default for key, p in signature(api.evaluate).parameters.items()}
    given = {}
    monkeypatch.setattr(api, "evaluate", lambda policies, **k: given.update(k) or 1 / 0)
    with pytest.raises(ZeroDivisionError):  # an unexpected error keeps its traceback
        cli.main(["evaluate", "--policy", "margin", "--tasks", "bundled"])
    assert given.pop("progress")
    assert given.pop("tasks") == "bundled"
    assert str(given.pop("out")).startswith(f"runs{os.sep}evaluate-")
    assert given == {key: defaults[key] for key in given}
    assert set(defaults) - set(given) == {"policies", "tasks", "out", "progress"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "margni", "--tasks", "bundled"], "'margin'"),
        (["--policy", "uherding:powr=1", "--tasks", "bundled"], "'power'"),
        (["--policy", "margin", "--tasks", "bundeld"], "'bundled'"),
        (["--policy", "margin", "--tasks", "bundled", "--learner", "sofmax"], "'softmax'"),
        (["--policy", "margin", "--tasks", "bundled", "--metric", "acuracy"], "'accuracy'"),
        (["--policy", "margin", "--tasks", "bundled", "--scaling", "minmax"], "minmax"),
        (["--policy", "margin", "--tasks", "bundled", "--rounds", "-5"], "rounds"),
        (["--policy", "margin", "--tasks", "bundled", "--initial", "0"], "initial"),
        (["--policy", "margin", "--tasks", "bundled", "--datasets", "no/such/file"], "no/such/file"),
        (["--policy", "margin", "--policy", "margin", "--tasks", "bundled"], "two policies"),
        (["--policy", "margin", "--data", "no/such/folder"], "no/such/folder"),
        (["--policy", "model.zip", "--tasks", "bundled"], "--trusted"),
    ],
)
def test_bad_input_is_one_line_and_status_2(capsys, tmp_path, arguments, words):
    status, out, err = call(capsys, "evaluate", *arguments, "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_strict_stops_at_a_bad_file(capsys, folder, tmp_path):
    np.savez(folder / "one.npz", X=np.ones((50, 2)), y=np.zeros(50))
    status, _, err = call(
        capsys, "evaluate", "--policy", "margin", "--data", folder, "--strict", "--out", tmp_path / "o", *SMALL
    )
    assert status == 2
    assert "one.npz" in err
    assert "one class" in err


def test_a_policy_in_the_current_folder(capsys, folder, tmp_path, monkeypatch):
    (tmp_path / "my_policy_module.py").write_text("def best(context):\n    return 'kcenter'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    status, _, _ = call(
        capsys, "evaluate", "--policy", "mine=my_policy_module:best", "--data", folder, "--out", "out", *SMALL
    )
    assert status == 0
    rows = pd.read_csv("out/results.csv", keep_default_na=False)
    assert set(rows["strategy"]) == {"", "kcenter"}


def test_label_column(capsys, tmp_path):
    data = blobs()
    frame = pd.DataFrame(data.X, columns=list("abcd")).assign(kind=np.array(["u", "v", "w"])[data.y])
    (tmp_path / "data").mkdir()
    frame.to_csv(tmp_path / "data" / "table.csv", index=False)
    arguments = ["--policy", "margin", "--data", tmp_path / "data", "--out", tmp_path / "out", *SMALL]
    assert call(capsys, "evaluate", *arguments)[0] == 2
    assert call(capsys, "evaluate", *arguments, "--label-column", "kind")[0] == 0


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1"}


def listen_to_ctrl_c():
    """A shell that starts the tests in the background makes its children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_help_is_quick_and_imports_no_torch():
    code = (
        "import sys\nfrom al_gym import cli\n"
        "try: cli.main(['evaluate', '--help'])\nfinally: assert 'torch' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert run.returncode == 0, run.stderr
    for flag in ("--policy", "--max-budget-share", "--save-queries", "--label-column"):
        assert flag in run.stdout


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_keeps_what_is_finished(folder, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "al_gym.cli", "evaluate", "--policy", "margin"]
    command += ["--data", str(folder), "--out", str(out)]
    arguments = ["--seeds", "150", "--rounds", "20", "--pool-size", "80", "--test-size", "60", "--jobs", "1"]
    process = subprocess.Popen(
        [*command, *arguments], stderr=subprocess.PIPE, text=True, env=environment(), preexec_fn=listen_to_ctrl_c
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("units/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert f"--out {out}" in err
    kept = {path: path.stat().st_mtime_ns for path in out.glob("units/*.npz")}
    assert kept
    assert not (out / "results.csv").exists()
    again = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment())
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(pd.read_csv(out / "results.csv")) == 2 * 150 * 17  # 3 seeds, 15 batches of 5, and 2 more


def test_against_prints_the_paired_differences(capsys, folder, tmp_path):
    common = ["evaluate", "--policy", "margin", "--policy", "fast=margin:batch=6", "--data", str(folder)]
    common += ["--seeds", "2", "--rounds", "2", "--jobs", "1", "--round-cost", "0.01", "--out", str(tmp_path / "out")]
    assert cli.main([*common, "--against", "fast"]) == 0
    out = capsys.readouterr().out
    assert "fast against the others" in out
    assert "utility" in out
    assert cli.main([*common, "--against", "slow"]) == 2
    assert "slow" in capsys.readouterr().err
