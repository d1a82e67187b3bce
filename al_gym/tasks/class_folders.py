"""Images and texts in one folder a class, encoded once and kept in a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from al_gym.errors import DatasetError
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.embedding_cache import DEFAULT_CACHE, cached_vectors
from al_gym.tasks.encoders import ImageEncoder, TextEncoder, Vectors, make_image_encoder, make_text_encoder

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TEXT_SUFFIXES = (".md", ".text", ".txt")

GroupOf = Callable[[Path], str]


def load_images(
    folder: str | Path,
    *,
    test_folder: str | Path | None = None,
    group_of: GroupOf | None = None,
    encoder: str | ImageEncoder = "auto",
    cache: str | Path | None = DEFAULT_CACHE,
    name: str = "",
    family: str = "",
) -> Dataset:
    """A folder of images with one folder a class (`FOLDER/cat/1.png`), as embeddings.

    Args:
        folder: its folders are the classes; images may lie deeper in them. Files of other kinds are ignored.
        test_folder: images of another domain, in folders of the same classes: they alone are tested on, and those of
            `folder` alone make the pool.
        group_of: the group of a file from its path below `folder` (its site, patient or drive); files of one group
            never stand in pool and test set of one task. Not together with `test_folder`.
        encoder: `auto`, a name of `IMAGE_ENCODERS`, or an object.
        cache: folder of npz files that keep embeddings (`al_gym.tasks.embedding_cache`); None encodes anew.
        name: the dataset's name; that of the folder if empty.
        family: `name` if empty.

    Returns:
        Dataset of modality `image-embedding`, its rows in the order of the paths; its source names the encoder.

    Raises:
        DatasetError: no such folder, fewer than two classes, a file that is no image, an encoder without its weights.
        UnknownNameError: no such encoder.
    """
    files = _list_files(Path(folder), test_folder, group_of, IMAGE_SUFFIXES)
    chosen = make_image_encoder(encoder)
    name = name or Path(folder).resolve().name
    contents = [path.read_bytes() for path in files.paths]
    X = cached_vectors(chosen, contents, lambda: chosen(files.paths), name=name, cache=cache)
    return files.dataset(name, X, "image-embedding", family, chosen.fingerprint)


def load_texts(
    folder: str | Path,
    *,
    test_folder: str | Path | None = None,
    group_of: GroupOf | None = None,
    encoder: str | TextEncoder = "auto",
    cache: str | Path | None = DEFAULT_CACHE,
    name: str = "",
    family: str = "",
) -> Dataset:
    """A folder of text files (UTF-8) with one folder a class (`FOLDER/spam/1.txt`), as embeddings.

    Arguments, result and errors are those of `load_images`, with `TEXT_ENCODERS` and modality `text-embedding`. Bytes
    that are not UTF-8 are replaced, with a warning. For texts in a column of a table see `load_folder` and its
    `text_column`.
    """
    files = _list_files(Path(folder), test_folder, group_of, TEXT_SUFFIXES)
    chosen = make_text_encoder(encoder)
    texts = _read_texts(files.paths)
    name = name or Path(folder).resolve().name
    contents = [text.encode() for text in texts]
    X = cached_vectors(chosen, contents, lambda: chosen(texts), name=name, cache=cache)
    return files.dataset(name, X, "text-embedding", family, chosen.fingerprint)


def _read_texts(paths: Sequence[Path]) -> list[str]:
    """Texts of UTF-8 files; other bytes become U+FFFD, with a warning that names the first file."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    broken = [path for path, text in zip(paths, texts, strict=True) if "\ufffd" in text]
    if broken:
        warnings.warn(
            f"{len(broken)} of {len(paths)} texts are not UTF-8, {broken[0]} the first; their other bytes count as "
            "U+FFFD. Convert them, for example with iconv."
        )
    return texts


@dataclass(frozen=True)
class _Files:
    """Files with their classes, and sides or groups where there are some."""

    paths: list[Path]
    labels: list[str]
    sides: list[str] | None
    groups: list[str] | None

    def dataset(self, name: str, X: Vectors, modality: str, family: str, encoder: str) -> Dataset:
        return Dataset.from_arrays(
            name,
            X,
            self.labels,
            modality=modality,
            family=family,
            source=f"folder, encoder {encoder.split()[0]}",
            sides=self.sides,
            groups=self.groups,
        )


def _list_files(
    folder: Path, test_folder: str | Path | None, group_of: GroupOf | None, suffixes: Sequence[str]
) -> _Files:
    if test_folder is not None and group_of is not None:
        raise DatasetError("give test_folder or group_of, not both; a test folder keeps pool and test apart already.")
    found = _find(folder, suffixes)
    sides = None
    if test_folder is not None:
        later = _find(Path(test_folder), suffixes)
        strangers = sorted({label for _, label in later} - {label for _, label in found})
        if strangers:
            raise DatasetError(f"class {strangers[0]!r} of {str(test_folder)!r} is not in {str(folder)!r}.")
        sides = ["pool"] * len(found) + ["test"] * len(later)
        found += later
    groups = None if group_of is None else [group_of(path.relative_to(folder)) for path, _ in found]
    return _Files([path for path, _ in found], [label for _, label in found], sides, groups)


def _find(folder: Path, suffixes: Sequence[str]) -> list[tuple[Path, str]]:
    """Files below the folders of `folder` and their classes, sorted by path."""
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {str(folder)!r}; give one with a folder for each class.")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [
        (path, place.name)
        for place in classes
        for path in sorted(place.rglob("*"))
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    ]
    if len({label for _, label in found}) < 2:
        raise DatasetError(
            f"{str(folder)!r} has {len(found)} {', '.join(suffixes)} files in {len(classes)} folders; put them "
            "into one folder for each of two or more classes."
        )
    return found
