"""Datasets of OpenML, by number."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from al_gym.errors import DatasetError, ParameterError
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.encode import encode_columns, encode_labels


def load_openml(
    data_id: int,
    *,
    data_home: str | Path | None = None,
    target: str = "default-target",
    name: str = "",
    family: str = "",
    n_retries: int = 3,
) -> Dataset:
    """A classification dataset of https://www.openml.org by its number, encoded by the rules of data folders.

    scikit-learn downloads it (`sklearn.datasets.fetch_openml`, which checks the MD5 sum) and keeps it in `data_home`;
    from then on no network is needed. Columns that OpenML marks as identifiers or to be ignored are left out. Datasets
    in the sparse ARFF format are refused: scikit-learn leaves the labels that they imply uninitialised.

    Args:
        data_id: number of the dataset and version, at least 1.
        data_home: folder of the downloaded files; scikit-learn's own if None.
        target: the column that holds the label; the one that OpenML names by default.
        name: the dataset's name; `openml-NUMBER` if empty.
        family: OpenML's name of the dataset in lower case if empty, so that its versions form one family.
        n_retries: how often a failed download is tried again.

    Raises:
        DatasetError: no network and not in `data_home`, no such dataset, no usable label or features.
        ParameterError: `data_id` is not positive.
    """
    if data_id < 1:
        raise ParameterError(f"data_id must be at least 1, got {data_id}.")
    name = name or f"openml-{data_id}"
    bunch = _fetch(data_id, data_home, target, n_retries)
    if bunch.target is None or np.ndim(bunch.target) != 1:
        raise DatasetError(f"{name}: it has no single default label column; name one with target=.")
    try:
        X, _ = encode_columns(bunch.data)
        y = encode_labels(bunch.target)
    except DatasetError as error:
        raise DatasetError(f"{name}: {error}") from error
    title = str(bunch.details["name"])
    source = f"{bunch.url} ({title}, version {bunch.details['version']})"
    return Dataset.from_arrays(name, X, y, family=family or title.lower(), source=source)


def _fetch(data_id: int, data_home: str | Path | None, target: str, n_retries: int) -> Any:
    from sklearn.datasets import fetch_openml

    try:
        # Not parser="pandas": with pandas 3.1 it fails on nominal columns that look like numbers or booleans, and
        # deletes the downloaded file then (https://github.com/scikit-learn/scikit-learn/issues/34892).
        return fetch_openml(
            data_id=data_id,
            data_home=data_home,
            target_column=target,
            as_frame=True,
            n_retries=n_retries,
            parser="liac-arff",
        )
    except (OSError, HTTPException) as error:
        where = str(data_home) if data_home is not None else "scikit-learn's data folder"
        raise DatasetError(
            f"OpenML dataset {data_id} is not in {where} and cannot be downloaded ({error}); check the network, or "
            "pass data_home= with a folder that it was downloaded to before."
        ) from error
    except (ValueError, KeyError) as error:
        raise DatasetError(f"OpenML dataset {data_id} cannot be used: {error}") from error
