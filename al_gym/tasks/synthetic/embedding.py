"""From the latent space to embeddings and pixels."""

from __future__ import annotations

import numpy as np

from al_gym.tasks.synthetic.latent import Array
from al_gym.tasks.synthetic.prior import uniform


def spectrum(rng: np.random.Generator, n_dims: int) -> Array:
    """(dims,) decaying standard deviations j ** -a, a in 0.2 to 1, the first one 1."""
    decay: Array = np.arange(1, n_dims + 1, dtype=np.float64) ** -uniform(rng, (0.2, 1.0))
    return decay


def text_embedding(rng: np.random.Generator, latent: Array, n_features: int) -> Array:
    """(items, features) unit vectors: a rotated low-rank signal, a common direction and a noise floor."""
    n_items, n_dims = latent.shape
    rotation = rng.standard_normal((n_dims, n_features)) / np.sqrt(n_features)
    signal = (latent * spectrum(rng, n_dims)) @ rotation
    signal += signal.std() * uniform(rng, (0.0, 1.0)) * rng.standard_normal((n_items, n_features))
    signal += signal.std() * uniform(rng, (0.0, 1.5)) * rng.standard_normal(n_features)
    return signal / np.linalg.norm(signal, axis=1, keepdims=True)


def image_embedding(rng: np.random.Generator, latent: Array, n_features: int) -> Array:
    """(items, features) principal components of an image encoder: decaying variances, signal in the first ones."""
    n_items, n_dims = latent.shape
    scales = spectrum(rng, n_features)
    columns = rng.standard_normal((n_items, n_features))
    columns[:, :n_dims] = latent
    return columns * scales * uniform(rng, (1.0, 10.0))


def pixels(rng: np.random.Generator, latent: Array, side: int) -> Array:
    """(items, side * side) grey values 0..255: smooth patterns (products of cosines) with noise and clipping."""
    frequency = np.arange(side)
    waves = np.cos(np.pi * (frequency[:, None] + 0.5) * frequency[None, :] / side)  # (position, frequency)
    basis = np.einsum("xf,yg->fgxy", waves, waves).reshape(side * side, side * side)
    smooth = np.argsort((frequency[:, None] + frequency[None, :]).ravel(), kind="stable")[: latent.shape[1]]
    weights = spectrum(rng, latent.shape[1])
    weights[0] *= 0.3  # brightness of the whole image: more would leave black and white ones
    image = (latent * weights) @ basis[smooth]
    image /= image.std()
    image += uniform(rng, (0.0, 0.7)) * rng.standard_normal(image.shape)
    return np.round(np.clip(uniform(rng, (40, 128)) + uniform(rng, (40, 90)) * image, 0, 255))
