"""Points in a latent space: clusters that belong to classes, or clouds that wait for a label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from al_gym.tasks.synthetic.prior import MIN_CLASS_ITEMS, SyntheticPrior, integer, log_uniform, uniform

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def class_sizes(rng: np.random.Generator, prior: SyntheticPrior, n_items: int, n_classes: int) -> Labels:
    """(classes,) rows of each class: Dirichlet, at least `MIN_CLASS_ITEMS`, with the sum `n_items`."""
    balanced = rng.random() < prior.balanced_share
    concentration = 50.0 if balanced else log_uniform(rng, prior.class_concentration)
    shares = rng.dirichlet(np.full(n_classes, concentration))
    free = n_items - MIN_CLASS_ITEMS * n_classes
    sizes = MIN_CLASS_ITEMS + np.floor(shares * free).astype(np.int64)
    sizes[np.argmax(sizes)] += n_items - sizes.sum()
    return sizes


def class_clusters(
    rng: np.random.Generator, prior: SyntheticPrior, sizes: Labels, n_dims: int, separation: float
) -> tuple[Array, Labels]:
    """Gaussian (or Student-t) mixture with several clusters a class, sharing of space and unequal widths.

    Args:
        rng: the dataset's generator.
        prior: the dials.
        sizes: (classes,) rows of each class.
        n_dims: latent dimensions.
        separation: typical distance of two cluster centres over the standard deviation of a cluster.

    Returns:
        (items, dims) points and (items,) labels, in the order of the labels.
    """
    n_classes, n_items = len(sizes), int(sizes.sum())
    most = integer(rng, prior.clusters_per_class)
    labels = np.repeat(np.arange(n_classes), sizes)
    weights = rng.dirichlet(np.full(most, 2.0), size=n_classes)
    cluster = (rng.random(n_items)[:, None] > np.cumsum(weights, axis=1)[labels, :-1]).sum(axis=1)
    centres = rng.standard_normal((n_classes * most, n_dims)) * (separation / np.sqrt(2 * n_dims))
    if most > 1:  # clusters of a class lie more or less together
        together = rng.random()
        own = centres.reshape(n_classes, most, n_dims)
        centres = (own * (1 - together) + own.mean(axis=1, keepdims=True) * together * np.sqrt(most)).reshape(
            -1, n_dims
        )
    widths = np.exp(rng.normal(0.0, rng.uniform(0.0, 0.5), size=centres.shape))
    row = labels * most + cluster
    return centres[row] + widths[row] * noise(rng, prior, n_items, n_dims), labels


def noise(rng: np.random.Generator, prior: SyntheticPrior, n_items: int, n_dims: int) -> Array:
    """(items, dims) standard normal noise, or Student-t rows in datasets with heavy tails."""
    points = rng.standard_normal((n_items, n_dims))
    if rng.random() < prior.heavy_tail_share:
        freedom = rng.uniform(2.0, 6.0)
        points /= np.sqrt(rng.chisquare(freedom, size=(n_items, 1)) / freedom)
    return points


def cloud(rng: np.random.Generator, prior: SyntheticPrior, n_items: int, n_dims: int) -> Array:
    """(items, dims) unlabelled points: one Gaussian, a box, or a few blobs, each dimension of variance about 1."""
    shape = rng.integers(3)
    if shape == 0:
        return noise(rng, prior, n_items, n_dims)
    if shape == 1:
        return rng.uniform(-np.sqrt(3), np.sqrt(3), size=(n_items, n_dims))
    n_blobs = integer(rng, (3, 10))
    spread = uniform(rng, (0.3, 0.9))
    centres = rng.standard_normal((n_blobs, n_dims)) * np.sqrt(1 - spread**2)
    blob = rng.choice(n_blobs, size=n_items, p=rng.dirichlet(np.full(n_blobs, 2.0)))
    return centres[blob] + spread * noise(rng, prior, n_items, n_dims)
