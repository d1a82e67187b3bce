"""Datasets in memory maps and the storage of large pools."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields

import gymnasium as gym
import numpy as np
import pytest
import torch

import al_gym
from al_gym import storage
from al_gym.campaign import Campaign
from al_gym.errors import DatasetError
from al_gym.pool import Shape
from al_gym.strategies import make_strategy
from al_gym.tasks import Dataset, load_folder, map_dataset, mapped
from al_gym.tasks.task import make_task


def sample(items=400, features=12, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=items)
    X = rng.normal(size=(items, features)).astype(np.float32) * 3 + 5 + y[:, None]
    X[:, 1] = 4.0  # constant
    return X, y


@pytest.fixture
def large(monkeypatch):
    """Every pool of more than 1,024 numbers is large, and blocks hold a few rows."""
    monkeypatch.setattr(storage, "MAPPED_BYTES", 2**12)
    monkeypatch.setattr(storage, "BLOCK_BYTES", 2**12)


@pytest.fixture
def files(tmp_path):
    X, y = sample()
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    np.savez(tmp_path / "both.npz", X=X, y=y)
    np.savez_compressed(tmp_path / "packed.npz", X=X, y=y)
    return tmp_path


def mapped_bytes(array):
    """Whether an array lies in a memory map."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


@pytest.mark.parametrize("arguments", [("X.npy", "y.npy"), ("both.npz", None), ("both.npz", "y.npy")])
def test_maps_are_equal_to_arrays_in_memory(files, arguments):
    features, labels = arguments
    dataset = map_dataset(files / features, labels if labels is None else files / labels)
    X, y = sample()
    assert mapped_bytes(dataset.X) and (dataset.X == X).all() and (dataset.y == y).all()
    assert dataset.content_hash == Dataset.from_arrays("other", X, y).content_hash


def test_large_npz_of_a_folder_is_mapped_and_a_small_one_read(files, monkeypatch):
    assert not mapped_bytes(load_folder(files)[0].get("both").X)
    monkeypatch.setattr(mapped, "MAP_BYTES", 1)
    found = load_folder(files)[0]
    assert mapped_bytes(found.get("both").X) and not mapped_bytes(found.get("packed").X)


def broken_files(folder):
    X, y = sample()
    np.save(folder / "ints.npy", X.astype(np.int64))
    np.save(folder / "swapped.npy", X.astype(">f4"))
    np.save(folder / "fortran.npy", np.asfortranarray(X))
    np.savez(folder / "no_x.npz", Z=X, y=y)
    (folder / "text.npy").write_text("no array")
    (folder / "cut.npy").write_bytes((folder / "X.npy").read_bytes()[:-100])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ints.npy", "dtype int64 cannot be mapped"),
        ("swapped.npy", "native order"),
        ("fortran.npy", "C order"),
        ("no_x.npz", "no array 'X'"),
        ("packed.npz", r"save it with numpy\.savez"),
        ("text.npy", r"numpy\.save"),
        ("cut.npy", "cut off"),
        ("absent.npy", "no file"),
    ],
)
def test_files_that_cannot_be_mapped(files, name, message):
    broken_files(files)
    with pytest.raises(DatasetError, match=message):
        map_dataset(files / name, files / "y.npy")


def test_an_npy_has_no_labels(files):
    with pytest.raises(DatasetError, match="give labels"):
        map_dataset(files / "X.npy", None)


@pytest.mark.parametrize("scaling", ["standardize", "center", "none"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_scaling_in_blocks_equals_scaling_at_once(large, scaling, dtype):
    X, y = sample()
    task = make_task(Dataset.from_arrays("d", X.clip(0).astype(dtype), y), 3, test_size=50, scaling=scaling)
    pool, holdout, labels = task.arrays()
    out = np.empty_like(pool)
    other_holdout, other_labels = task.fill(out)
    np.testing.assert_allclose(out, pool, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(other_holdout, holdout, rtol=1e-5, atol=1e-6)
    assert (other_labels == labels).all()


def queries(strategy, slots=3):
    X, y = sample()
    dataset = Dataset.from_arrays("d", X, y)
    campaign, strategies, all_slots = Campaign(slots), [make_strategy(strategy)], np.arange(slots)
    campaign.load(all_slots, [make_task(dataset, seed, test_size=50) for seed in range(slots)], [20] * slots)
    for _ in range(4):
        picked = campaign.select(all_slots, strategies, np.zeros(slots, np.int64), np.full(slots, 5))
        campaign.reveal(all_slots, picked)
    return [campaign.queries(slot).tolist() for slot in range(slots)], campaign.accuracy(all_slots)


@pytest.mark.parametrize("strategy", ["random", "entropy", "margin", "kcenter", "badge", "maxherding", "uherding"])
def test_selections_do_not_depend_on_where_the_pool_lies(strategy, monkeypatch):
    expected, accuracy = queries(strategy)
    monkeypatch.setattr(storage, "MAPPED_BYTES", 2**12)
    monkeypatch.setattr(storage, "BLOCK_BYTES", 2**12)
    found, other = queries(strategy)
    assert found == expected
    np.testing.assert_allclose(other, accuracy, atol=1e-6)


def test_nothing_anonymous_is_as_large_as_the_pool(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "MAPPED_BYTES", 2**20)
    monkeypatch.setattr(storage, "BLOCK_BYTES", 2**20)
    X, y = sample(84_000, 128)
    np.save(tmp_path / "X.npy", X)
    pool_bytes = 50_000 * 128 * 4
    del X
    tracemalloc.start()
    try:
        dataset = map_dataset(tmp_path / "X.npy", y)
        campaign = Campaign(1)
        campaign.load(np.zeros(1, np.int64), [make_task(dataset, 0, pool_size=50_000, test_size=100)], [20])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < pool_bytes / 3, f"numpy held {peak / 2**20:.0f} MiB for a pool of {pool_bytes / 2**20:.0f}"
    (block,) = campaign._order
    block.geometry.nearest_labelled(torch.zeros(1, dtype=torch.int64))  # writes the tiles
    arrays = {f.name: getattr(block.pool, f.name) for f in fields(block.pool)}
    held = {**arrays, **vars(block.hidden), **vars(block.geometry), **block.state}
    in_files = ("X", "_tiles")
    sizes = {name: a.nbytes for name, a in held.items() if isinstance(a, torch.Tensor) and name not in in_files}
    assert sum(sizes.values()) < pool_bytes / 3, sizes


def test_shape_of_a_large_pool_is_hardly_padded():
    shape = Shape.of(1_000_000, 33, 5, 60, 500, (1_000_000, 500), compiled=True)
    assert (shape.items, shape.features, shape.classes) == (1_000_000, 40, 5)


def test_environment_and_evaluation_take_a_map(files, large):
    dataset = map_dataset(files / "X.npy", files / "y.npy")
    env = gym.make("al_gym/Strategy-v0", tasks=dataset, pool_size=240, budget=10)
    env.reset(seed=0)
    observation, *_ = env.step(0)
    assert np.isfinite(observation).all()
    result = al_gym.evaluate(["margin", "random"], tasks=dataset, seeds=2, rounds=2, jobs=1, pool_size=240)
    assert result.results["test_accuracy"].between(0, 1).all() and len(result.results) == 12
