"""Opinions in short texts, as embeddings in which the topic is louder than the opinion."""

from __future__ import annotations

from functools import cache

import numpy as np

from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.suites import SUITES
from al_gym.tasks.synthetic.embedding import text_embedding
from al_gym.tasks.synthetic.prior import integer, uniform
from al_gym.tasks.synthetic.scenario import as_features, direction, gaussian_clusters, scenario_rng, scenario_suite

NAME = "text-sentiment"
LEVELS = {
    2: ("negative", "positive"),
    3: ("negative", "neutral", "positive"),
    5: ("1 star", "2 stars", "3 stars", "4 stars", "5 stars"),
}


@SUITES.register(NAME)
@cache
def text_sentiment() -> TaskDistribution:
    """Unit text embeddings of 2, 3 or 5 ordered opinions under louder topics, with ambiguous texts: 48 / 8 / 8.

    Synthetic. Each dataset has 1,000 to 2,000 texts on 4 to 10 topics, whose centres lie far apart: topics make most
    of the variance. An opinion moves a text along one direction that all topics share and one of its topic's own, so
    that labels of one topic help only partly in another. 2 to 10 % of the texts carry a neighbouring opinion's label.
    """
    return scenario_suite(NAME, sentiment_dataset)


def sentiment_dataset(index: int) -> Dataset:
    """Dataset number `index`: `X` (items, 96 to 192) float32 rows of length 1, classes in the order of the opinions."""
    rng = scenario_rng(NAME, index)
    n_items, n_topics, n_dims = integer(rng, (1000, 2000)), integer(rng, (4, 10)), integer(rng, (16, 32))
    n_classes = int(rng.choice(list(LEVELS), p=[0.6, 0.25, 0.15]))
    topic = rng.choice(n_topics, size=n_items, p=rng.dirichlet(np.full(n_topics, 3.0)))
    opinion = rng.choice(n_classes, size=n_items, p=rng.dirichlet(np.full(n_classes, 20.0)))
    latent = gaussian_clusters(rng, topic, n_dims, uniform(rng, (5.0, 8.0)))
    strength = uniform(rng, (5.0, 8.0))
    own = rng.uniform(0.2, 0.6)
    shared = direction(rng, n_dims, strength * (1 - own))
    particular = np.stack([direction(rng, n_dims, strength * own) for _ in range(n_topics)])
    latent += (opinion / (n_classes - 1) - 0.5)[:, None] * (shared + particular[topic])
    ambiguous = rng.random(n_items) < uniform(rng, (0.02, 0.1))
    step = np.where(rng.random(n_items) < 0.5, -1, 1)
    label = np.where(ambiguous, np.abs(opinion + step), opinion)  # -1 becomes 1, the only neighbour of 0
    label = np.where(label == n_classes, n_classes - 2, label)
    return Dataset(
        f"{NAME}-{index:06d}",
        as_features(text_embedding(rng, latent, integer(rng, (96, 192)))),
        label,
        LEVELS[n_classes],
        modality="text-embedding",
        source="synthetic opinions",
    )
