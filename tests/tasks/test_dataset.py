import numpy as np
import pytest

from al_gym.errors import DatasetError, ParameterError
from al_gym.tasks.dataset import Dataset

X = np.arange(12, dtype=np.float32).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 0, 1])


def with_value(value: float, dtype: type) -> np.ndarray:
    changed = X.astype(dtype)
    changed[3, 1] = value
    return changed


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (X[:5], Y, "5 items but y has 6"),
        (X[:, 0], Y, "must be"),
        (X, Y * 0, "one class only"),
        (X, Y * 3, "must lie in 0..1"),
        (X, Y - 1, "must lie in 0..1"),
        (X[:, :0], Y, "no feature"),
        (with_value(np.nan, np.float32), Y, "non-finite"),
        (with_value(-np.inf, np.float64), Y, "non-finite"),
        (with_value(np.inf, np.float16), Y, "non-finite"),
        (with_value(-1e300, np.float64), Y, "pass float32"),
    ],
)
def test_unusable_arrays_are_refused(features: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        Dataset("bad", features, labels, ("a", "b"))


def test_non_finite_values_are_found_in_every_chunk() -> None:
    tall = np.zeros((70_000, 1), dtype=np.float32)
    tall[69_999] = np.nan
    with pytest.raises(DatasetError, match="non-finite"):
        Dataset("tall", tall, np.arange(70_000) % 2, ("a", "b"))


def test_unknown_modality_is_refused() -> None:
    with pytest.raises(ParameterError, match="audio"):
        Dataset("a", X, Y, ("a", "b"), modality="audio")


def test_from_arrays_sorts_the_classes() -> None:
    dataset = Dataset.from_arrays("a", X, ["dog", "cat", "dog", "cat", "emu", "emu"])
    assert dataset.class_names == ("cat", "dog", "emu")
    assert dataset.y.tolist() == [1, 0, 1, 0, 2, 2]
    assert Dataset.from_arrays("a", X, [10, 2, 10, 2, 2, 2]).class_names == ("2", "10")
    assert Dataset.from_arrays("a", X.astype(np.int64), Y).X.dtype == np.float32
    with pytest.raises(DatasetError, match="dtype"):
        Dataset.from_arrays("a", X.astype(str), Y)
    with pytest.raises(DatasetError, match="NaN"):
        Dataset.from_arrays("a", X, [0.0, 1.0, np.nan, 0.0, 1.0, 1.0])


def test_content_hash_ignores_labels_and_storage_but_not_shape() -> None:
    flipped = Dataset("a", X, 1 - Y, ("a", "b"))
    assert flipped.content_hash == Dataset("b", X.astype(np.float64), Y, ("a", "b")).content_hash
    wide = Dataset("c", X.reshape(3, 4), Y[:3], ("a", "b"))
    assert flipped.content_hash != wide.content_hash
