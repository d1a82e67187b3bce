"""Findings in images of several hospitals: few positives, and every site has its own scanner."""

from __future__ import annotations

from functools import cache

import numpy as np

from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.suites import SUITES
from al_gym.tasks.synthetic.embedding import image_embedding
from al_gym.tasks.synthetic.prior import integer, uniform
from al_gym.tasks.synthetic.scenario import as_features, direction, gaussian_clusters, scenario_rng, scenario_suite

NAME = "medical-imaging"


@SUITES.register(NAME)
@cache
def medical_imaging() -> TaskDistribution:
    """Image embeddings with 3 to 12 % positives from 4 to 8 sites, tested on sites that the pool lacks: 48 / 8 / 8.

    Synthetic. Each dataset has 1,500 to 2,500 images. The negatives lie in 3 to 6 clusters (views, body parts); the
    positives lie there too, moved by one of 2 to 4 kinds of finding. Every site moves and stretches the embedding of
    its images in its own way (scanner, protocol), has its own number of images and its own share of positives, but at
    least 4 of each class. Sites are the dataset's groups: none stands in pool and test set of one task.
    """
    return scenario_suite(NAME, medical_dataset)


def medical_dataset(index: int) -> Dataset:
    """Dataset number `index`: `X` (items, 64 to 128) float32, classes `negative` and `positive`, groups the sites."""
    rng = scenario_rng(NAME, index)
    n_items, n_sites, n_dims = integer(rng, (1500, 2500)), integer(rng, (4, 8)), integer(rng, (8, 20))
    site = rng.permutation(np.arange(n_items) % n_sites)
    moved = rng.random(n_items) < 0.6  # sites of unequal sizes
    site = np.where(moved, rng.choice(n_sites, size=n_items, p=rng.dirichlet(np.full(n_sites, 3.0))), site)
    positive = _findings(rng, site, uniform(rng, (0.025, 0.09)))
    latent = gaussian_clusters(rng, rng.integers(integer(rng, (3, 6)), size=n_items), n_dims, uniform(rng, (1.0, 2.5)))
    kinds = np.stack([direction(rng, n_dims, uniform(rng, (2.5, 4.5))) for _ in range(integer(rng, (2, 4)))])
    latent[positive] += kinds[rng.integers(len(kinds), size=int(positive.sum()))]
    X = image_embedding(rng, latent, integer(rng, (64, 128)))
    spread = X.std(axis=0)
    offset = rng.standard_normal((n_sites, X.shape[1])) * uniform(rng, (0.2, 0.6)) * spread
    gain = np.exp(rng.normal(0, 0.15, size=(n_sites, 1)))
    return Dataset(
        f"{NAME}-{index:06d}",
        as_features(X * gain[site] + offset[site]),
        positive.astype(np.int64),
        ("negative", "positive"),
        modality="image-embedding",
        source="synthetic medical images",
        groups=site,
    )


def _findings(rng: np.random.Generator, site: np.ndarray, share: float) -> np.ndarray:
    """(items,) bool: about `share` positives, more in some sites than in others, at least 4 in each."""
    chosen = np.zeros(len(site), np.bool_)
    for number in range(int(site.max()) + 1):
        rows = np.flatnonzero(site == number)
        here = share * np.exp(rng.normal(0, 0.3))
        chosen[rng.permutation(rows)[: min(max(4, round(here * len(rows))), len(rows) // 2)]] = True
    return chosen
