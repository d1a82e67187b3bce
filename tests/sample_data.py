"""Small datasets for tests of policies, evaluation and the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from al_gym.campaign import Campaign
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.task import make_task


def blobs(name="blobs", n=160, d=4, classes=3, seed=0, modality="tabular", spread=1.6):
    """Overlapping Gaussian clusters."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    X = rng.normal(0, 2, (classes, d))[y] + rng.normal(0, spread, (n, d))
    return Dataset.from_arrays(name, X.astype(np.float32), y, modality=modality)


def write_folder(folder: Path, **datasets: Dataset):
    """Save datasets as npz files under the given names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, dataset in datasets.items():
        np.savez(folder / f"{name}.npz", X=dataset.X, y=dataset.y, modality=dataset.modality)
    return folder


def campaigns(dataset=None, seeds=(0, 1, 2), budget=20, learner="softmax", **sizes):
    """A campaign with one slot a seed, at the seed sets, and its slots."""
    dataset = blobs() if dataset is None else dataset
    sizes = {"pool_size": 90, "test_size": 60} | sizes
    campaign, slots = Campaign(len(seeds), learner=learner), np.arange(len(seeds))
    campaign.load(slots, [make_task(dataset, seed, **sizes) for seed in seeds], [budget] * len(seeds))
    return campaign, slots
