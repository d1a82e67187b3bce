"""From the columns of a table, or from texts, to the numbers that learners take.

The rules are those of the data folder's contract: numbers as they are, missing ones filled with the median, plus a 0/1
column when more than 2 % are missing; strings and booleans one-hot; constant columns dropped; identifiers refused.
No label is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd

#: A numeric column gets a 0/1 column of its own when more than this share of it is missing.
MISSING_SHARE = 0.02
#: Most columns of an encoded table.
MAX_COLUMNS = 10_000
#: Most dimensions of encoded texts.
TEXT_DIMENSIONS = 128

_ID_NAME = re.compile(r"(?i:(^|[ _.-])(id|idx|index|key|uuid|guid|row|rowid)$|^unnamed:)|[a-z0-9](Id|ID)$")
_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")
_REFUSED = ("datetime", "datetime64", "date", "timedelta", "timedelta64", "time", "period", "interval", "complex")


def encode_columns(frame: pd.DataFrame) -> tuple[NDArray[np.float32], list[str]]:
    """Encode a table without its label.

    Args:
        frame: (items, columns), any dtypes that pandas reads from a csv or parquet file.

    Returns:
        (items, features) float32, finite, no column constant.
        The name of each feature: that of its column, `column=level` for one-hot, `column=missing` for missing numbers.

    Raises:
        DatasetError: an identifier, a date, a nested or infinite value, too many columns, or none left.
    """
    names: list[str] = []
    features: list[NDArray[np.float32]] = []
    for column in frame.columns:
        for name, values in _encode_column(str(column), frame[column]):
            values32 = values.astype(np.float32)
            if values32.min() != values32.max():
                names.append(name)
                features.append(values32)
        if len(names) > MAX_COLUMNS:
            raise DatasetError(
                f"column {column!r} makes more than {MAX_COLUMNS} features; drop it or group its values, "
                "or name it as the text column if it holds text."
            )
    if not features:
        raise DatasetError("no feature column is left: beside the label all are constant or there is none.")
    return np.stack(features, axis=1), names


def _encode_column(name: str, column: pd.Series[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    import pandas as pd

    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in _REFUSED:
        raise DatasetError(f"column {name!r} holds {kind} values; turn them into numbers or drop the column.")
    if kind in _NUMBERS:
        yield from _encode_numbers(name, pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan))
    elif kind != "empty":
        yield from _encode_levels(name, column)


def _encode_numbers(name: str, values: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[Any]]]:
    missing = np.isnan(values)
    if missing.all():
        return
    if np.isinf(values).any() or np.nanmax(np.abs(values)) > np.finfo(np.float32).max:
        raise DatasetError(f"non-finite values in column {name!r}, or values that pass float32; fill or drop them.")
    if not missing.any() and _is_integer_id(name, values):
        raise DatasetError(f"column {name!r} looks like an identifier (one value per row); drop it from the file.")
    yield name, np.where(missing, np.median(values[~missing]), values)
    if missing.mean() > MISSING_SHARE:
        yield f"{name}=missing", missing


def _is_integer_id(name: str, values: NDArray[np.float64]) -> bool:
    """Integers, all different, that have the name of an identifier, rise from row to row, or leave no gap."""
    if (values != np.round(values)).any() or len(np.unique(values)) < len(values):
        return False
    return bool(_ID_NAME.search(name) or (np.diff(values) > 0).all() or values.max() - values.min() == len(values) - 1)


def _encode_levels(name: str, column: pd.Series[Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    import pandas as pd

    missing = column.isna().to_numpy()
    present = column[~missing]
    if not all(map(pd.api.types.is_scalar, present)):
        raise DatasetError(f"column {name!r} holds nested values; spread them into columns or drop it.")
    texts = np.full(len(column), "missing", dtype=object)
    texts[~missing] = present.astype(str).to_numpy(dtype=object)
    codes, levels = pd.factorize(texts, sort=True)
    if len(levels) == len(column):
        raise DatasetError(
            f"column {name!r} has one value per row: an identifier or free text; drop it, "
            "or name it as the text column."
        )
    if len(levels) > MAX_COLUMNS:
        raise DatasetError(f"column {name!r} has {len(levels)} different values; drop it or group its values.")
    for code, level in enumerate(levels):
        yield f"{name}={level}", codes == code


def encode_labels(column: pd.Series[Any]) -> NDArray[Any]:
    """(items,) integers or strings from a label column.

    Raises:
        DatasetError: a label is missing, or the labels are numbers that are not whole.
    """
    import pandas as pd

    missing = int(column.isna().sum())
    if missing:
        raise DatasetError(
            f"{missing} of {len(column)} rows have no label in column {column.name!r}; drop or label them."
        )
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in _NUMBERS:
        return whole_labels(pd.to_numeric(column).to_numpy())
    return column.astype(str).to_numpy(dtype=np.str_)


def whole_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels as they are, or as int64 if they are floats with whole values; DatasetError for other floats."""
    if labels.dtype.kind != "f":
        return labels
    if not np.isfinite(labels).all() or (labels != np.round(labels)).any():
        raise DatasetError("labels are not whole numbers (a regression target?); use integers or strings.")
    return labels.astype(np.int64)


def encode_text(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors of texts: TF-IDF of words and word pairs, then truncated SVD (latent semantic analysis).

    Deterministic: the SVD starts from a fixed seed and the result is rounded to 5 decimals.

    Args:
        texts: (items,) strings; an empty one becomes the zero vector.

    Returns:
        (items, at most `TEXT_DIMENSIONS`) float32, rows of length 1 or 0.

    Raises:
        DatasetError: no text holds a word.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), max_features=20_000)
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError as error:  # scikit-learn: "empty vocabulary"
        raise DatasetError(f"the text column cannot be encoded ({error}); does it hold words?") from error
    if weights.shape[1] > TEXT_DIMENSIONS:
        svd = TruncatedSVD(TEXT_DIMENSIONS, n_iter=7, random_state=0)
        vectors = normalize(svd.fit_transform(weights))
    else:
        vectors = weights.toarray()
    return np.round(vectors, 5).astype(np.float32)
