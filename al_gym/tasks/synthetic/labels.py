"""Labels by a random function of the points: a network or a forest, and exact class sizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from al_gym.tasks.synthetic.latent import Array, Labels
from al_gym.tasks.synthetic.prior import SyntheticPrior, integer, uniform


def function_labels(
    rng: np.random.Generator, prior: SyntheticPrior, points: Array, sizes: Labels, kind: str
) -> NDArray[np.int64]:
    """Label points by a random `network` or `tree`, so that class c gets exactly `sizes[c]` rows.

    A linear function is blended in with a random weight and Gumbel noise makes the classes overlap. One dataset in five
    has ordered classes: one score, cut into intervals.

    Args:
        rng: the dataset's generator.
        prior: the dials.
        points: (items, dims).
        sizes: (classes,) rows of each class, with the sum `items`.
        kind: `network` or `tree`.

    Returns:
        (items,) labels.
    """
    ordinal = rng.random() < 0.2
    n_scores = 1 if ordinal else len(sizes)
    scores = _standardised(_network(rng, points, n_scores) if kind == "network" else _forest(rng, points, n_scores))
    linear = _standardised(points @ rng.standard_normal((points.shape[1], n_scores)))
    weight = uniform(rng, prior.linear_share)
    scores = (1 - weight) * scores + weight * linear
    scores += uniform(rng, prior.label_temperature) * rng.gumbel(size=scores.shape)
    if ordinal:
        labels = np.empty(len(points), np.int64)
        labels[np.argsort(scores[:, 0], kind="stable")] = np.repeat(np.arange(len(sizes)), sizes)
        return labels
    return _allocate(scores, sizes)


def _standardised(scores: Array) -> Array:
    return (scores - scores.mean(axis=0)) / (scores.std(axis=0) + 1e-12)


def _network(rng: np.random.Generator, points: Array, n_scores: int) -> Array:
    hidden = points
    for _ in range(integer(rng, (1, 2))):
        width = integer(rng, (8, 40))
        weights = rng.standard_normal((hidden.shape[1], width)) * rng.uniform(0.8, 2.5) / np.sqrt(hidden.shape[1])
        inner = hidden @ weights + rng.normal(0, 0.5, size=width)
        hidden = np.tanh(inner) if rng.random() < 0.5 else np.maximum(inner, 0.0)
    return hidden @ rng.standard_normal((hidden.shape[1], n_scores))


def _forest(rng: np.random.Generator, points: Array, n_scores: int) -> Array:
    """Sum of a few complete binary trees whose splits are (dimension, value of a random row)."""
    n_items, n_dims = points.shape
    scores = np.zeros((n_items, n_scores))
    rows = np.arange(n_items)
    for _ in range(integer(rng, (1, 5))):
        depth = integer(rng, (2, 6))
        dims = rng.integers(n_dims, size=2**depth - 1)
        thresholds = points[rng.integers(n_items, size=len(dims)), dims]
        node = np.zeros(n_items, np.int64)
        for _ in range(depth):
            node = 2 * node + 1 + (points[rows, dims[node]] > thresholds[node])
        scores += rng.standard_normal((2**depth, n_scores))[node - (2**depth - 1)]
    return scores + 1e-6 * rng.standard_normal(scores.shape)  # no ties within a leaf


def _allocate(scores: Array, sizes: Labels) -> NDArray[np.int64]:
    """Rarest class first, each takes the free rows that prefer it most over the classes that still choose."""
    labels = np.full(len(scores), -1, np.int64)
    free = np.arange(len(scores))
    waiting = np.argsort(sizes, kind="stable").tolist()
    while len(waiting) > 1:
        label = waiting.pop(0)
        preference = scores[free, label] - scores[np.ix_(free, waiting)].max(axis=1)
        order = np.argsort(-preference, kind="stable")
        labels[free[order[: sizes[label]]]] = label
        free = np.sort(free[order[sizes[label] :]])
    labels[free] = waiting[0]
    return labels
