"""Edges and colours of an image: needs no weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import DatasetError
from al_gym.tasks.encoders import IMAGE_ENCODERS, ImageEncoder, Vectors

SIDE = 64
CELL = 8
ORIENTATIONS = 9
COLOUR_GRID = 4
#: Share of a whole neighbourhood's energy below which edges count as noise, on grey values from 0 to 1.
LEAST_ENERGY = 0.02


@IMAGE_ENCODERS.register("descriptor")
class DescriptorEncoder(ImageEncoder):
    """Histograms of oriented gradients and colour moments of each image; 672 features, no weights, no download.

    The image is scaled to 64 x 64. The gradients of its brightness fall into 9 orientations in each of 8 x 8 cells,
    and each cell is divided by the energy of its neighbourhood, so that lighting and contrast matter little. Mean and
    standard deviation of brightness and of two colour differences on a 4 x 4 grid follow; in grey images the colour
    differences are 0. An image's vector depends on that image alone. It tells shapes and textures apart; for objects
    in natural photographs use `backbone`.

    **Source:** Dalal & Triggs 2005, *Histograms of oriented gradients for human detection*.
    """

    @property
    def fingerprint(self) -> str:
        """See `Encoder.fingerprint`."""
        return "descriptor 1"

    def __call__(self, paths: Sequence[Path]) -> Vectors:
        """See `ImageEncoder.__call__`: every feature within [-1, 1]."""
        return np.stack([describe(read_image(path)) for path in paths])


def read_image(path: Path) -> NDArray[np.float64]:
    """(64, 64, 3) float64 in [0, 1], red, green, blue."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} is no image that can be read: {error}") from error
    return np.asarray(small, dtype=np.float64) / 255


def describe(image: NDArray[np.float64]) -> Vectors:
    """(672,) float32 from a (64, 64, 3) image in [0, 1]."""
    red, green, blue = np.moveaxis(image, 2, 0)
    bright = (red + green + blue) / 3
    colour = np.stack([bright, red - green, (red + green) / 2 - blue])
    vector = np.concatenate([oriented_gradients(bright).ravel(), colour_moments(colour).ravel()])
    return np.round(vector, 5).astype(np.float32)


def oriented_gradients(bright: NDArray[np.float64]) -> NDArray[np.float64]:
    """(8, 8, 9) in [0, 1]: share of each orientation in the edges around each cell.

    Args:
        bright: (64, 64).
    """
    down, right = np.gradient(bright)
    strength = np.hypot(down, right)
    turn = (np.arctan2(down, right) % np.pi) * (ORIENTATIONS / np.pi)  # an edge and its reverse are the same
    low = np.floor(turn).astype(np.int64)
    upper = turn - low
    votes = np.zeros((*bright.shape, ORIENTATIONS))
    np.put_along_axis(votes, (low % ORIENTATIONS)[..., None], (strength * (1 - upper))[..., None], axis=2)
    shifted = np.zeros_like(votes)
    np.put_along_axis(shifted, ((low + 1) % ORIENTATIONS)[..., None], (strength * upper)[..., None], axis=2)
    cells = blocks(votes + shifted, SIDE // CELL)
    energy = np.pad((cells**2).sum(axis=2), 1, mode="edge")
    around = sum(energy[i : i + SIDE // CELL, j : j + SIDE // CELL] for i in range(3) for j in range(3))
    return np.sqrt(cells / np.sqrt(around + LEAST_ENERGY**2)[..., None])


def colour_moments(colour: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3, 4, 4): mean and standard deviation of each channel in each part; `colour` is (3, 64, 64)."""
    channels = np.moveaxis(colour, 0, 2)
    mean = blocks(channels, COLOUR_GRID)
    spread = np.sqrt(np.maximum(blocks(channels**2, COLOUR_GRID) - mean**2, 0))
    return np.moveaxis(np.stack([mean, spread]), 3, 1)


def blocks(values: NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    """(parts, parts, channels) means of (side, side, channels) over parts x parts squares."""
    width = len(values) // parts
    means: NDArray[np.float64] = values.reshape(parts, width, parts, width, -1).mean(axis=(1, 3))
    return means
