"""Datasets whose features stay on disk, as a memory map."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import DatasetError
from al_gym.tasks.dataset import Dataset

MAP_BYTES = 2**26
"""From this size on, `X` of an uncompressed npz in a folder is mapped instead of read."""

_DTYPES = ("float16", "float32", "float64", "uint8")
_LOCAL_HEADER = struct.Struct("<26xHH")  # lengths of name and extra field in a zip file's local header


def map_dataset(
    features: str | Path, labels: Any, *, name: str | None = None, modality: str = "tabular", family: str = ""
) -> Dataset:
    """A dataset with features mapped from a file; only what is worked on comes into memory.

    Args:
        features: an npy file of (items, features), or an uncompressed npz (`numpy.savez`) with an array `X`; float16,
            float32, float64 or uint8, in C order.
        labels: (items,) integers or strings, or an npy file of them; None for the array `y` of the npz.
        name: the file's stem if None.
        modality: see `Dataset`.
        family: see `Dataset`.

    Raises:
        DatasetError: no such file or array; a compressed npz; a dtype or order that cannot be mapped; or as for
            `Dataset`.
    """
    path = Path(features)
    if not path.is_file():
        raise DatasetError(f"there is no file {str(path)!r} to map.")
    X = map_array(path, "X")
    if labels is None:
        if path.suffix.lower() != ".npz":
            raise DatasetError(f"{path.name}: an npy file has no labels; give labels=.")
        with np.load(path, allow_pickle=False) as arrays:
            if "y" not in arrays:
                raise DatasetError(f"{path.name}: no array 'y'; give labels=.")
            labels = arrays["y"]
    elif isinstance(labels, str | Path):
        labels = np.load(labels, allow_pickle=False)
    return Dataset.from_arrays(
        path.stem if name is None else name, X, labels, modality=modality, family=family, source=path.name
    )


def map_array(path: Path, key: str) -> NDArray[Any]:
    """The array of an npy file, or array `key` of an uncompressed npz, read-only and mapped.

    Raises:
        DatasetError: it cannot be mapped; the message says why and what to do.
    """
    start = 0 if path.suffix.lower() == ".npy" else _member_start(path, f"{key}.npy")
    with path.open("rb") as file:
        file.seek(start)
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
        except ValueError as error:
            raise DatasetError(f"{path.name}: not a numpy array ({error}); write it with numpy.save.") from error
        offset = file.tell()
    if dtype.name not in _DTYPES or dtype.byteorder == ">":
        raise DatasetError(
            f"{path.name}: dtype {dtype} cannot be mapped as features; save one of {', '.join(_DTYPES)} (native order)."
        )
    if fortran and len(shape) > 1:
        raise DatasetError(f"{path.name}: in Fortran order every item is all over the file; save it in C order.")
    try:
        return np.memmap(path, dtype, "r", offset, shape)
    except ValueError as error:
        raise DatasetError(f"{path.name}: cannot be mapped, the file may be cut off ({error}).") from error


def _member_start(path: Path, member: str) -> int:
    """Where the bytes of an uncompressed member of a zip file begin."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise DatasetError(f"{path.name}: no array {member.removesuffix('.npy')!r} in a npz file.") from error
    if info.compress_type != zipfile.ZIP_STORED:
        raise DatasetError(f"{path.name}: compressed, so that it cannot be mapped; save it with numpy.savez.")
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return info.header_offset + _LOCAL_HEADER.size + int(name) + int(extra)


def mapped_if_large(path: Path, key: str) -> NDArray[Any] | None:
    """Array `key` of an npz, mapped; None if it is small or cannot be mapped, and has to be read."""
    try:
        array = map_array(path, key)
    except DatasetError:
        return None
    return array if array.nbytes >= MAP_BYTES else None
