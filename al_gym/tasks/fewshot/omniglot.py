"""Omniglot from its files on disk, as torchvision lays them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import DatasetError, ParameterError
from al_gym.tasks.dataset import Dataset

FOLDERS = {"background": "images_background", "evaluation": "images_evaluation"}


def load_omniglot(root: str | Path, part: str = "background", *, side: int = 28) -> Dataset:
    """Handwritten characters of many alphabets, 20 drawings each, one class a character.

    Reads `root/omniglot-py/images_background/ALPHABET/CHARACTER/*.png` (`images_evaluation` for the other part), which
    is what `torchvision.datasets.Omniglot(root, download=True)` unpacks; a folder of images of your own in that layout
    works as well. Nothing is downloaded.

    Args:
        root: folder that holds `omniglot-py`.
        part: `background` (to meta-train on) or `evaluation`.
        side: images are scaled to side x side pixels.

    Returns:
        Dataset, uint8 ink 0..255 (a stroke is bright), modality `image-raw`.

    Raises:
        ParameterError: no such part, or a side below 1.
        DatasetError: there are no images, or one cannot be read.
    """
    if part not in FOLDERS:
        raise ParameterError(f"part must be one of {', '.join(FOLDERS)}, got {part!r}.")
    if side < 1:
        raise ParameterError(f"side must be at least 1, got {side}.")
    folder = Path(root).expanduser() / "omniglot-py" / FOLDERS[part]
    files = sorted(folder.glob("*/*/*.png"))
    if not files:
        raise DatasetError(
            f"omniglot: no images in {str(folder)!r}; fetch them with torchvision.datasets.Omniglot({str(root)!r}, "
            f"background={part == 'background'}, download=True)."
        )
    X = np.stack([_ink(path, side) for path in files])
    labels = [f"{path.parent.parent.name}/{path.parent.name}" for path in files]
    return Dataset.from_arrays(
        f"omniglot-{part}", X, labels, modality="image-raw", family=f"omniglot-{part}", source="Omniglot"
    )


def _ink(path: Path, side: int) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            grey = image.convert("L").resize((side, side), Image.Resampling.BILINEAR)
    except OSError as error:
        raise DatasetError(f"omniglot: cannot read the image {str(path)!r}: {error}.") from error
    return 255 - np.asarray(grey, dtype=np.uint8).reshape(-1)
