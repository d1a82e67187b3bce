"""Defect inspection: 3 % strangers on a line of sneakers. Real images that Debian's `dataset-fashion-mnist` carries.

    apt install dataset-fashion-mnist
    python examples/defect_inspection.py [--data /usr/share/datasets/fashion-mnist] [--seeds 10]

A proxy, not photographs of damage: 2,910 sneakers are the good parts, 45 sandals and 45 ankle boots the defects. The
images are written as a folder with one folder a class and read back by `load_images`, as photographs of your own would
be. `--data` takes any folder with the four gzipped files of Fashion-MNIST or MNIST.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

import al_gym
from al_gym.errors import DatasetError
from al_gym.tasks import Dataset, load_images

POLICIES = ["random", "margin", "kcenter", "uherding", "shipped"]
REGIME = {"rounds": 20, "batch_size": 5, "pool_size": 1000, "test_size": 1200}
REVIEW = 0.1
GOOD, DEFECTS = 7, (5, 9)  # sneaker; sandal, ankle boot
N_GOOD, N_EACH_DEFECT = 2910, 45


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array in the gzipped IDX format of MNIST: zero, zero, type, dimensions, big-endian sizes, bytes."""
    try:
        content = gzip.decompress(path.read_bytes())
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read ({error}); apt install dataset-fashion-mnist, or give --data"
        ) from error
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def write_line(source: Path, folder: Path, n_good: int = N_GOOD, n_each_defect: int = N_EACH_DEFECT) -> None:
    """The line as image files: `folder/good/*.png` and `folder/defect/*.png`, the first ones of each class."""
    images = read_idx(source / "train-images-idx3-ubyte.gz")
    labels = read_idx(source / "train-labels-idx1-ubyte.gz")
    for name, classes, count in (("good", (GOOD,), n_good), ("defect", DEFECTS, n_each_defect)):
        (folder / name).mkdir(parents=True)
        for label in classes:
            for row in np.flatnonzero(labels == label)[:count].tolist():
                Image.fromarray(images[row]).save(folder / name / f"{row:05d}.png")


def line_data(source: Path, n_good: int = N_GOOD, n_each_defect: int = N_EACH_DEFECT) -> Dataset:
    """The line as a dataset: written to a folder, read and encoded by `load_images`, with the bundled encoder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "shoe-line"
        write_line(source, folder, n_good, n_each_defect)
        return load_images(folder, encoder="descriptor", cache=None, family="fashion-mnist")


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare policies by balanced accuracy, and by the share of defects in the most suspicious tenth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"), help="folder of the gzipped files"
    )
    parser.add_argument("--seeds", type=int, default=10, help="campaigns a policy (10)")
    options = parser.parse_args(arguments)
    data = line_data(options.data)
    result = al_gym.evaluate(
        POLICIES, tasks=data, seeds=options.seeds, metric="balanced-accuracy", review_effort=REVIEW, **REGIME
    )
    Console().print(result.table())
    last = result.results.groupby(["policy", "seed"], observed=True).tail(1)
    for policy, recall in last.groupby("policy", observed=True)["test_review_recall"].mean().items():
        print(f"{policy:10} finds {100 * recall:.0f} % of the defects in the most suspicious tenth of the parts")


if __name__ == "__main__":
    main()
