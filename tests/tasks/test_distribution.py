import pickle
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al_gym.errors import DatasetError, ParameterError, UnknownNameError
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.distribution import Entry, TaskDistribution

LOADS: Counter[str] = Counter()


def make(name: str, family: str = "", items: int = 10) -> Dataset:
    LOADS[name] += 1
    X = np.full((items, 2), len(name), dtype=np.float32)
    return Dataset(name, X, np.arange(items) % 2, ("a", "b"), family=family)


def lazy(name: str, family: str | None = None, items: int = 10) -> Entry:
    family = family or name
    return Entry(name, family, partial(make, name, family, items))


def test_datasets_and_entries_are_listed_in_order_and_loaded_by_name() -> None:
    tasks = TaskDistribution([make("one"), lazy("two", "f"), lazy("three", "f")])
    assert tasks.names == ("one", "two", "three")
    assert tasks.families == {"one": "one", "two": "f", "three": "f"}
    assert len(tasks) == 3
    assert "two" in tasks
    assert tasks.get("two").family == "f"
    assert [dataset.name for dataset in tasks] == ["one", "two", "three"]


def test_loading_is_lazy_and_kept() -> None:
    LOADS.clear()
    tasks = TaskDistribution([lazy("a"), lazy("b")])
    assert not LOADS
    assert tasks.get("a") is tasks.get("a")
    assert LOADS == {"a": 1}


def test_parts_and_filters_share_the_store() -> None:
    LOADS.clear()
    tasks = TaskDistribution([lazy(name) for name in "abcdefgh"])
    for part in tasks.split().values():
        list(part)
    list(tasks.filter(names=["a", "b"]))
    list(tasks)
    assert set(LOADS.values()) == {1}


def test_store_drops_the_least_recently_used() -> None:
    LOADS.clear()
    one = 10 * 2 * 4 + 10 * 8
    tasks = TaskDistribution([lazy(name) for name in "abc"], cache_bytes=2 * one)
    for name in "abac":  # c pushes b out, a was used later
        tasks.get(name)
    tasks.get("a")
    assert LOADS == {"a": 1, "b": 1, "c": 1}
    tasks.get("b")
    assert LOADS["b"] == 2


def test_a_dataset_larger_than_the_store_can_still_be_used() -> None:
    LOADS.clear()
    tasks = TaskDistribution([lazy("big", items=1000)], cache_bytes=1)
    assert tasks.get("big") is tasks.get("big")
    assert LOADS["big"] == 1


def test_errors_name_the_value_and_the_remedy() -> None:
    tasks = TaskDistribution([lazy("digits"), lazy("wine")])
    with pytest.raises(UnknownNameError, match="'digits'"):
        tasks.get("digit")
    with pytest.raises(UnknownNameError, match="wine"):
        tasks.filter(names=["wines"])
    with pytest.raises(ParameterError, match="'digits'"):
        TaskDistribution([lazy("digits"), lazy("digits")])
    with pytest.raises(ParameterError, match="empty"):
        TaskDistribution([]).sample(np.random.default_rng(0))
    with pytest.raises(DatasetError, match="returned 'b'"):
        TaskDistribution([Entry("a", "a", partial(make, "b"))]).get("a")
    with pytest.raises(UnknownNameError, match="'train'"):
        tasks.part("trian")
    with pytest.raises(ParameterError, match="sum to 1"):
        tasks.split((0.5, 0.2, 0.2))


def test_sample_is_uniform_and_depends_on_the_generator_alone() -> None:
    tasks = TaskDistribution([lazy(name) for name in "abcd"])
    first = [tasks.sample(rng).name for rng in [np.random.default_rng(3)] for _ in range(4000)]
    again = [tasks.sample(rng).name for rng in [np.random.default_rng(3)] for _ in range(4000)]
    assert first == again
    assert all(abs(count - 1000) < 5 * np.sqrt(4000 * 0.25 * 0.75) for count in Counter(first).values())


def test_filter_by_predicate_and_by_names() -> None:
    tasks = TaskDistribution([lazy("a", items=10), lazy("b", items=20), lazy("c", items=30)])
    assert tasks.filter(lambda d: d.n_items > 10).names == ("b", "c")
    assert tasks.filter(lambda d: d.n_items > 10, names=["c", "a"]).names == ("c",)


@settings(max_examples=50, deadline=None)
@given(
    families=st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=40),
    extra=st.lists(st.text(min_size=1, max_size=4), max_size=10),
    seed=st.integers(0, 2**32),
)
def test_split_never_divides_a_family_nor_moves_one(families: list[str], extra: list[str], seed: int) -> None:
    def sides(names: list[str]) -> dict[str, str]:
        tasks = TaskDistribution([lazy(f"{i}", family) for i, family in enumerate(names)])
        parts = tasks.split(seed=seed)
        assert sorted(name for part in parts.values() for name in part.names) == sorted(tasks.names)
        found: dict[str, set[str]] = {}
        for side, part in parts.items():
            for family in part.families.values():
                found.setdefault(family, set()).add(side)
        assert all(len(side) == 1 for side in found.values())
        return {family: side.pop() for family, side in found.items()}

    before, after = sides(families), sides(families + extra)
    assert before == {family: after[family] for family in before}


def test_split_meets_its_shares_and_depends_on_the_seed() -> None:
    tasks = TaskDistribution([lazy(f"d{i}") for i in range(2000)])
    parts = tasks.split((0.6, 0.3, 0.1))
    assert [len(parts[p]) / 2000 for p in ("train", "valid", "test")] == pytest.approx([0.6, 0.3, 0.1], abs=0.04)
    assert tasks.split((0.6, 0.3, 0.1), seed=1)["train"].names != parts["train"].names
    assert len(tasks.split((1.0, 0.0, 0.0))["train"]) == 2000


def test_fixed_splits_are_used_and_checked() -> None:
    entries = [lazy("a", "f"), lazy("b", "f"), lazy("c")]
    tasks = TaskDistribution(entries, splits={"train": ["a", "b"], "test": ["c"]})
    assert tasks.part("train").names == ("a", "b")
    assert tasks.part("test").names == ("c",)
    with pytest.raises(UnknownNameError, match="valid"):
        tasks.part("valid")
    with pytest.raises(ParameterError, match="'f'"):
        TaskDistribution(entries, splits={"train": ["a"], "test": ["b"]})
    with pytest.raises(UnknownNameError, match="'zzz'"):
        TaskDistribution(entries, splits={"train": ["zzz"]})


def test_fixed_splits_survive_filters_and_sums() -> None:
    fixed = TaskDistribution([lazy("a"), lazy("b"), lazy("c")], splits={"train": ["a", "b"], "test": ["c"]})
    kept = fixed.filter(names=["b", "c"])
    assert (kept.part("train").names, kept.part("test").names) == (("b",), ("c",))
    loose = TaskDistribution([lazy(f"x{i}") for i in range(20)])
    both = fixed + loose
    for part in ("train", "valid", "test"):
        own = fixed.part(part).names if part != "valid" else ()
        assert both.part(part).names == own + loose.part(part).names


def test_pickle_keeps_everything_but_the_store() -> None:
    LOADS.clear()
    tasks = TaskDistribution([lazy("a"), make("b")], splits={"train": ["a"], "test": ["b"]}, cache_bytes=12345)
    tasks.get("a")
    copy = pickle.loads(pickle.dumps(tasks))
    assert copy.names == tasks.names
    assert copy.part("test").names == ("b",)
    assert copy.hashes() == tasks.hashes()
    assert LOADS["a"] == 2


def test_sum_joins_two_and_refuses_equal_names() -> None:
    left, right = TaskDistribution([lazy("a")]), TaskDistribution([lazy("b")])
    assert (left + right).names == ("a", "b")
    with pytest.raises(ParameterError, match="'a'"):
        left + left


def test_hashes_follow_the_features_not_the_labels() -> None:
    X = np.arange(8.0).reshape(4, 2)
    tasks = TaskDistribution(
        [
            Dataset("a", X, np.array([0, 1, 0, 1]), ("x", "y")),
            Dataset("b", X, np.array([1, 1, 0, 0]), ("x", "y")),
            Dataset("c", X + 1, np.array([0, 1, 0, 1]), ("x", "y")),
        ]
    )
    hashes = tasks.hashes()
    assert hashes["a"] == hashes["b"] != hashes["c"]
