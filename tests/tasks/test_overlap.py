import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from al_gym.errors import DatasetError, ParameterError
from al_gym.tasks.bundled import load_bundled
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.overlap import check_no_overlap, find_overlaps, shared_rows


def dataset(name: str, X: np.ndarray, family: str = "") -> Dataset:
    return Dataset(name, X, np.arange(len(X)) % 2, ("a", "b"), family=family)


def shared_rows_naive(a: np.ndarray, b: np.ndarray) -> int:
    """Rows of a in b, column by column, without the constant columns of each."""
    kept = [x[:, (x != x[0]).any(axis=0)].astype(np.float32) for x in (a, b)]
    if kept[0].shape[1] != kept[1].shape[1]:
        return 0
    rows = {tuple(row) for row in kept[1].tolist()}
    return sum(tuple(row) in rows for row in kept[0].tolist())


def superset_of_digits() -> Dataset:
    """What optdigits is to scikit-learn's digits: more rows, shuffled, other constant columns, another dtype."""
    rng = np.random.default_rng(0)
    X = load_bundled("digits").X
    extra = rng.integers(0, 17, size=(800, X.shape[1]))
    X = np.concatenate([X, extra]).astype(np.float32)  # no column is constant here, three of digits are
    X = np.insert(X, [0, 10, 30], 7.0, axis=1)
    return dataset("superset", X[rng.permutation(len(X))])


def test_digits_inside_a_shuffled_superset_are_found() -> None:
    digits, superset = load_bundled("digits"), superset_of_digits()
    assert shared_rows(digits, superset) >= 0.99 * digits.n_items
    assert shared_rows(superset, digits) <= digits.n_items
    (overlap,) = find_overlaps([digits, superset, load_bundled("wine"), load_bundled("breast_cancer")])
    assert {overlap.first, overlap.second} == {"digits", "superset"}
    assert overlap.share > 0.99


def test_breast_cancer_with_other_rows_order_and_dtype_is_found() -> None:
    cancer = load_bundled("breast_cancer")
    rng = np.random.default_rng(1)
    part = cancer.X[rng.permutation(cancer.n_items)[:200]].astype(np.float32)
    assert shared_rows(dataset("part", part), cancer) == 200
    assert shared_rows(cancer, dataset("part", part)) == 200


def test_small_tables_need_their_columns_in_order() -> None:
    iris = load_bundled("iris")
    constant = np.insert(iris.X, 2, 5.0, axis=1)
    assert shared_rows(dataset("copy", constant), iris) == 150
    assert shared_rows(dataset("mirror", iris.X[:, ::-1]), iris) == 0


def test_one_hot_tables_do_not_overlap_by_chance() -> None:
    rng = np.random.default_rng(2)
    a, b = (np.eye(5)[rng.integers(5, size=(500, k))].reshape(500, -1) for k in (8, 9))
    assert shared_rows(dataset("a", a), dataset("b", b)) == 0


@settings(max_examples=60, deadline=None)
@given(
    a=hnp.arrays(np.int8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6), elements=st.integers(0, 2)),
    b=hnp.arrays(np.int8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6), elements=st.integers(0, 2)),
)
def test_aligned_comparison_equals_the_naive_one(a: np.ndarray, b: np.ndarray) -> None:
    found = shared_rows(dataset("a", a.astype(np.float64)), dataset("b", b.astype(np.float32)))
    assert found == shared_rows_naive(a, b)


def test_one_row_in_many_copies_is_no_overlap() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(100, 12)), rng.normal(size=(100, 12))
    a[:40] = b[:40] = 0.0
    assert shared_rows(dataset("a", a), dataset("b", b)) == 40
    assert find_overlaps([dataset("a", a), dataset("b", b)]) == []


def test_split_with_an_overlap_is_refused() -> None:
    digits, superset, wine = load_bundled("digits"), superset_of_digits(), load_bundled("wine")
    with pytest.raises(
        DatasetError, match=r"'digits' \(train\) and 'superset' \(test\) share 179\d different rows, 100%"
    ):
        check_no_overlap({"train": TaskDistribution([digits, wine]), "test": TaskDistribution([superset])})
    check_no_overlap({"train": TaskDistribution([digits, superset]), "test": TaskDistribution([wine])})


def test_split_with_one_family_or_name_on_two_sides_is_refused() -> None:
    rng = np.random.default_rng(3)
    a, b, c = (dataset(name, rng.normal(size=(20, 5)), family="f") for name in ("a", "b", "c"))
    with pytest.raises(DatasetError, match="family 'f'"):
        check_no_overlap({"train": TaskDistribution([a, c]), "valid": TaskDistribution([b])})
    other = dataset("a", rng.normal(size=(20, 5)), family="g")
    with pytest.raises(DatasetError, match="dataset 'a'"):
        check_no_overlap({"train": TaskDistribution([a]), "valid": TaskDistribution([other])})


def test_minimum_share_is_checked() -> None:
    with pytest.raises(ParameterError, match="min_share"):
        find_overlaps([], min_share=0.0)
