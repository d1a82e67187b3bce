"""torchvision's real loading code against local files in the formats of the originals."""

import bz2
import gzip
import io
import pickle
import struct
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import scipy.io
import torchvision.datasets as tv
from cifar_files import CIFAR_CLASSES, cifar_files, know_cifar, md5, write_files

from al_gym.errors import DatasetError, ParameterError, UnknownNameError
from al_gym.tasks.load import load_tasks
from al_gym.tasks.vision import load_vision

RNG = np.random.default_rng(0)


def test_cifar10_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, images, labels = cifar_files(5, 20)
    write_files(tmp_path / "cifar-10-batches-py", files)
    know_cifar(monkeypatch, files)
    dataset = load_vision("cifar10", root=tmp_path)
    assert (dataset.name, dataset.family, dataset.modality) == ("cifar10", "cifar10", "image-raw")
    assert dataset.X.shape == (120, 3072)
    assert dataset.X.dtype == np.uint8
    assert dataset.class_names == tuple(CIFAR_CLASSES)
    np.testing.assert_array_equal(dataset.y, labels)
    # torchvision turns channel-major into (row, column, channel)
    np.testing.assert_array_equal(dataset.X, images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).reshape(120, -1))
    test = load_vision("cifar10", root=tmp_path, part="test")
    assert (test.name, test.family, test.n_items) == ("cifar10-test", "cifar10", 20)
    np.testing.assert_array_equal(test.X, dataset.X[100:])


def test_altered_cifar_is_refused_before_it_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, _, _ = cifar_files(5, 20)
    know_cifar(monkeypatch, files)
    files["data_batch_3"] = pickle.dumps(pytest.fail)  # unpickling must not happen
    write_files(tmp_path / "cifar-10-batches-py", files)
    with pytest.raises(DatasetError, match=r"cifar10: its train files .* damaged .*download=True"):
        load_vision("cifar10", root=tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a local web server whose files lie in `tmp_path / "remote"`."""
    (tmp_path / "remote").mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "remote"))) as running:
        thread = Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def test_cifar10_is_downloaded_and_unpacked(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files, _, _ = cifar_files(5, 12)
    know_cifar(monkeypatch, files)
    archive = tmp_path / "remote" / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    monkeypatch.setattr(tv.CIFAR10, "url", server + archive.name)
    monkeypatch.setattr(tv.CIFAR10, "tgz_md5", md5(archive.read_bytes()))
    assert load_vision("cifar10", root=tmp_path / "local", download=True).n_items == 72
    assert (tmp_path / "local" / "cifar-10-batches-py" / "test_batch").is_file()
    monkeypatch.setattr(tv.CIFAR10, "url", server + "absent.tar.gz")
    with pytest.raises(DatasetError, match=r"404.*check the network"):
        load_vision("cifar10", root=tmp_path / "other", download=True)


def test_cifar100_takes_the_fine_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {}
    for name in ("train", "test"):
        data = RNG.integers(0, 256, size=(100, 3072), dtype=np.uint8)
        fine = list(range(100))
        files[name] = pickle.dumps({"data": data, "fine_labels": fine, "coarse_labels": [k // 5 for k in fine]})
    files["meta"] = pickle.dumps({"fine_label_names": [f"fine {k}" for k in range(100)], "coarse_label_names": []})
    write_files(tmp_path / "cifar-100-python", files)
    monkeypatch.setattr(tv.CIFAR100, "train_list", [["train", md5(files["train"])]])
    monkeypatch.setattr(tv.CIFAR100, "test_list", [["test", md5(files["test"])]])
    monkeypatch.setattr(tv.CIFAR100, "meta", {**tv.CIFAR100.meta, "md5": md5(files["meta"])})
    dataset = load_vision("cifar100", root=tmp_path)
    assert (dataset.n_items, dataset.n_classes, dataset.class_names[7]) == (200, 100, "fine 7")


def idx(array: np.ndarray) -> bytes:
    """The IDX format of MNIST: magic (0, 0, 8 for uint8, dimensions), big-endian sizes, bytes."""
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist_files() -> tuple[dict[str, bytes], np.ndarray, np.ndarray]:
    images = RNG.integers(0, 256, size=(50, 28, 28), dtype=np.uint8)
    labels = (np.arange(50) % 10).astype(np.uint8)
    files = {
        "train-images-idx3-ubyte": idx(images[:30]),
        "train-labels-idx1-ubyte": idx(labels[:30]),
        "t10k-images-idx3-ubyte": idx(images[30:]),
        "t10k-labels-idx1-ubyte": idx(labels[30:]),
    }
    return files, images, labels


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_files(tmp_path: Path, name: str, folder: str) -> None:
    files, images, labels = mnist_files()
    write_files(tmp_path / folder / "raw", files)
    dataset = load_vision(name, root=tmp_path)
    np.testing.assert_array_equal(dataset.X, images.reshape(50, 784))
    np.testing.assert_array_equal(dataset.y, labels)
    assert (dataset.family, dataset.n_classes) == (name, 10)
    (tmp_path / folder / "raw" / "train-images-idx3-ubyte").write_bytes(files["train-images-idx3-ubyte"][:1000])
    with pytest.raises(DatasetError, match="missing or damaged"):
        load_vision(name, root=tmp_path)


def test_mnist_is_downloaded_with_its_checksums(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files, images, _ = mnist_files()
    packed = {f"{name}.gz": gzip.compress(data) for name, data in files.items()}
    for name, data in packed.items():
        (tmp_path / "remote" / name).write_bytes(data)
    monkeypatch.setattr(tv.MNIST, "mirrors", [server])
    monkeypatch.setattr(tv.MNIST, "resources", [(name, md5(data)) for name, data in packed.items()])
    dataset = load_vision("mnist", root=tmp_path / "local", download=True, part="train")
    np.testing.assert_array_equal(dataset.X, images[:30].reshape(30, 784))
    monkeypatch.setattr(tv.MNIST, "resources", [(name, "0" * 32) for name in packed])
    with pytest.raises(DatasetError, match="check the network"):
        load_vision("mnist", root=tmp_path / "other", download=True, part="train")


def test_svhn_mat_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = RNG.integers(0, 256, size=(32, 32, 3, 20), dtype=np.uint8)
    labels = (np.arange(20) % 10 + 1).astype(np.uint8)[:, None]  # 10 stands for the digit 0
    listed = {}
    for part, rows in (("train", slice(0, 12)), ("test", slice(12, 20))):
        path = tmp_path / f"{part}_32x32.mat"
        scipy.io.savemat(path, {"X": images[..., rows], "y": labels[rows]})
        listed[part] = ["", path.name, md5(path.read_bytes())]
    monkeypatch.setattr(tv.SVHN, "split_list", listed)
    dataset = load_vision("svhn", root=tmp_path)
    np.testing.assert_array_equal(dataset.y, labels[:, 0] % 10)
    np.testing.assert_array_equal(dataset.X, images.transpose(3, 2, 0, 1).reshape(20, -1))
    assert dataset.class_names == tuple("0123456789")


def test_usps_files(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, size=(20, 256))
    rows = [
        f"{i % 10 + 1} " + " ".join(f"{k + 1}:{v / 127.5 - 1:.6f}" for k, v in enumerate(p))
        for i, p in enumerate(pixels)
    ]
    (tmp_path / "usps.bz2").write_bytes(bz2.compress("\n".join(rows[:12]).encode()))
    (tmp_path / "usps.t.bz2").write_bytes(bz2.compress("\n".join(rows[12:]).encode()))
    dataset = load_vision("usps", root=tmp_path)
    assert np.abs(dataset.X.astype(int) - pixels).max() <= 1  # torchvision rounds down
    np.testing.assert_array_equal(dataset.y, np.arange(20) % 10)


def test_bad_arguments_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'cifar10'"):
        load_vision("cifar-10")
    with pytest.raises(ParameterError, match="'valid'"):
        load_vision("mnist", root=tmp_path, part="valid")  # type: ignore[arg-type]
    for name in ("cifar10", "mnist", "svhn", "usps"):
        with pytest.raises(DatasetError, match=rf"{name}: its train files .*download=True.*root="):
            load_vision(name, root=tmp_path)
    with pytest.raises(UnknownNameError, match="vision dataset"):
        load_tasks("vision:imagenet")
