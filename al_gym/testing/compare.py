"""Comparison of nested observations and of vector infos; floats within a tolerance, all else exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

SCALARS = (bool, int, float, complex, np.generic)


class InfoDifference(NamedTuple):
    """The first difference of two vector infos: what kind, in which row (None: no single row), and in words."""

    check: str
    row: int | None
    message: str


def difference(expected: Any, actual: Any, atol: float, path: str = "value") -> str | None:
    """The first difference of two nested values in words, or None if they are equal.

    Args:
        expected: array, scalar, string, None, or a dict, tuple or list of such.
        actual: the value to judge.
        atol: allowed error of a float, absolute below 1 and relative above.
        path: how to name the value in the message.
    """
    if isinstance(expected, Mapping):
        return _mapping_difference(expected, actual, atol, path)
    if isinstance(expected, (tuple, list)):
        if type(actual) is not type(expected) or len(actual) != len(expected):
            return f"{path}: expected a {type(expected).__name__} of {len(expected)}, got {actual!r}"
        pairs = zip(expected, actual, strict=True)
        return _first(difference(a, b, atol, f"{path}[{i}]") for i, (a, b) in enumerate(pairs))
    if isinstance(expected, (np.ndarray, *SCALARS)):
        return _array_difference(expected, actual, atol, path)
    return None if type(expected) is type(actual) and expected == actual else f"{path}: {_got(expected, actual)}"


def _mapping_difference(expected: Mapping[Any, Any], actual: Any, atol: float, path: str) -> str | None:
    if not isinstance(actual, Mapping):
        return f"{path}: expected a mapping, got {type(actual).__name__}"
    if set(expected) != set(actual):
        return f"{path}: expected the keys {sorted(expected)}, got {sorted(actual)}"
    return _first(difference(expected[key], actual[key], atol, f"{path}[{key!r}]") for key in expected)


def _array_difference(expected: Any, actual: Any, atol: float, path: str) -> str | None:
    if isinstance(expected, np.ndarray) and not isinstance(actual, np.ndarray):
        return f"{path}: expected an array, got {type(actual).__name__}"
    if not isinstance(actual, (np.ndarray, *SCALARS)):
        return f"{path}: {_got(expected, actual)}"
    a, b = np.asarray(expected), np.asarray(actual)
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{path}: expected dtype {a.dtype} and shape {a.shape}, got {b.dtype} and {b.shape}"
    if a.dtype == object:
        return _first(difference(a[i], b[i], atol, f"{path}{list(i)}") for i in np.ndindex(a.shape))
    inexact = np.issubdtype(a.dtype, np.inexact)
    wrong = ~np.isclose(b, a, rtol=atol, atol=atol, equal_nan=True) if inexact else a != b
    if not wrong.any():
        return None
    index = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    at = f"{path}{[int(i) for i in index]}" if index else path
    return f"{at}: {_got(a[index], b[index])}"


def _got(expected: Any, actual: Any) -> str:
    return f"expected {expected!r}, got {actual!r}"


def _first(messages: Iterator[str | None]) -> str | None:
    return next((message for message in messages if message is not None), None)


def layout(value: Any) -> Any:
    """Types, dtypes and shapes of a nested value, without its content."""
    if isinstance(value, Mapping):
        return {key: layout(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(layout(item) for item in value)
    if isinstance(value, np.ndarray):
        return f"array of {value.dtype} {value.shape}"
    return type(value).__name__


def info_row(infos: Mapping[str, Any], row: int) -> dict[str, Any]:
    """The info of one environment taken out of a vector info, as the single environment gave it."""
    out: dict[str, Any] = {}
    for key in info_keys(infos):
        if infos[f"_{key}"][row]:
            value = infos[key]
            value = info_row(value, row) if isinstance(value, Mapping) else value[row]
            # np.bool_ is no np.number: VectorEnv._add_info would store it as an object.
            out[key] = bool(value) if isinstance(value, np.bool_) else value
    return out


def info_keys(infos: Mapping[str, Any]) -> list[str]:
    """The keys of a vector info that hold values: every key `k` that has a mask `_k`, `final_*` first."""
    return sorted((key for key in infos if f"_{key}" in infos), key=lambda key: (not key.startswith("final_"), key))


def info_difference(
    expected: Mapping[str, Any], actual: Mapping[str, Any], num_envs: int, atol: float, path: str = "infos"
) -> InfoDifference | None:
    """The first difference of two vector infos: keys, `_key` masks, dtypes, then values of the rows that have them.

    Rows whose mask is False hold no information and are not compared.
    """
    for key in info_keys(expected):
        if key not in actual:
            return InfoDifference("info_keys", None, f"{path} lacks {key!r}; it has {sorted(actual)}")
        found = _entry_difference(key, expected, actual, num_envs, atol, path)
        if found is not None:
            return found
    unexpected = sorted(set(actual) - set(expected))
    if unexpected:
        return InfoDifference("info_keys", None, f"{path} has {unexpected}, which the single environments do not give")
    return None


def _entry_difference(
    key: str, expected: Mapping[str, Any], actual: Mapping[str, Any], num_envs: int, atol: float, path: str
) -> InfoDifference | None:
    name = f"{path}[{key!r}]"
    mask, received = expected[f"_{key}"], actual.get(f"_{key}")
    if not isinstance(received, np.ndarray) or received.dtype != np.bool_ or received.shape != (num_envs,):
        return InfoDifference("info_masks", None, f"{path}['_{key}'] must be ({num_envs},) bool, got {received!r}")
    if (mask != received).any():
        row = int(np.argmax(mask != received))
        return InfoDifference("info_masks", row, f"{path}['_{key}']: expected {mask.tolist()}, got {received.tolist()}")
    values, got = expected[key], actual[key]
    if isinstance(values, Mapping):
        if not isinstance(got, Mapping):
            return InfoDifference("info_keys", None, f"{name}: expected a dict, got {type(got).__name__}")
        return info_difference(values, got, num_envs, atol, name)
    if layout(values) != layout(got):
        return InfoDifference("info_dtypes", None, f"{name}: expected {layout(values)}, got {layout(got)}")
    for present in np.flatnonzero(mask):
        message = difference(values[present], got[present], atol, f"{name}[{present}]")
        if message is not None:
            return InfoDifference("info_values", int(present), message)
    return None
