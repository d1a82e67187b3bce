import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al_gym.errors import DatasetError
from al_gym.tasks.encode import TEXT_DIMENSIONS, encode_columns, encode_labels, encode_text


def encode(**columns: list) -> dict[str, list[float]]:
    X, names = encode_columns(pd.DataFrame(columns))
    assert X.dtype == np.float32
    return {name: X[:, k].tolist() for k, name in enumerate(names)}


def test_numbers_stay_as_they_are() -> None:
    assert encode(a=[1.5, 2.0, -3.0], b=[3, 3, 7]) == {"a": [1.5, 2.0, -3.0], "b": [3, 3, 7]}


def test_strings_and_booleans_become_one_hot() -> None:
    assert encode(c=["red", "blue", "red"], d=[True, False, False]) == {
        "c=blue": [0, 1, 0],
        "c=red": [1, 0, 1],
        "d=False": [0, 1, 1],
        "d=True": [1, 0, 0],
    }
    assert encode(c=["red", None, "red"]) == {"c=missing": [0, 1, 0], "c=red": [1, 0, 1]}
    assert list(encode(c=[True, None, False, True])) == ["c=False", "c=True", "c=missing"]


def test_categories_become_one_hot_whatever_their_values() -> None:
    frame = pd.DataFrame({"a": pd.Categorical([1, 2, None, 1]), "b": pd.Categorical([True, False, True, True])})
    X, names = encode_columns(frame)
    assert names == ["a=1", "a=2", "a=missing", "b=False", "b=True"]
    np.testing.assert_array_equal(X[:, 2], [0, 0, 1, 0])


def test_missing_numbers_are_filled_and_flagged_above_two_percent() -> None:
    few = [float(v) for v in np.random.default_rng(0).normal(size=100)]
    few[10] = few[50] = np.nan
    encoded = encode(a=few)
    assert list(encoded) == ["a"]
    assert encoded["a"][10] == pytest.approx(np.nanmedian(few))
    few[70] = np.nan
    encoded = encode(a=few)
    assert list(encoded) == ["a", "a=missing"]
    assert np.flatnonzero(encoded["a=missing"]).tolist() == [10, 50, 70]
    nullable = pd.DataFrame({"a": pd.array([1, None, 5, 5], dtype="Int64")})
    assert encode_columns(nullable)[0].tolist() == [[1, 0], [5, 1], [5, 0], [5, 0]]


def test_constant_columns_are_dropped() -> None:
    encoded = encode(a=[1.0, 1.0, 1.0], b=["x", "x", "x"], c=[None, None, None], d=[1.0, 2.0, 1.0])
    assert list(encoded) == ["d"]
    with pytest.raises(DatasetError, match="no feature column is left"):
        encode(a=[1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("user", ["u1", "u2", "u3", "u4"]),
        ("n", [3, 1, 2, 4]),  # no gap
        ("stamp", [100, 220, 290, 441]),  # rises
        ("CustomerID", [77, 12, 90, 31]),
        ("Unnamed: 0", [7, 1, 9, 3]),
    ],
)
def test_identifiers_are_refused_with_a_hint(name: str, values: list) -> None:
    with pytest.raises(DatasetError, match=rf"column '{name}' .*one value per row.*drop it"):
        encode(**{name: values, "x": [0.5, 1.5, 0.5, 2.5]})


def test_measurements_that_happen_to_differ_are_kept() -> None:
    assert list(encode(acid=[70, 12, 91, 30], weight=[0.5, 1.5, 1.0, 2.5])) == ["acid", "weight"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, np.inf, 2.0], "non-finite"),
        ([1.0, 1e300, 2.0], "pass float32"),
        ([datetime.datetime(2020, 1, day) for day in (1, 2, 2)], "datetime"),
        ([[1, 2], [3], [3]], "nested"),
    ],
)
def test_values_that_are_no_features_are_refused(values: list, message: str) -> None:
    with pytest.raises(DatasetError, match=rf"'when'.*{message}|{message}.*'when'"):
        encode(when=values)


@settings(max_examples=40, deadline=None)
@given(
    numbers=st.lists(st.none() | st.floats(-1e6, 1e6, width=32), min_size=6, max_size=30),
    levels=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=30, max_size=30),
)
def test_encoding_is_finite_and_keeps_rows(numbers: list, levels: list) -> None:
    n = len(numbers)
    frame = pd.DataFrame(
        {"x": pd.Series(numbers, dtype=float) + 0.25, "c": levels[:n], "k": [0.5, 1.5] * (n // 2) + [0.5] * (n % 2)}
    )
    X, names = encode_columns(frame)
    assert X.shape == (n, len(names))
    assert np.isfinite(X).all()
    assert (X.min(axis=0) < X.max(axis=0)).all()
    for k, name in enumerate(names):
        if name.startswith("c="):
            level = None if name == "c=missing" else name[2:]
            assert X[:, k].tolist() == [value == level for value in levels[:n]]


def test_labels_are_integers_or_strings() -> None:
    assert encode_labels(pd.Series([1.0, 0.0, 2.0])).tolist() == [1, 0, 2]
    assert encode_labels(pd.Series([True, False])).tolist() == ["True", "False"]
    assert encode_labels(pd.Series(["b", "a"], dtype="category")).tolist() == ["b", "a"]
    with pytest.raises(DatasetError, match="1 of 3 rows have no label"):
        encode_labels(pd.Series(["a", None, "b"], name="y"))
    with pytest.raises(DatasetError, match="regression"):
        encode_labels(pd.Series([0.5, 1.0, 2.0]))


def texts(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    words = [f"word{k}" for k in range(300)]
    return [" ".join(rng.choice(words, size=12)) for _ in range(n)]


def test_texts_become_unit_vectors_deterministically() -> None:
    vectors = encode_text([*texts(200), ""])
    assert vectors.shape == (201, TEXT_DIMENSIONS)
    np.testing.assert_allclose(np.linalg.norm(vectors[:200], axis=1), 1.0, atol=1e-3)
    assert not vectors[200].any()
    np.testing.assert_array_equal(vectors, encode_text([*texts(200), ""]))


def test_texts_with_shared_words_are_closer() -> None:
    vectors = encode_text(["a good film", "good film indeed", "terrible cold soup", "cold soup again"])
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > similarity[0, 2]
    assert similarity[2, 3] > similarity[1, 3]
    with pytest.raises(DatasetError, match="words"):
        encode_text(["", "  "])
