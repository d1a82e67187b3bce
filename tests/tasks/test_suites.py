import pickle
from pathlib import Path

import numpy as np
import pytest

from al_gym.errors import ParameterError, UnknownNameError
from al_gym.tasks import SUITES, Dataset, TaskDistribution, check_no_overlap, list_suites, load_bundled, load_tasks


@pytest.mark.parametrize("name", SUITES.names())
def test_every_suite_is_described_shared_picklable_and_split_by_family(name: str) -> None:
    tasks = load_tasks(name)
    assert load_tasks(name) is tasks
    assert len(list_suites()[name]) > 20
    dataset = tasks.sample(np.random.default_rng(0))
    copy = pickle.loads(pickle.dumps(tasks)).get(dataset.name)
    assert copy.content_hash == dataset.content_hash
    assert copy.family == dataset.family == tasks.families[dataset.name]
    parts = {part: tasks.part(part) for part in ("train", "valid", "test")}
    assert sorted(n for part in parts.values() for n in part.names) == sorted(tasks.names)
    families = [set(part.families.values()) for part in parts.values()]
    assert sum(map(len, families)) == len(set.union(*families))


def test_default_suite_is_split_by_index() -> None:
    assert len(load_tasks("default")) == 1024
    assert load_tasks("default", "train").names[-1] == "synthetic-000895"
    assert load_tasks("default", "valid").names[0] == "synthetic-000896"
    assert load_tasks("default", "test").names[0] == "synthetic-000960"
    assert len(load_tasks("default", "test")) == 64


def test_no_rows_are_shared_between_parts_and_judges() -> None:
    small = load_tasks("synthetic-small")
    parts = {part: small.part(part) for part in ("train", "valid", "test")}
    check_no_overlap({**parts, "judges": load_tasks("bundled")})


def test_everything_that_names_datasets_is_accepted(tmp_path: Path) -> None:
    iris, wine = load_bundled("iris"), load_bundled("wine")
    assert load_tasks(iris).names == ("iris",)
    assert load_tasks([iris, wine]).names == ("iris", "wine")
    tasks = TaskDistribution([wine])
    assert load_tasks(tasks) is tasks
    np.savez(tmp_path / "mine.npz", X=iris.X, y=iris.y)
    assert load_tasks(tmp_path).names == load_tasks(str(tmp_path)).names == ("mine",)


def test_bad_specs_say_what_to_give() -> None:
    with pytest.raises(UnknownNameError, match="'default'"):
        load_tasks("defualt")
    with pytest.raises(UnknownNameError, match="'train'"):
        load_tasks("default", "trian")
    with pytest.raises(ParameterError, match="split 'train' of 'bundled'"):
        load_tasks("bundled", "train")
    for bad in (3, [], [1, 2], None):
        with pytest.raises(ParameterError, match="suite's name"):
            load_tasks(bad)  # type: ignore[arg-type]


def test_a_suite_is_one_registered_function() -> None:
    @SUITES.register("only-for-this-test")
    def suite() -> TaskDistribution:
        """One dataset of two rows a class, for this test."""
        return TaskDistribution([Dataset("four", np.arange(8.0).reshape(4, 2), np.arange(4) % 2, ("a", "b"))])

    try:
        assert load_tasks("only-for-this-test").names == ("four",)
        assert list_suites()["only-for-this-test"] == "One dataset of two rows a class, for this test."
    finally:
        del SUITES._factories["only-for-this-test"]
