"""Episodes of N classes with K shots, and Omniglot from its layout on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from al_gym.campaign import Campaign
from al_gym.errors import DatasetError, ParameterError, TaskError
from al_gym.tasks import load_bundled
from al_gym.tasks.fewshot import FewShotTasks, SinusoidTasks, load_omniglot
from al_gym.tasks.task import make_task

DIGITS = load_bundled("digits")


def test_an_episode_has_the_shape_that_was_asked_for() -> None:
    tasks = FewShotTasks(DIGITS, ways=4, shots=3, queries=6)
    orders = set()
    for seed in range(20):
        episode = tasks.sample(np.random.default_rng(seed))
        assert len(set(episode.classes.tolist())) == 4
        for rows, labels, each in (
            (episode.support, episode.support_labels, 3),
            (episode.query, episode.query_labels, 6),
        ):
            assert np.bincount(labels).tolist() == [each] * 4
            np.testing.assert_array_equal(DIGITS.y[rows], episode.classes[labels])
        assert len(np.unique(np.concatenate([episode.support, episode.query]))) == 4 * 9
        orders.add(tuple(episode.classes.tolist()))
    assert len(orders) > 15
    same = [tasks.sample(np.random.default_rng(1)).support for _ in range(2)]
    np.testing.assert_array_equal(*same)


def test_classes_make_a_meta_split() -> None:
    train, test = (FewShotTasks(DIGITS, ways=3, classes=c) for c in ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9)))
    rng = np.random.default_rng(0)
    seen = {c for _ in range(30) for c in train.sample(rng).classes.tolist()}
    judged = {c for _ in range(30) for c in test.sample(rng).classes.tolist()}
    assert (seen, judged) == ({0, 1, 2, 3, 4}, {5, 6, 7, 8, 9})


def test_shots_help_and_labels_mean_what_they_say() -> None:
    """A classifier of the support tells the query apart, better with more shots and far above chance."""
    accuracy = {}
    for shots in (1, 5):
        tasks, hits = FewShotTasks(DIGITS, ways=5, shots=shots), []
        for seed in range(30):
            episode = tasks.sample(np.random.default_rng(seed))
            model = LogisticRegression().fit(DIGITS.X[episode.support] / 16, episode.support_labels)
            hits.append(model.score(DIGITS.X[episode.query] / 16, episode.query_labels))
        accuracy[shots] = np.mean(hits)
    assert accuracy[1] > 0.5
    assert accuracy[5] > accuracy[1] + 0.1


def test_an_episode_is_a_dataset_for_campaigns() -> None:
    episode = FewShotTasks(DIGITS, ways=3, shots=5, queries=15).sample(np.random.default_rng(0))
    dataset = episode.dataset(DIGITS, "episode")
    assert (dataset.n_items, dataset.n_classes, dataset.family) == (60, 3, DIGITS.family)
    assert dataset.class_names == tuple(DIGITS.class_names[c] for c in episode.classes)
    campaign = Campaign(1)
    campaign.load(np.array([0]), [make_task(dataset, 0, validation_size=10)], [6])
    assert campaign.accuracy(np.array([0]))[0] > 0.5


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"ways": 1}, ParameterError, "ways must be at least 2"),
        ({"shots": 0}, ParameterError, "shots must be at least 1"),
        ({"queries": 0}, ParameterError, "queries"),
        ({"classes": (3, 12)}, ParameterError, r"not \[12\]"),
        ({"ways": 11}, TaskError, "10 classes have 1 \\+ 15 items, 11 are needed"),
        ({"shots": 170}, TaskError, "lower ways, shots or queries"),
    ],
)
def test_impossible_episodes(arguments: dict, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        FewShotTasks(DIGITS, **arguments)


def write_omniglot(root: Path, part: str = "images_background") -> None:
    """Two alphabets of three characters, four drawings each: black strokes on white, as in the real files."""
    for alphabet in ("Greek", "Latin"):
        for character in range(3):
            folder = root / "omniglot-py" / part / alphabet / f"character{character + 1:02d}"
            folder.mkdir(parents=True)
            for drawing in range(4):
                ink = np.full((105, 105), 255, np.uint8)
                ink[30 * character : 30 * character + 20, 10 * drawing : 10 * drawing + 20] = 0
                Image.fromarray(ink).convert("1").save(folder / f"0001_{drawing:02d}.png")


def test_omniglot_in_the_layout_of_torchvision(tmp_path: Path) -> None:
    write_omniglot(tmp_path)
    dataset = load_omniglot(tmp_path, side=21)
    assert (dataset.n_items, dataset.n_classes, dataset.X.shape[1], dataset.X.dtype) == (24, 6, 441, np.uint8)
    assert dataset.class_names[0] == "Greek/character01"
    image = dataset.X[0].reshape(21, 21)
    assert image[:3, :3].mean() > 200, "a stroke is bright"
    assert image[10:, 10:].mean() == 0
    episode = FewShotTasks(dataset, ways=5, shots=1, queries=3).sample(np.random.default_rng(0))
    assert len(episode.query) == 15


def test_omniglot_that_is_not_there_or_broken(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no images in .*download=True"):
        load_omniglot(tmp_path)
    with pytest.raises(ParameterError, match="background, evaluation"):
        load_omniglot(tmp_path, "test")
    with pytest.raises(ParameterError, match="side"):
        load_omniglot(tmp_path, side=0)
    write_omniglot(tmp_path, "images_evaluation")
    next((tmp_path / "omniglot-py").rglob("*.png")).write_bytes(b"no image")
    with pytest.raises(DatasetError, match="cannot read the image"):
        load_omniglot(tmp_path, "evaluation")


def test_sinusoids_are_sinusoids() -> None:
    tasks, rng = SinusoidTasks(), np.random.default_rng(0)
    drawn = tasks.sample(rng, 50)
    x, y = map(torch.from_numpy, tasks.points(rng, drawn, 12))
    amplitude, phase = torch.from_numpy(drawn).unbind(1)
    torch.testing.assert_close(
        y.double(), amplitude[:, None] * (x[..., 0].double() - phase[:, None]).sin(), atol=1e-5, rtol=0
    )
    assert x.abs().max() <= 5
    assert 0.1 <= drawn[:, 0].min() <= drawn[:, 0].max() <= 5
    for bad in ({"amplitude": (2.0, 2.0)}, {"inputs": (1.0, -1.0)}):
        with pytest.raises(ParameterError, match="low < high"):
            SinusoidTasks(**bad)
    with pytest.raises(ParameterError, match="at least 1"):
        tasks.sample(rng, 0)
