"""Folders of images and texts, one folder a class: what is read, how it is encoded, and that it is encoded once."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from al_gym.errors import DatasetError, MissingExtraError, UnknownNameError
from al_gym.evaluation.api import evaluate
from al_gym.tasks import load_folder, load_images, load_tasks, load_texts
from al_gym.tasks.encoders import make_image_encoder, make_text_encoder, resolve_text_encoder, sentence
from al_gym.tasks.encoders.descriptor import DescriptorEncoder, describe, oriented_gradients
from al_gym.tasks.encoders.lsa import LatentSemanticEncoder


@pytest.fixture(autouse=True)
def empty_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the caches of the person who runs it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
    return home


def write_digits(folder: Path, classes: tuple[int, ...] = (0, 1, 2), per_class: int = 8, first: int = 0) -> Path:
    digits = load_digits()
    for label in classes:
        place = folder / f"digit {label}" / "deeper"
        place.mkdir(parents=True)
        for number, row in enumerate(np.flatnonzero(digits.target == label)[first : first + per_class]):
            image = Image.fromarray((digits.images[row] * 15.9).astype(np.uint8)).resize((32, 32))
            image.save(place / f"{number:03d}.{('png', 'JPG', 'bmp')[number % 3]}")
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_folders_are_classes_and_rows_follow_the_paths(tmp_path: Path) -> None:
    data = load_images(write_digits(tmp_path / "digits"), encoder="descriptor")
    assert (data.name, data.family, data.modality) == ("digits", "digits", "image-embedding")
    assert data.class_names == ("digit 0", "digit 1", "digit 2")
    assert data.y.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert data.X.shape == (24, 672) and data.X.dtype == np.float32
    assert data.source == "folder, encoder descriptor"
    paths = sorted((tmp_path / "digits" / "digit 1").rglob("*.*"))
    np.testing.assert_array_equal(data.X[8:16], DescriptorEncoder()(paths))


def test_images_are_encoded_once_and_anew_when_one_changes(tmp_path: Path) -> None:
    folder, calls = write_digits(tmp_path / "digits"), []

    class Counting(DescriptorEncoder):
        def __call__(self, paths: list[Path]) -> np.ndarray:
            calls.append(len(paths))
            return super().__call__(paths)

    first = load_images(folder, encoder=Counting(), cache=tmp_path / "kept")
    again = load_images(folder, encoder=Counting(), cache=tmp_path / "kept")
    np.testing.assert_array_equal(first.X, again.X)
    assert calls == [24]
    (kept,) = (tmp_path / "kept").iterdir()
    with np.load(kept, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["X"], first.X)
    Image.new("RGB", (9, 9), "red").save(folder / "digit 0" / "deeper" / "000.png")
    changed = load_images(folder, encoder=Counting(), cache=tmp_path / "kept")
    assert calls == [24, 24] and (changed.X[0] != first.X[0]).any()
    kept.write_bytes(b"damaged")
    load_images(write_digits(tmp_path / "copy" / "digits"), encoder=Counting(), cache=tmp_path / "kept")
    assert calls == [24, 24, 24], "a damaged file is made anew"
    load_images(folder, encoder=Counting(), cache=None)
    assert calls == [24, 24, 24, 24]


def test_embeddings_are_kept_in_the_home_folder_by_default(tmp_path: Path, empty_home: Path) -> None:
    load_images(write_digits(tmp_path / "digits"))
    assert [path.name[:7] for path in (empty_home / ".cache/al_gym/embeddings").iterdir()] == ["digits-"]


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="not kept"):
        data = load_images(write_digits(tmp_path / "digits"), cache=tmp_path / "file" / "below")
    assert data.n_items == 24


def test_another_folder_is_the_test_set(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "day")
    later = write_digits(tmp_path / "night", classes=(0, 2), per_class=4, first=8)
    data = load_images(folder, test_folder=later)
    assert data.sides.tolist() == [1] * 24 + [2] * 8
    assert data.y[24:].tolist() == [0] * 4 + [2] * 4
    write_digits(later, classes=(7,))
    with pytest.raises(DatasetError, match=r"class 'digit 7' of .*night"):
        load_images(folder, test_folder=later)


def test_files_are_grouped_by_their_path(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "digits")
    data = load_images(folder, group_of=lambda path: path.stem[-1])
    assert data.groups.tolist() == list(range(8)) * 3
    with pytest.raises(DatasetError, match="not both"):
        load_images(folder, group_of=str, test_folder=folder)


def test_the_descriptor_tells_digits_apart_better_than_chance_by_far(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "digits", classes=tuple(range(10)), per_class=20)
    data = load_images(folder)
    train = np.arange(200) % 20 < 10
    X = data.X - data.X[train].mean(axis=0)
    assert LogisticRegression(C=100, max_iter=1000).fit(X[train], data.y[train]).score(X[~train], data.y[~train]) > 0.85


def test_the_descriptor_sees_edges_and_colours_and_not_the_light() -> None:
    rows = np.arange(64)[:, None] * np.ones((1, 64))
    for image, orientation in ((rows, 4), (rows.T, 0)):  # bins of 20 degrees: 90 lies between 4 and 5
        cells = oriented_gradients(np.sin(image / 3) / 2 + 0.5)
        assert (cells[2:-2, 2:-2].argmax(axis=2) == orientation).all()
    rng = np.random.default_rng(0)
    image = rng.random((64, 64, 3)) * 0.5 + 0.25
    edges, whole = slice(0, 576), describe(image)
    assert np.abs(describe(image)).max() <= 1
    assert np.abs(describe(0.5 * image)[edges] - whole[edges]).max() < 0.02
    assert np.abs(describe(image[..., ::-1])[edges] - whole[edges]).max() < 1e-6
    assert np.abs(describe(image[..., ::-1])[-96:] - whole[-96:]).max() > 0.001
    grey = describe(np.repeat(image[..., :1], 3, axis=2))[-96:].reshape(2, 3, 16)
    assert not grey[0, 1:].any() and grey[:, 0].all()


def test_weights_on_this_machine_are_used_by_themselves(tmp_path: Path, empty_home: Path) -> None:
    folder = write_digits(tmp_path / "digits", classes=(0, 1), per_class=3)
    assert isinstance(make_image_encoder("auto"), DescriptorEncoder)
    with pytest.raises(DatasetError, match=r"weights of 'resnet18' are not in .*descriptor"):
        load_images(folder, encoder="backbone")
    torch.manual_seed(0)
    network = torchvision.models.resnet18()
    url = torchvision.models.ResNet18_Weights.DEFAULT.url
    place = empty_home / "torch" / "hub" / "checkpoints" / url.rsplit("/", 1)[1]
    place.parent.mkdir(parents=True)
    torch.save(network.state_dict(), place)
    data = load_images(folder)
    assert data.source == "folder, encoder backbone" and data.X.shape == (6, 512)
    network.fc = torch.nn.Identity()
    image = Image.open(sorted((folder / "digit 0").rglob("*.*"))[0]).convert("RGB")
    with torch.no_grad():
        expected = network.eval()(torchvision.models.ResNet18_Weights.DEFAULT.transforms()(image)[None])
    np.testing.assert_allclose(data.X[0], expected[0].numpy(), rtol=1e-3, atol=1e-4)
    place.write_bytes(b"damaged")
    with pytest.raises(DatasetError, match="holds no weights of 'resnet18'"):
        load_images(folder)


def test_weights_may_be_named(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "digits", classes=(0, 1), per_class=2)
    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), tmp_path / "mine.pth")
    data = load_images(folder, encoder=f"backbone:architecture=mobilenet_v3_small,weights={tmp_path / 'mine.pth'}")
    assert data.X.shape == (4, 1024)
    with pytest.raises(UnknownNameError, match="resnet18"):
        load_images(folder, encoder="backbone:architecture=resnet81")


def test_folders_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no folder"):
        load_images(tmp_path / "absent")
    (tmp_path / "empty" / "one").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"0 \.bmp.* files in 1 folders"):
        load_images(tmp_path / "empty")
    folder = write_digits(tmp_path / "digits")
    (folder / "digit 0" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"broken\.png is no image"):
        load_images(folder)


def write_mails(folder: Path, n: int = 40, encoding: str = "utf-8") -> Path:
    rng = np.random.default_rng(0)
    words = {"spam": ["money", "winner", "offer", "free"], "ham": ["meeting", "report", "lunch", "draft"]}
    for label, own in words.items():
        (folder / label).mkdir(parents=True)
        for number in range(n):
            text = " ".join([*rng.choice(own, 3), *rng.choice(["the", "and", "you", "it", "on", "we"], 6)])
            (folder / label / f"{number:02d}.txt").write_text(text + " café", encoding=encoding if number else "utf-8")
    return folder


def test_text_files_are_encoded_by_their_words(tmp_path: Path, empty_home: Path) -> None:
    folder = write_mails(tmp_path / "mails", encoding="latin-1")
    with pytest.warns(UserWarning, match=r"78 of 80 texts are not UTF-8, .*01\.txt the first"):
        data = load_texts(folder, encoder="lsa")
    assert (data.name, data.modality, data.class_names) == ("mails", "text-embedding", ("ham", "spam"))
    train = np.arange(80) % 40 < 20
    assert LogisticRegression().fit(data.X[train], data.y[train]).score(data.X[~train], data.y[~train]) > 0.95
    assert not (empty_home / ".cache").exists(), "words are counted faster than read from a file"
    assert load_texts(folder, encoder=LatentSemanticEncoder(), name="other").name == "other"


def test_folders_are_named_on_the_command_line(tmp_path: Path) -> None:
    tasks = load_tasks(f"texts:{write_mails(tmp_path / 'mails')}")
    assert tasks.names == ("mails",)
    assert load_tasks(f"images:{write_digits(tmp_path / 'digits')}").names == ("digits",)
    result = evaluate(["random"], tasks=f"texts:{tmp_path / 'mails'}", seeds=1, rounds=1, jobs=1)
    assert result.results["test_accuracy"].between(0, 1).all()


def test_a_sentence_model_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence, "find_spec", lambda name: None)
    assert resolve_text_encoder("auto") == "lsa"
    with pytest.raises(MissingExtraError, match=r"al-gym\[text\]"):
        make_text_encoder("sentence-transformers")
    with pytest.raises(UnknownNameError, match="sentence-transformers"):
        make_text_encoder("sentence-transformer")


class FakeTransformer:
    """Stands where `sentence_transformers.SentenceTransformer` does; a text becomes its length and its vowels."""

    def __init__(self, folder: str, *, device: str, local_files_only: bool) -> None:
        assert local_files_only and Path(folder).is_dir()

    def encode(self, texts: list[str], **options: object) -> np.ndarray:
        return np.array([[len(text), sum(text.count(vowel) for vowel in "aeiou")] for text in texts], np.float32)


def test_columns_of_tables_and_files_go_through_the_sentence_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_home: Path
) -> None:
    """The real package is not here; what surrounds it is."""
    fake = type(sys)("sentence_transformers")
    fake.SentenceTransformer = FakeTransformer
    monkeypatch.setitem(sys.modules, "sentence_transformers", fake)
    hub, errors = type(sys)("huggingface_hub"), type(sys)("huggingface_hub.errors")
    errors.LocalEntryNotFoundError = FileNotFoundError
    hub.snapshot_download = lambda model, *, local_files_only: Path(model).resolve(strict=True)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    monkeypatch.setattr(sentence, "find_spec", lambda name: object() if name == "sentence_transformers" else None)
    (tmp_path / "model").mkdir()
    spec = f"sentence-transformers:model={tmp_path / 'model'}"
    rows = [f"text {'aeb'[i % 3] * (i + 1)},{'ab'[i % 2]}" for i in range(30)]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "table.csv").write_text("\n".join(["words,label", *rows]))
    tasks, _ = load_folder(tmp_path / "data", text_column="words", text_encoder=spec)
    data = tasks.get("table")
    assert data.X[:, 0].tolist() == [len(row.split(",")[0]) for row in rows]
    assert data.source.startswith("table.csv, encoder sentence-transformers")
    assert [path.suffix for path in (empty_home / ".cache/al_gym/embeddings").iterdir()] == [".npz"]
    monkeypatch.setattr(FakeTransformer, "encode", lambda *args, **options: pytest.fail("encoded twice"))
    assert load_folder(tmp_path / "data", text_column="words", text_encoder=spec)[0].get("table").n_items == 30
    with pytest.raises(DatasetError, match="not on this machine"):
        make_text_encoder(f"sentence-transformers:model={tmp_path / 'absent'}")
