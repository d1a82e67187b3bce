"""What the suites of application scenarios share: numbered datasets of one generator, and a few draws."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from al_gym.streams import name_key
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import Entry, TaskDistribution
from al_gym.tasks.synthetic.latent import Array, Labels

#: Datasets of a scenario's suite to train on, to validate and to test.
COUNTS = (48, 8, 8)


def scenario_suite(name: str, generate: Callable[[int], Dataset]) -> TaskDistribution:
    """Datasets 0, 1, ... of a generator, split by index.

    Args:
        name: dataset i is called `name-00000i`, which is its family too.
        generate: a function of a module, index to dataset.
    """
    names = [f"{name}-{index:06d}" for index in range(sum(COUNTS))]
    entries = [Entry(dataset, dataset, partial(generate, index)) for index, dataset in enumerate(names)]
    train, valid = COUNTS[0], COUNTS[0] + COUNTS[1]
    return TaskDistribution(
        entries, splits={"train": names[:train], "valid": names[train:valid], "test": names[valid:]}
    )


def scenario_rng(name: str, index: int) -> np.random.Generator:
    """The generator of dataset `index`; the same numbers on every machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([index, name_key(name)])))


def exact_share(rng: np.random.Generator, n_items: int, share: float) -> NDArray[np.bool_]:
    """(items,) bool, true for `share` of them, rounded, in random places."""
    chosen: NDArray[np.bool_] = rng.permutation(n_items) < round(share * n_items)
    return chosen


def zipf_shares(n_classes: int, exponent: float) -> Array:
    """(classes,) shares in proportion to rank ** -exponent, the largest first."""
    weights: Array = np.arange(1, n_classes + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()


def gaussian_clusters(rng: np.random.Generator, cluster: Labels, n_dims: int, distance: float) -> Array:
    """(items, dims) standard normal points around one centre a cluster.

    Args:
        rng: the dataset's generator. cluster: (items,) from 0. n_dims: latent dimensions.
        distance: typical distance of two centres over the standard deviation of a cluster.
    """
    centres = rng.standard_normal((int(cluster.max()) + 1, n_dims)) * (distance / np.sqrt(2 * n_dims))
    points: Array = centres[cluster] + rng.standard_normal((len(cluster), n_dims))
    return points


def direction(rng: np.random.Generator, n_dims: int, length: float) -> Array:
    """(dims,) random direction of a length."""
    vector = rng.standard_normal(n_dims)
    scaled: Array = vector * (length / np.linalg.norm(vector))
    return scaled


def as_features(X: Array) -> NDArray[np.float32]:
    """Float32, rounded to 5 decimals, so that every machine stores the same numbers."""
    return np.round(X, 5).astype(np.float32)
