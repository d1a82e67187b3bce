"""One data file, `npz`, `csv` or `parquet`, to one dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import DatasetError
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.embedding_cache import DEFAULT_CACHE, cached_vectors
from al_gym.tasks.encode import encode_columns, encode_labels, whole_labels
from al_gym.tasks.encoders import make_text_encoder
from al_gym.tasks.mapped import mapped_if_large

if TYPE_CHECKING:
    import pandas as pd

#: A table's label is in exactly one of these, if its column is not named.
LABEL_COLUMNS = ("label", "target", "class", "y")
#: Cells that count as missing outside the label and the text: what pandas takes for missing, and UCI's question mark.
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "<NA>", "None", "#N/A", "?")
TABLE_SUFFIXES = (".csv", ".parquet")
SUFFIXES = (".npz", *TABLE_SUFFIXES)


@dataclass(frozen=True)
class ReadOptions:
    """How tables are read.

    Attributes:
        label_column: the column that holds the label where a table has it; else one of `LABEL_COLUMNS`.
        text_column: the column that holds text where a table has it: the features are then the encoded text alone,
            as numbers of other scales beside it would drown it.
        text_encoder: what encodes it, see `al_gym.tasks.encoders`.
        group_column: the column that names the group of each row (site, patient) where a table has it; no feature.
    """

    label_column: str | None = None
    text_column: str | None = None
    text_encoder: str = "lsa"
    group_column: str | None = None


def load_file(path: Path, family: str = "", options: ReadOptions = ReadOptions()) -> Dataset:
    """Load a dataset named after the file's stem.

    Raises:
        DatasetError: the file cannot be used; the message says why.
        OSError, ValueError, ...: the file cannot be read.
    """
    if path.suffix.lower() == ".npz":
        return _load_npz(path, family)
    table = read_table(path, options)
    label = find_label(list(table.columns), options)
    y = encode_labels(table[label])
    groups = _groups(table, options)
    if options.text_column in table.columns:
        texts = table[options.text_column].fillna("").astype(str).tolist()
        encoder = make_text_encoder(options.text_encoder)
        contents = [text.encode() for text in texts]
        X = cached_vectors(encoder, contents, lambda: encoder(texts), name=path.stem, cache=DEFAULT_CACHE)
        source = f"{path.name}, encoder {options.text_encoder}"
        return Dataset.from_arrays(
            path.stem, X, y, modality="text-embedding", family=family, source=source, groups=groups
        )
    X, _ = encode_columns(table.drop(columns=[label] if groups is None else [label, options.group_column]))
    return Dataset.from_arrays(path.stem, X, y, family=family, source=path.name, groups=groups)


def _groups(table: pd.DataFrame, options: ReadOptions) -> NDArray[Any] | None:
    """(items,) names of the groups, where the table has them; DatasetError if a row has none."""
    if options.group_column not in table.columns:
        return None
    column = table[options.group_column]
    if column.isna().any():
        raise DatasetError(
            f"{int(column.isna().sum())} rows have no group in column {column.name!r}; fill or drop them."
        )
    return column.astype(str).to_numpy(dtype=np.str_)


def _load_npz(path: Path, family: str) -> Dataset:
    with np.load(path, allow_pickle=False) as arrays:
        absent = [key for key in ("X", "y") if key not in arrays]
        if absent:
            found = ", ".join(map(repr, arrays.files)) or "none"
            reason = "no label: " if absent == ["y"] else ""
            raise DatasetError(f"{reason}no array {absent[0]!r} (arrays: {found}); save X and y.")
        mapped = mapped_if_large(path, "X")
        X, y = arrays["X"] if mapped is None else mapped, whole_labels(arrays["y"])
        modality = str(arrays["modality"].reshape(-1)[0]) if "modality" in arrays else "tabular"
        names = arrays.get("class_names")
        sides, groups = arrays.get("sides"), arrays.get("groups")
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8")
    dataset = Dataset.from_arrays(
        path.stem, X, y, modality=modality, family=family, source=path.name, sides=sides, groups=groups
    )
    return dataset if names is None else _renamed(dataset, names)


def _renamed(dataset: Dataset, names: NDArray[Any]) -> Dataset:
    """Name the classes by the file's `class_names`, if the labels are positions in it."""
    if names.ndim != 1 or not all(c.isdigit() and int(c) < len(names) for c in dataset.class_names):
        return dataset
    class_names = tuple(str(names[int(c)]) for c in dataset.class_names)
    return replace(dataset, class_names=class_names, check=False)


def find_label(columns: list[str], options: ReadOptions) -> str:
    """The label column of a table; DatasetError if there is none or more than one."""
    if options.label_column in columns:
        return str(options.label_column)
    found = [column for column in LABEL_COLUMNS if column in columns]
    if len(found) == 1:
        return found[0]
    if found:
        raise DatasetError(f"several label columns: {', '.join(found)}; name the one to use with --label-column.")
    shown = ", ".join(map(str, columns[:8])) + (", ..." if len(columns) > 8 else "")
    raise DatasetError(
        f"no label: none of the columns {', '.join(LABEL_COLUMNS)}; name it with --label-column (columns: {shown})."
    )


def columns_beside_text(path: Path, options: ReadOptions) -> tuple[str, ...]:
    """Columns of a table with text that are neither its text nor its label, and so not used."""
    header = read_header(path)
    if options.text_column not in header:
        return ()
    used = (options.text_column, options.group_column, find_label(header, options))
    return tuple(name for name in header if name not in used)


def read_header(path: Path) -> list[str]:
    """Column names of a csv or parquet file."""
    import pandas as pd

    if path.suffix.lower() == ".csv":
        header = pd.read_csv(
            path, header=None, nrows=1, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True
        )
        return [str(name) for name in header.iloc[0]]
    import pyarrow.parquet

    return [str(name) for name in pyarrow.parquet.read_schema(path).names]


def read_table(path: Path, options: ReadOptions) -> pd.DataFrame:
    """A csv or parquet file as a table with one row an item, in the order of the file.

    Raises:
        DatasetError: a column name twice, rows longer than the header, no rows.
    """
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        frame = pd.read_parquet(path).reset_index(drop=True)
    else:
        header = read_header(path)
        if len(set(header)) < len(header):
            twice = sorted({name for name in header if header.count(name) > 1})
            raise DatasetError(f"column {twice[0]!r} stands twice in the header; rename or drop one.")
        verbatim = {find_label(header, options), options.text_column}  # "None" and "NA" may be classes or texts
        missing = {name: [""] if name in verbatim else list(MISSING) for name in header}
        frame = pd.read_csv(
            path,
            na_values=missing,
            keep_default_na=False,
            encoding="utf-8-sig",
            skipinitialspace=True,
            low_memory=False,
        )
        if not isinstance(frame.index, pd.RangeIndex):
            raise DatasetError("its rows have more fields than its header has columns; quote cells that hold commas.")
    frame.columns = frame.columns.map(str)
    if len(frame) == 0:
        raise DatasetError("it has a header and no rows.")
    return frame
