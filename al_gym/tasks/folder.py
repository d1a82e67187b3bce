"""A folder of data files as a task distribution."""

from __future__ import annotations

import contextlib
import csv
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from al_gym.errors import DatasetError, ParameterError, UnknownNameError
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import Entry, TaskDistribution
from al_gym.tasks.encoders import resolve_text_encoder
from al_gym.tasks.files import SUFFIXES, TABLE_SUFFIXES, ReadOptions, columns_beside_text, load_file, read_header

#: A csv of this name with the columns `name` and `family` is the folder's manifest and never a dataset.
MANIFEST = "datasets.csv"

_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class FolderReport:
    """What became of the files of a folder.

    Attributes:
        folder: where they are.
        files: dataset name to file name, of those that can be used.
        skipped: file name to reason, of those that cannot.
        encoded: names of the datasets whose features were made from a table's columns or texts.
        left_out: dataset name to the columns that stand beside its text and are not used.
    """

    folder: Path
    files: Mapping[str, str]
    skipped: Mapping[str, str]
    encoded: frozenset[str]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def load_folder(
    folder: str | Path,
    *,
    label_column: str | None = None,
    text_column: str | None = None,
    text_encoder: str = "auto",
    group_column: str | None = None,
    datasets: str | Path | Iterable[str] | None = None,
    initial: Literal["per-class"] | int = "per-class",
    batch_size: int = 5,
    strict: bool = False,
) -> tuple[TaskDistribution, FolderReport]:
    """Every `*.npz`, `*.csv` and `*.parquet` of a folder, under the stem of its file name.

    A `npz` holds `X` (items, features), `y` (items; integers or strings) and optionally `modality`, `class_names`,
    and `sides` or `groups` (items; which rows may be pool and which test, or which belong together; see `Dataset`).
    A table has a header; `al_gym.tasks.encode` makes its columns numbers. A file called `datasets.csv` with the columns
    `name` and `family` is taken for the manifest: it gives the families and is not a dataset. All files are read once,
    to know which can be used; what does not stay in memory is read again when it is asked for.

    Args:
        folder: the files lie directly in it; files of other kinds and hidden ones are ignored.
        label_column: the label's column, in the tables that have it; else `label`, `target`, `class` or `y`.
        text_column: the text's column, in the tables that have it; their other columns are not used.
        text_encoder: what encodes it: `auto`, or a name of `al_gym.tasks.encoders.TEXT_ENCODERS`.
        group_column: the column that names each row's group (site, patient), in the tables that have it: no group
            stands in pool and test set of one task.
        datasets: names to keep, or a file with one name a line (blank lines and lines that start with # are ignored).
        initial: how campaigns choose their seed set; a file with fewer items than that and one batch is skipped.
        batch_size: labels of one batch.
        strict: raise the first reason to skip a file.

    Returns:
        The distribution and the report.

    Raises:
        DatasetError: no such folder, no file that can be used, equal stems, or, if `strict`, a file to skip.
        UnknownNameError: `datasets` names one that is not in the folder; no table has the label, text or
            group column.
    """
    root = Path(folder)
    paths = _find_files(root)
    families = _read_manifest(root)
    if datasets is not None:
        paths = _restrict(paths, datasets)
    encoder = "lsa" if text_column is None else resolve_text_encoder(text_encoder)
    options = ReadOptions(label_column, text_column, encoder, group_column)
    _check_columns(paths.values(), options)
    entries = [
        Entry(name, families.get(name, name), partial(load_file, path, families.get(name, name), options))
        for name, path in paths.items()
    ]
    loaded, skipped = _load_usable(entries, paths, initial, batch_size, strict)
    if not loaded:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise DatasetError(f"no file of {str(root)!r} can be used: {reasons}")
    usable = {dataset.name: paths[dataset.name] for dataset in loaded}
    tables = {name: path for name, path in usable.items() if path.suffix.lower() in TABLE_SUFFIXES}
    beside = {name: columns_beside_text(path, options) for name, path in tables.items()}
    report = FolderReport(
        root,
        {name: path.name for name, path in usable.items()},
        skipped,
        frozenset(tables),
        {name: columns for name, columns in beside.items() if columns},
    )
    return TaskDistribution([entry for entry in entries if entry.name in usable], loaded=loaded), report


def _load_usable(
    entries: list[Entry],
    paths: dict[str, Path],
    initial: Literal["per-class"] | int,
    batch_size: int,
    strict: bool,
) -> tuple[list[Dataset], dict[str, str]]:
    """Datasets that can be used, and file name to reason of the files that cannot."""
    loaded: list[Dataset] = []
    skipped: dict[str, str] = {}
    for entry in entries:
        path = paths[entry.name]
        try:
            dataset = entry.load()
            _check_size(dataset, initial, batch_size)
        except _UNREADABLE as error:
            skipped[path.name] = _reason(entry.name, error)
            if strict:
                raise DatasetError(f"{path}: {skipped[path.name]}") from error
        else:
            loaded.append(dataset)
    return loaded, skipped


def read_names(file: str | Path) -> list[str]:
    """Dataset names from a file with one name a line; blank lines and lines that start with # are ignored."""
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ParameterError(f"the file of dataset names {str(file)!r} cannot be read: {error}.") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _find_files(root: Path) -> dict[str, Path]:
    """Dataset name to file, sorted by name."""
    if not root.is_dir():
        raise DatasetError(f"there is no folder {str(root)!r}; give one with {', '.join(SUFFIXES)} files.")
    files: dict[str, Path] = {}
    for path in sorted(root.iterdir(), key=lambda path: (path.stem, path.suffix)):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        if _is_manifest(path):
            continue
        if path.stem in files:
            raise DatasetError(
                f"{files[path.stem].name!r} and {path.name!r} in {str(root)!r} have the same stem and would both be "
                f"called {path.stem!r}; rename one."
            )
        files[path.stem] = path
    if not files:
        raise DatasetError(f"no {', '.join(SUFFIXES)} file in {str(root)!r}.")
    return files


def _is_manifest(path: Path) -> bool:
    if path.name != MANIFEST:
        return False
    try:
        return {"name", "family"} <= set(read_header(path))
    except _UNREADABLE:
        return False


def _read_manifest(root: Path) -> dict[str, str]:
    """Family of each dataset that the manifest gives one."""
    path = root / MANIFEST
    if not path.is_file() or not _is_manifest(path):
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    return {row["name"]: row["family"] for row in rows if row["name"] and row["family"]}


def _restrict(paths: dict[str, Path], datasets: str | Path | Iterable[str]) -> dict[str, Path]:
    wanted = set(read_names(datasets) if isinstance(datasets, str | Path) else datasets)
    for name in sorted(wanted):
        if name not in paths:
            raise UnknownNameError("dataset", name, paths)
    if not wanted:
        raise ParameterError(f"{datasets!r} names no dataset; list at least one, or leave it out to use them all.")
    return {name: path for name, path in paths.items() if name in wanted}


def _check_columns(paths: Iterable[Path], options: ReadOptions) -> None:
    """Refuse column names that no table has."""
    asked = {"label": options.label_column, "text": options.text_column, "group": options.group_column}
    if not any(asked.values()):
        return
    named = [column for column in asked.values() if column is not None]
    twice = next((column for column in named if named.count(column) > 1), None)
    if twice is not None:
        both = " and ".join(f"the {kind}" for kind, column in asked.items() if column == twice)
        raise ParameterError(f"column {twice!r} cannot be both {both}; name two.")
    seen: set[str] = set()
    for path in paths:
        if path.suffix.lower() in TABLE_SUFFIXES:
            with contextlib.suppress(*_UNREADABLE):  # loading it will give the reason
                seen.update(read_header(path))
    for kind, column in asked.items():
        if column is not None and column not in seen:
            raise UnknownNameError(f"{kind} column", column, seen or {"(the folder has no csv or parquet file)"})


def _check_size(dataset: Dataset, initial: Literal["per-class"] | int, batch_size: int) -> None:
    seeds = dataset.n_classes if initial == "per-class" else initial
    if dataset.n_items < seeds + batch_size:
        raise DatasetError(
            f"only {dataset.n_items} items, fewer than a seed set of {seeds} and one batch of {batch_size}."
        )


def _reason(name: str, error: BaseException) -> str:
    """The error's message without the dataset's name, or its type if it has no message."""
    text = str(error).removeprefix(f"{name}: ").strip() or type(error).__name__
    return text if isinstance(error, DatasetError | ParameterError) else f"cannot be read: {text}"
