"""Crops from the frames of a fleet: a large pool of near-duplicates, rare road users, other conditions in the test."""

from __future__ import annotations

from functools import cache

import numpy as np

from al_gym.tasks.dataset import HOLDOUT_ONLY, POOL_ONLY, Dataset
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.suites import SUITES
from al_gym.tasks.synthetic.embedding import image_embedding
from al_gym.tasks.synthetic.latent import Labels
from al_gym.tasks.synthetic.prior import integer, uniform
from al_gym.tasks.synthetic.scenario import as_features, gaussian_clusters, scenario_rng, scenario_suite, zipf_shares

NAME = "driving-perception"
CLASSES = (
    "car",
    "pedestrian",
    "truck",
    "cyclist",
    "bus",
    "motorcycle",
    "tram",
    "animal",
    "wheelchair",
    "debris",
)


@SUITES.register(NAME)
@cache
def driving_perception() -> TaskDistribution:
    """Near-duplicate crops of 6 to 10 long-tailed classes, tested in another domain than the pool: 48 / 8 / 8.

    Synthetic. Each dataset has about 5,000 to 7,000 crops. An object is followed over 4 to 40 frames, which differ a
    little; the classes of objects follow Zipf's law, the most frequent with at least 15 times as many crops as the
    rarest. A quarter of the crops come from another domain (night, rain, another city), which moves every embedding,
    each class's in a way of its own, and blurs it; they are what a task validates and tests on, the others are its
    pool (the dataset's `sides`). Raise `pool_size` to search more of the pool.
    """
    return scenario_suite(NAME, driving_dataset)


def driving_dataset(index: int) -> Dataset:
    """Dataset number `index`: `X` (items, 64 to 96) float32, 6 to 10 classes, sides by domain."""
    rng = scenario_rng(NAME, index)
    n_classes, n_dims = integer(rng, (6, 10)), integer(rng, (12, 24))
    n_items, exponent = integer(rng, (5000, 7000)), uniform(rng, (2.0, 2.4))
    kind, length = _tracks(rng, int(0.75 * n_items), n_classes, exponent)
    kind_after, length_after = _tracks(rng, int(0.25 * n_items), n_classes, exponent)
    n_before = int(length.sum())
    kind, length = np.r_[kind, kind_after], np.r_[length, length_after]
    objects = gaussian_clusters(rng, kind, n_dims, uniform(rng, (4.0, 6.0)))
    track = np.repeat(np.arange(len(kind)), length)
    latent = objects[track] + uniform(rng, (0.05, 0.15)) * rng.standard_normal((len(track), n_dims))
    after, label = np.arange(len(track)) >= n_before, kind[track]
    moved = uniform(rng, (0.6, 1.2)) * rng.standard_normal((n_classes, n_dims)) * 0.5
    moved += uniform(rng, (0.6, 1.2)) * rng.standard_normal(n_dims)
    latent[after] = 0.9 * latent[after] + moved[label[after]]
    n_features = integer(rng, (64, 96))
    hidden = rng.standard_normal((len(kind), n_features - n_dims))[track]  # what else an object looks like
    hidden += 0.1 * rng.standard_normal(hidden.shape)
    X = image_embedding(rng, np.concatenate([latent, hidden], axis=1), n_features)
    return Dataset(
        f"{NAME}-{index:06d}",
        as_features(X),
        label,
        CLASSES[:n_classes],
        modality="image-embedding",
        source="synthetic drives",
        sides=np.where(after, HOLDOUT_ONLY, POOL_ONLY),
    )


def _tracks(rng: np.random.Generator, n_items: int, n_classes: int, exponent: float) -> tuple[Labels, Labels]:
    """Class and number of frames of each object; every class has one object at least, the sum is about `n_items`."""
    n_objects = n_items // 22  # the mean length
    kind = np.r_[np.arange(n_classes), rng.choice(n_classes, size=n_objects, p=zipf_shares(n_classes, exponent))]
    return kind, rng.integers(4, 41, size=len(kind))
