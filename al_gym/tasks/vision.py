"""Image datasets of torchvision, by name, as raw pixels."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import DatasetError, ParameterError, UnknownNameError
from al_gym.tasks.dataset import Dataset

Part = Literal["train", "test", "all"]

#: Where `load_vision` looks, and downloads to, if no folder is given.
DEFAULT_ROOT = Path("~/.cache/al_gym/vision")


@dataclass(frozen=True)
class _Source:
    """Attributes: torchvision's class, and whether it takes `split="train"` rather than `train=True`."""

    class_name: str
    takes_split: bool = False


VISION_DATASETS = {
    "cifar10": _Source("CIFAR10"),
    "cifar100": _Source("CIFAR100"),
    "mnist": _Source("MNIST"),
    "fashion-mnist": _Source("FashionMNIST"),
    "kmnist": _Source("KMNIST"),
    "svhn": _Source("SVHN", takes_split=True),
    "usps": _Source("USPS"),
}

# What torchvision raises on missing, truncated and altered files.
_UNREADABLE = (RuntimeError, OSError, ValueError, KeyError, TypeError, EOFError, AssertionError, pickle.UnpicklingError)


def load_vision(
    name: str, *, root: str | Path = DEFAULT_ROOT, download: bool = False, part: Part = "all", family: str = ""
) -> Dataset:
    """An image dataset that torchvision knows, each image flattened to one row of pixels.

    torchvision checks the MD5 sums that it knows (of CIFAR's pickles before it opens them). Rows keep its order, the
    training images before the test images.

    Args:
        name: one of `VISION_DATASETS`.
        root: folder of the files, in torchvision's layout.
        download: fetch what is missing there.
        part: `train`, `test` or `all`: both, one after the other.
        family: `name` if empty, as in data folders made from the same images.

    Returns:
        Dataset called `name` (`name-train`, `name-test` for a part), uint8 0..255, modality `image-raw`.

    Raises:
        UnknownNameError: no such dataset.
        DatasetError: files are missing, altered, or cannot be downloaded.
        ParameterError: no such part.
    """
    if name not in VISION_DATASETS:
        raise UnknownNameError("vision dataset", name, VISION_DATASETS)
    if part not in ("train", "test", "all"):
        raise ParameterError(f"part must be 'train', 'test' or 'all', got {part!r}.")
    folder = Path(root).expanduser()
    parts = ["train", "test"] if part == "all" else [part]
    loaded = [_open(name, folder, which, download) for which in parts]
    X, y = (np.concatenate(arrays) for arrays in zip(*map(_arrays, loaded), strict=True))
    classes = getattr(loaded[0], "classes", None) or range(int(y.max()) + 1)
    return Dataset(
        name if part == "all" else f"{name}-{part}",
        X,
        y,
        tuple(map(str, classes)),
        modality="image-raw",
        family=family or name,
        source=f"torchvision.datasets.{VISION_DATASETS[name].class_name} ({part})",
    )


def _open(name: str, root: Path, part: str, download: bool) -> Any:
    import torchvision

    source = VISION_DATASETS[name]
    arguments: dict[str, Any] = {"split": part} if source.takes_split else {"train": part == "train"}
    try:
        return getattr(torchvision.datasets, source.class_name)(root=str(root), download=download, **arguments)
    except _UNREADABLE as error:
        remedy = "check the network and remove damaged files" if download else "pass download=True to fetch it"
        raise DatasetError(
            f"{name}: its {part} files in {str(root)!r} are missing or damaged ({error}); {remedy}, or pass root= with "
            "a folder that holds them."
        ) from error


def _arrays(loaded: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(items, pixels) uint8 and (items,) labels; torchvision keeps them as lists, arrays or tensors."""
    images = np.asarray(loaded.data, dtype=np.uint8)
    labels = loaded.targets if hasattr(loaded, "targets") else loaded.labels
    return images.reshape(len(images), -1), np.asarray(labels, dtype=np.int64)
