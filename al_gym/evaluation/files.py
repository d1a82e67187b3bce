"""Reading and writing the files of an evaluation; every write is atomic (beside its place, then moved there)."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from al_gym.errors import DatasetError

COLUMNS = [
    "dataset",
    "seed",
    "policy",
    "round",
    "n_labelled",
    "test_accuracy",
    "test_balanced_accuracy",
    "strategy",
    "batch",
]
#: Columns that rows have only if they were asked for; they stand behind the others.
OPTIONAL_COLUMNS = ["test_review_recall"]
_ROWS_AT_ONCE = 200_000  # bounds the memory of writing


def present_columns(rows: pd.DataFrame) -> list[str]:
    """`COLUMNS`, then the optional columns that `rows` have."""
    return [*COLUMNS, *(name for name in OPTIONAL_COLUMNS if name in rows.columns)]


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file, flush it to disk and move it to `path`."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    with temporary.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Save named arrays, compressed, without pickle."""

    def write(file: BinaryIO) -> None:
        np.savez_compressed(file, allow_pickle=False, **arrays)

    write_atomically(path, write)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Save as indented JSON; a NaN or infinity is an error, never written."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise DatasetError(
            f"{path} holds {type(value).__name__}, not a JSON object; it is not a file of an evaluation."
        )
    return value


def write_results(path: Path, rows: pd.DataFrame) -> None:
    """Write rows with `COLUMNS`, and the optional ones that they have, as CSV.

    Names are quoted only where they must be, floats are as short as they round-trip.
    """

    def write(file: BinaryIO) -> None:
        columns = present_columns(rows)
        file.write((",".join(columns) + "\n").encode())
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows.iloc[first : first + _ROWS_AT_ONCE]
            lines = compute.binary_join_element_wise(*(_text(part[name]) for name in columns), ",")
            file.write(("\n".join(lines.to_pylist()) + "\n").encode())

    write_atomically(path, write)


def _text(column: pd.Series) -> pa.StringArray:
    if isinstance(column.dtype, pd.CategoricalDtype) or not pd.api.types.is_numeric_dtype(column.dtype):
        names = pd.Categorical(column)
        quoted = pa.array([_quote(str(name)) for name in names.categories], pa.string())
        return quoted.take(pa.array(names.codes))
    return pa.array(column.to_numpy()).cast(pa.string())


def _quote(name: str) -> str:
    """A CSV field (RFC 4180)."""
    return '"' + name.replace('"', '""') + '"' if set(name) & set(',"\r\n') else name


def read_results(path: str | Path) -> pd.DataFrame:
    """Read results.csv: names are text whatever they look like ("nan" too), an empty strategy is ''."""
    frame = pd.read_csv(
        path, dtype={"dataset": "category", "policy": "category", "strategy": "category"}, keep_default_na=False
    )
    absent = [name for name in COLUMNS if name not in frame.columns]
    if absent:
        raise DatasetError(f"{path} lacks the column {absent[0]!r}; it is not a results.csv.")
    return frame
