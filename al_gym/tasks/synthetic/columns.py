"""From the latent space to the columns of a table."""

from __future__ import annotations

import numpy as np

from al_gym.tasks.synthetic.latent import Array
from al_gym.tasks.synthetic.prior import SyntheticPrior, integer, uniform


def table_columns(rng: np.random.Generator, prior: SyntheticPrior, latent: Array, n_features: int) -> Array:
    """(items, at most the prior's largest number of) columns that show the latent space as tables do.

    Args:
        rng: the dataset's generator.
        prior: the dials.
        latent: (items, dims), each dimension of variance about 1 or more.
        n_features: informative columns before categories are spread and others added.
    """
    columns = _mixed(rng, latent, n_features)
    if rng.random() < prior.warp_share:
        columns = _warped(rng, columns)
    blocks = [columns]
    if rng.random() < prior.redundant_share:
        blocks.append(_redundant(rng, columns, integer(rng, (1, max(1, n_features // 2)))))
    if rng.random() < prior.nuisance_share:
        blocks.append(_nuisance(rng, len(latent), integer(rng, (1, max(1, n_features)))))
    if rng.random() < prior.categorical_share:
        blocks[0:1] = _with_categories(rng, columns)
    table = np.concatenate(blocks, axis=1)
    order = rng.permutation(table.shape[1])[: prior.n_features[1]]
    scale = 10.0 ** rng.uniform(-0.5, 2.0, size=len(order))
    binary = ((table == 0) | (table == 1)).all(axis=0)
    return table[:, order] * np.where(binary[order], 1.0, scale)


def _mixed(rng: np.random.Generator, latent: Array, n_features: int) -> Array:
    """Columns are dimensions themselves, or random directions of unequal weight."""
    n_dims = latent.shape[1]
    if n_dims == n_features and rng.random() < 0.5:
        return latent / (latent.std(axis=0) + 1e-12)
    directions = rng.standard_normal((n_dims, n_features)) * np.exp(rng.normal(0, 0.7, size=(n_dims, n_features)))
    columns = latent @ directions
    return columns / (columns.std(axis=0) + 1e-12)


def _warped(rng: np.random.Generator, columns: Array) -> Array:
    """Leave some columns as they are and give each other one a random shape; only the last two lose its order."""
    plain = rng.random(columns.shape[1]) < rng.uniform(0.1, 0.7)
    shape = np.where(plain, 0, rng.integers(1, len(_WARPS) + 1, size=columns.shape[1]))
    warped = columns.copy()
    for number, warp in enumerate(_WARPS, start=1):
        chosen = np.flatnonzero(shape == number)
        if len(chosen):
            warped[:, chosen] = warp(columns[:, chosen])
    return warped


_WARPS = (
    lambda x: np.exp(np.clip(x, -4, 4)),
    lambda x: np.sign(x) * np.abs(x) ** 2.0,
    lambda x: np.tanh(1.5 * x),
    lambda x: np.round(2.0 * x),
    lambda x: np.maximum(x, 0.0),
    lambda x: np.abs(x),
    lambda x: np.sin(2.0 * x),
)


def _redundant(rng: np.random.Generator, columns: Array, n_new: int) -> Array:
    """Linear combinations of a few columns with a little noise."""
    weights = rng.standard_normal((columns.shape[1], n_new)) * (rng.random((columns.shape[1], n_new)) < 0.5)
    noise = uniform(rng, (0.0, 0.3)) * rng.standard_normal((len(columns), n_new))
    combined = columns @ weights
    return combined + noise * (combined.std(axis=0) + 0.1)


def _nuisance(rng: np.random.Generator, n_items: int, n_new: int) -> Array:
    """Columns without meaning: normal, skewed or 0/1."""
    columns = rng.standard_normal((n_items, n_new))
    shape = rng.integers(3, size=n_new)
    columns[:, shape == 1] = np.exp(columns[:, shape == 1])
    columns[:, shape == 2] = columns[:, shape == 2] > rng.uniform(-1, 1)
    return columns


def _with_categories(rng: np.random.Generator, columns: Array) -> list[Array]:
    """Cut some columns (all of them in every fourth dataset) into 2 to 6 levels and spread these into 0/1 columns."""
    share = 1.0 if rng.random() < 0.25 else rng.uniform(0.1, 0.8)
    chosen = rng.random(columns.shape[1]) < share
    blocks = [columns[:, ~chosen]]
    for column in columns[:, chosen].T:
        cuts = np.sort(column[rng.integers(len(column), size=integer(rng, (1, 5)))])
        levels = np.searchsorted(cuts, column)
        blocks.append((levels[:, None] == np.arange(len(cuts) + 1)).astype(np.float64))
    return blocks
