"""Parts on a production line: nearly all are good, and a missed defect costs more than a second look."""

from __future__ import annotations

from functools import cache

import numpy as np

from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.suites import SUITES
from al_gym.tasks.synthetic.embedding import image_embedding
from al_gym.tasks.synthetic.prior import integer, log_uniform, uniform
from al_gym.tasks.synthetic.scenario import (
    as_features,
    direction,
    exact_share,
    gaussian_clusters,
    scenario_rng,
    scenario_suite,
)

NAME = "defect-inspection"


@SUITES.register(NAME)
@cache
def defect_inspection() -> TaskDistribution:
    """Image embeddings with 1 to 5 % defects of several kinds; judge by balanced accuracy or review recall: 48 / 8 / 8.

    Synthetic. Each dataset has 2,500 to 4,000 parts of 2 to 6 product variants (clusters). A defect is a good part
    that one of 2 to 5 kinds of damage has changed, by different amounts, from barely to clearly visible; kinds are not
    equally frequent. A model that calls everything good has an accuracy of 95 to 99 %: use `--metric
    balanced-accuracy`, or `--review-effort 0.1 --metric review-recall`, the share of the defects among the tenth of the
    parts that look worst.
    """
    return scenario_suite(NAME, defect_dataset)


def defect_dataset(index: int) -> Dataset:
    """Dataset number `index`: `X` (items, 64 to 128) float32, classes `good` and `defect`."""
    rng = scenario_rng(NAME, index)
    n_items, n_dims = integer(rng, (2500, 4000)), integer(rng, (10, 24))
    defect = exact_share(rng, n_items, log_uniform(rng, (0.01, 0.05)))
    latent = gaussian_clusters(rng, rng.integers(integer(rng, (2, 6)), size=n_items), n_dims, uniform(rng, (2.0, 4.0)))
    n_kinds = integer(rng, (2, 5))
    damage = np.stack([direction(rng, n_dims, 1.0) for _ in range(n_kinds)])
    kind = rng.choice(n_kinds, size=int(defect.sum()), p=rng.dirichlet(np.full(n_kinds, 2.0)))
    severity = rng.uniform(2.0, 7.0, size=(len(kind), 1))
    latent[defect] += severity * damage[kind]
    return Dataset(
        f"{NAME}-{index:06d}",
        as_features(image_embedding(rng, latent, integer(rng, (64, 128)))),
        defect.astype(np.int64),
        ("good", "defect"),
        modality="image-embedding",
        source="synthetic parts",
    )
