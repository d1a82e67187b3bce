"""One dataset of the synthetic prior, as a pure function of its index."""

from __future__ import annotations

import numpy as np

from al_gym.errors import ParameterError
from al_gym.streams import name_key
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.synthetic import columns, embedding, labels, latent, rows
from al_gym.tasks.synthetic.prior import KINDS, SyntheticPrior, integer, log_integer, uniform

DEFAULT_PRIOR = SyntheticPrior()

#: Few rows, features and classes, for tests and quick trials.
SMALL_PRIOR = SyntheticPrior(
    n_items=(200, 300),
    small_share=0.0,
    small_n_items=(200, 200),
    n_classes=(2, 4),
    function_classes=(2, 4),
    n_features=(2, 8),
    embedding_features=(6, 8),
    image_sides=(3, 3),
)


def synthetic_dataset(index: int, *, prior: SyntheticPrior = DEFAULT_PRIOR, prefix: str = "synthetic") -> Dataset:
    """Dataset number `index` of the prior; the same numbers on every machine.

    Args:
        index: non-negative; datasets of different indices are independent.
        prior: the dials.
        prefix: the dataset is called `prefix-000123`; another prefix gives other datasets.

    Returns:
        Dataset with float32 features rounded to 5 decimals (uint8 for pixels), every class with at least 8 rows, the
        name as its family, and the kind and its modality.

    Raises:
        ParameterError: negative index.
    """
    if index < 0:
        raise ParameterError(f"index must be at least 0, got {index}.")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([index, name_key(prefix)])))
    weights = np.asarray(prior.kind_weights) / sum(prior.kind_weights)
    kind = KINDS[int(rng.choice(len(KINDS), p=weights))]
    X, y = _draw(rng, prior, kind)
    order = rng.permutation(len(y))
    features = X[order].astype(np.uint8) if kind == "image-raw" else np.round(X[order], 5).astype(np.float32)
    return Dataset(
        f"{prefix}-{index:06d}",
        features,
        y[order],
        tuple(f"class-{label}" for label in range(int(y.max()) + 1)),
        modality=kind if kind in KINDS[3:] else "tabular",
        source=f"synthetic prior, {kind}",
    )


def _draw(rng: np.random.Generator, prior: SyntheticPrior, kind: str) -> tuple[latent.Array, latent.Labels]:
    n_items = integer(rng, prior.small_n_items if rng.random() < prior.small_share else prior.n_items)
    class_range = prior.function_classes if kind in ("network", "tree") else prior.n_classes
    n_classes = 2 if rng.random() < prior.binary_share else log_integer(rng, class_range)
    repeated = rows.n_duplicates(rng, prior, n_items)
    sizes = latent.class_sizes(rng, prior, n_items - repeated, n_classes)
    n_features = _n_features(rng, prior, kind)
    points, y = _points(rng, prior, kind, sizes, n_features)
    points, y = rows.add_duplicates(rng, points, y, repeated)
    y = rows.shuffle_some_labels(rng, prior, y)
    points = rows.add_outliers(rng, prior, points)
    return _observe(rng, prior, kind, points, n_features), y


def _n_features(rng: np.random.Generator, prior: SyntheticPrior, kind: str) -> int:
    if kind == "image-raw":
        return integer(rng, prior.image_sides) ** 2
    return integer(rng, prior.embedding_features) if "embedding" in kind else log_integer(rng, prior.n_features)


def _points(
    rng: np.random.Generator, prior: SyntheticPrior, kind: str, sizes: latent.Labels, n_features: int
) -> tuple[latent.Array, latent.Labels]:
    """Latent points and labels."""
    if kind in ("network", "tree"):
        n_dims = min(n_features, integer(rng, (2, 12)))
        points = latent.cloud(rng, prior, int(sizes.sum()), n_dims)
        return points, labels.function_labels(rng, prior, points, sizes, kind)
    table = kind == "mixture"
    n_dims = min(n_features, integer(rng, (2, 30) if table else (5, 40)))
    separation = uniform(rng, prior.separation if table else prior.embedding_separation)
    separation += prior.class_separation * np.log2(len(sizes) / 2)
    return latent.class_clusters(rng, prior, sizes, n_dims, separation)


def _observe(
    rng: np.random.Generator, prior: SyntheticPrior, kind: str, points: latent.Array, n_features: int
) -> latent.Array:
    """What a learner gets to see of the latent points."""
    if kind == "text-embedding":
        return embedding.text_embedding(rng, points, n_features)
    if kind == "image-embedding":
        return embedding.image_embedding(rng, points, n_features)
    if kind == "image-raw":
        return embedding.pixels(rng, points, int(np.sqrt(n_features)))
    return columns.table_columns(rng, prior, points, n_features)
