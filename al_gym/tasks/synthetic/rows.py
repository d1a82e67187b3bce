"""What happens to rows of real datasets: near-duplicates, wrong labels, outliers."""

from __future__ import annotations

import numpy as np

from al_gym.tasks.synthetic.latent import Array, Labels
from al_gym.tasks.synthetic.prior import SyntheticPrior, log_uniform, uniform


def n_duplicates(rng: np.random.Generator, prior: SyntheticPrior, n_items: int) -> int:
    """Number of rows, out of `n_items`, that will nearly repeat another one."""
    return int(n_items * uniform(rng, prior.duplicates)) if rng.random() < prior.duplicate_share else 0


def add_duplicates(rng: np.random.Generator, points: Array, labels: Labels, n_new: int) -> tuple[Array, Labels]:
    """Append `n_new` copies of random rows, with their labels and a jitter of at most 10 % of each dimension."""
    if n_new == 0:
        return points, labels
    source = rng.integers(len(points), size=n_new)
    jitter = log_uniform(rng, (1e-3, 0.1)) * points.std(axis=0)
    copies = points[source] + jitter * rng.standard_normal((n_new, points.shape[1]))
    return np.concatenate([points, copies]), np.concatenate([labels, labels[source]])


def shuffle_some_labels(rng: np.random.Generator, prior: SyntheticPrior, labels: Labels) -> Labels:
    """Permute the labels of a random share of rows: wrong labels that keep the class sizes."""
    if rng.random() >= prior.label_noise_share:
        return labels
    share = uniform(rng, prior.label_noise)
    rows = np.flatnonzero(rng.random(len(labels)) < share)
    noisy = labels.copy()
    noisy[rows] = labels[rng.permutation(rows)]
    return noisy


def add_outliers(rng: np.random.Generator, prior: SyntheticPrior, points: Array) -> Array:
    """Move a few rows 2 to 8 times as far out."""
    if rng.random() >= prior.outlier_share:
        return points
    rows = np.flatnonzero(rng.random(len(points)) < uniform(rng, prior.outliers))
    far = points.copy()
    far[rows] *= rng.uniform(2.0, 8.0, size=(len(rows), 1))
    return far
