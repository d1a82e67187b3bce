"""Exact continuation of a run that was stopped, killed, or lengthened (promise P10)."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from runs import arguments, change_config
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import callbacks
from agents.callbacks import Stopped
from agents.checkpoint import checkpoints
from al_gym.errors import ParameterError, ResumeError
from train_policy import Arguments, main

ROOT = Path(__file__).resolve().parents[2]


def stop_at(monkeypatch: pytest.MonkeyPatch, timesteps: int) -> None:
    """SIGTERM arrives in the middle of the rollout that passes `timesteps`."""

    def on_step(self: callbacks.Checkpoints) -> bool:
        if self.model.num_timesteps >= timesteps and self.stop.received is None:
            os.kill(os.getpid(), signal.SIGTERM)
        return True

    monkeypatch.setattr(callbacks.Checkpoints, "_on_step", on_step)


def newest(folder: Path) -> dict:
    return torch.load(checkpoints(folder)[-1], weights_only=True)


def assert_same(a: object, b: object) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def assert_same_end(whole: Path, parts: Path) -> None:
    for name, tensor in load_file(whole / "policy.safetensors").items():
        assert torch.equal(tensor, load_file(parts / "policy.safetensors")[name]), name
    a, b = newest(whole), newest(parts)
    for info in (*a["model"]["episodes"], *b["model"]["episodes"]):
        info.pop("t")  # seconds
    for key in ("model", "generators"):
        assert_same(a[key], b[key])


def next_second() -> None:
    """TensorBoard names its files by the second, then by a number that sorts as text: 10 before 9."""
    time.sleep(1.01 - time.time() % 1)


@pytest.mark.parametrize("algo", ["ppo", "recurrent-ppo", "dqn"])
@pytest.mark.parametrize("falling", [False, True], ids=["constant", "falling-rate-and-groups"])
def test_a_stopped_run_ends_with_the_same_bits(
    algo: str, falling: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = arguments(tmp_path, "whole", algo)
    if falling:
        change_config(given["config"], group_size=2, algorithm={"final_learning_rate": 0.001})
    whole = main(Arguments(**given))
    given["out"] = str(tmp_path / "parts")
    for timesteps in (40, 90):
        next_second()
        with monkeypatch.context() as patch:
            stop_at(patch, timesteps)
            with pytest.raises(Stopped):
                main(Arguments(**{**given, "resume": timesteps == 90}))
        at = newest(tmp_path / "parts")["model"]["counters"]["num_timesteps"]
        assert timesteps <= at < timesteps + 24
    next_second()
    parts = main(Arguments(**{**given, "resume": True}))
    assert_same_end(whole, parts)
    a, b = (pd.read_csv(folder / "progress.csv") for folder in (whole, parts))
    clocks = ["time/fps", "time/time_elapsed", "time/iterations"]
    pd.testing.assert_frame_equal(
        a.drop(columns=clocks, errors="ignore"),
        b.drop(columns=clocks, errors="ignore"),
        check_like=True,
        check_exact=True,
    )
    assert a["time/total_timesteps"].is_monotonic_increasing
    curves = []
    for folder in (whole, parts):
        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        curves.append([(e.step, e.value) for e in events.Scalars("rollout/ep_rew_mean")])
    assert curves[0] == curves[1]


def test_a_killed_run_loses_at_most_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    whole = main(Arguments(**arguments(tmp_path, "whole", total_timesteps=240)))
    given = arguments(tmp_path, "parts", total_timesteps=240)
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom train_policy import *\nmain(Arguments(**{given!r}))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    parts = tmp_path / "parts"
    deadline = time.monotonic() + 120
    while len(checkpoints(parts)) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.kill()
    process.wait()
    at = int(checkpoints(parts)[-1].stem)
    assert 48 <= at < 240
    rows = [line.split(",") for line in (parts / "progress.csv").read_text().splitlines()]
    column = rows[0].index("time/total_timesteps")
    assert int(rows[-1][column]) - at <= 48
    (parts / "checkpoints" / "000000009999.pt.1-1.tmp").write_bytes(b"half a checkpoint")
    assert main(Arguments(**{**given, "resume": True})) == parts
    assert_same_end(whole, parts)
    assert not list((parts / "checkpoints").glob("*.tmp"))


def test_shards_take_the_steps_of_one_process_and_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Actions, episodes and rewards of both; a stopped run in shards ends with the bits of one that was not."""
    one = main(Arguments(**arguments(tmp_path, "one")))
    given = arguments(tmp_path, "parts", shards=2)
    with monkeypatch.context() as patch:
        stop_at(patch, 60)
        with pytest.raises(Stopped):
            main(Arguments(**given))
    assert not multiprocessing.active_children()
    parts = main(Arguments(**{**given, "resume": True}))
    assert_same_end(main(Arguments(**arguments(tmp_path, "whole", shards=2))), parts)
    a, b = newest(one)["model"], newest(parts)["model"]
    assert [info["l"] for info in a["episodes"]] == [info["l"] for info in b["episodes"]]
    np.testing.assert_allclose(*([i["r"] for i in end["episodes"]] for end in (a, b)), atol=1e-5)
    np.testing.assert_allclose(a["last_obs"], b["last_obs"], atol=1e-5)
    tensors = load_file(one / "policy.safetensors")
    for name, tensor in load_file(parts / "policy.safetensors").items():
        np.testing.assert_allclose(tensor, tensors[name], atol=1e-3)
    assert json.loads((parts / "policy.json").read_text())["strategies"] == ["random", "margin", "entropy"]


def test_a_run_keeps_its_number_of_shards(tmp_path: Path) -> None:
    given = arguments(tmp_path, "run", total_timesteps=24)
    folder = main(Arguments(**given))
    with pytest.raises(ResumeError, match=r"has shards=1, got 2; leave it out"):
        main(Arguments(**{**given, "resume": True, "shards": 2}))
    saved = json.loads((folder / "args.json").read_text())
    del saved["shards"]  # as runs of before the argument
    (folder / "args.json").write_text(json.dumps(saved))
    with pytest.raises(ResumeError, match=r"holds the environments of --shards 1, got 2: continue with 1"):
        main(Arguments(**{**given, "resume": True, "shards": 2}))


@pytest.mark.parametrize(("shards", "message"), [(0, "shards must be at least 1"), (5, "4 environments .* 5 shards")])
def test_impossible_numbers_of_shards(shards: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=message):
        main(Arguments(**arguments(tmp_path, "run", shards=shards)))


def test_a_run_can_be_lengthened(tmp_path: Path) -> None:
    whole = main(Arguments(**arguments(tmp_path, "whole")))
    main(Arguments(**arguments(tmp_path, "parts", total_timesteps=72)))
    parts = main(Arguments(**arguments(tmp_path, "parts", resume=True)))
    assert json.loads((parts / "args.json").read_text())["total_timesteps"] == 144
    assert_same_end(whole, parts)


def test_a_killed_run_without_a_checkpoint_starts_again(tmp_path: Path) -> None:
    whole = main(Arguments(**arguments(tmp_path, "whole", total_timesteps=48)))
    (tmp_path / "parts").mkdir()
    parts = main(Arguments(**arguments(tmp_path, "parts", total_timesteps=48, resume=True)))
    assert_same_end(whole, parts)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    given = arguments(tmp_path, "run", total_timesteps=72)
    folder = main(Arguments(**given))
    whole = load_file(folder / "policy.safetensors")
    last = checkpoints(folder)[-1]
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(ResumeError, match=f"{last.name}.*Delete it"):
        main(Arguments(**{**given, "resume": True}))
    last.unlink()
    main(Arguments(**{**given, "resume": True}))
    for name, tensor in load_file(folder / "policy.safetensors").items():
        assert torch.equal(tensor, whole[name])
