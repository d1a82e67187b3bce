"""Small sets in CIFAR-10's true format on disk, and torchvision told their checksums."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as tv

CIFAR_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def cifar_files(
    n_batches: int, n_items: int, *, patterns: bool = False
) -> tuple[dict[str, bytes], np.ndarray, list[int]]:
    """Pickled batches as in cifar-10-batches-py: `data` (items, 3072) uint8, channel by channel, and `labels`.

    Args:
        n_batches: training batches; a test batch follows. n_items: images of each.
        patterns: whether images show their class (a bright stripe) instead of noise alone.
    """
    rng = np.random.default_rng(0)
    files, images, labels = {}, [], []
    for name in [*(f"data_batch_{k + 1}" for k in range(n_batches)), "test_batch"]:
        data = rng.integers(0, 256, size=(n_items, 3072), dtype=np.uint8)
        batch_labels = [i % 10 for i in range(n_items)]
        if patterns:
            pixels = data.reshape(n_items, 3, 32, 32) // 4
            for image, label in zip(pixels, batch_labels, strict=True):
                image[label % 3, 3 * label : 3 * label + 4] += 180
            data = pixels.reshape(n_items, 3072)
        batch = {"batch_label": name, "labels": batch_labels, "data": data}
        files[name] = pickle.dumps(batch, protocol=2)
        images.append(data)
        labels += batch_labels
    meta = {"num_cases_per_batch": n_items, "label_names": CIFAR_CLASSES, "num_vis": 3072}
    files["batches.meta"] = pickle.dumps(meta)
    return files, np.concatenate(images), labels


def know_cifar(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> None:
    """Tell torchvision the checksums of our files, as it knows those of the originals."""
    batches = [[name, md5(data)] for name, data in files.items() if name.startswith("data_batch")]
    monkeypatch.setattr(tv.CIFAR10, "train_list", batches)
    monkeypatch.setattr(tv.CIFAR10, "test_list", [["test_batch", md5(files["test_batch"])]])
    monkeypatch.setattr(tv.CIFAR10, "meta", {**tv.CIFAR10.meta, "md5": md5(files["batches.meta"])})


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
