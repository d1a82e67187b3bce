"""Splits, seed sets, scaling and oracle noise by the campaign rules."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from al_gym.errors import DatasetError, ParameterError, TaskError
from al_gym.tasks.dataset import HOLDOUT_ONLY, POOL_ONLY, Dataset
from al_gym.tasks.scaling import Scaler, resolve_scaling
from al_gym.tasks.task import make_task


def toy(n: int = 200, classes: int = 4, seed: int = 0, modality: str = "tabular") -> Dataset:
    rng = np.random.default_rng(seed)
    return Dataset(
        "toy",
        rng.normal(size=(n, 3)).astype(np.float32),
        rng.permutation(np.arange(n) % classes),
        tuple("abcd"[:classes]),
        modality,
    )


def test_evaluation_split_follows_contract() -> None:
    task = make_task(toy(200), 3, pool_size=500, test_size=30)
    assert len(task.pool) == 120 and len(task.holdout) == 30
    assert len(np.intersect1d(task.pool, task.holdout)) == 0
    assert len(make_task(toy(200), 3, pool_size=50, test_size=1500).holdout) == 150


def test_environment_holdout_is_at_most_half_of_the_rest() -> None:
    task = make_task(toy(200), 3, pool_size=100, validation_size=500)
    assert len(task.pool) == 100 and len(task.holdout) == 50


def test_split_depends_on_features_and_seed_never_on_labels() -> None:
    data = toy()
    other = Dataset("toy", data.X, (data.y + 1) % 4, data.class_names)
    moved = Dataset("toy", data.X + 1, data.y, data.class_names)
    assert np.array_equal(make_task(data, 1, test_size=20).pool, make_task(other, 1, test_size=20).pool)
    assert not np.array_equal(make_task(data, 1, test_size=20).pool, make_task(moved, 1, test_size=20).pool)
    assert not np.array_equal(make_task(data, 1, test_size=20).pool, make_task(data, 2, test_size=20).pool)


def test_random_seed_set_does_not_depend_on_labels() -> None:
    data = toy()
    other = Dataset("toy", data.X, (data.y + 1) % 4, data.class_names)
    a, b = (make_task(d, 1, test_size=20, initial=7).seed_set for d in (data, other))
    assert np.array_equal(a, b) and len(a) == 7


def test_seed_set_has_one_item_of_each_class_of_the_pool() -> None:
    task = make_task(toy(), 5, test_size=20)
    assert sorted(task.oracle_labels[task.seed_set]) == [0, 1, 2, 3]


def test_scalers_against_scikit_learn_and_by_definition() -> None:
    rng = np.random.default_rng(0)
    pool, rest = rng.normal(3, 5, size=(80, 4)), rng.normal(size=(30, 4))
    pool[:, 2] = 0.1
    theirs = StandardScaler().fit(pool)
    ours = Scaler(pool, "standardize")
    assert np.allclose(ours(pool)[:, [0, 1, 3]], theirs.transform(pool)[:, [0, 1, 3]], atol=1e-5)
    assert (ours(rest)[:, 2] == 0).all()
    centred = Scaler(pool, "center")(pool)
    assert np.isclose((centred**2).mean(), 1, atol=1e-5) and np.allclose(centred.mean(axis=0), 0, atol=1e-5)
    assert np.allclose(Scaler(pool, "none")(rest), rest, atol=1e-5)
    assert resolve_scaling("auto", "tabular") == "standardize"
    assert resolve_scaling("auto", "text-embedding") == "center"


def test_label_noise_flips_that_share_to_other_classes() -> None:
    data = toy(4000)
    clean, noisy = (
        make_task(data, 0, test_size=20, pool_size=2000),
        make_task(data, 0, test_size=20, pool_size=2000, label_noise=0.3),
    )
    flipped = (clean.oracle_labels != noisy.oracle_labels).mean()
    assert 0.26 < flipped < 0.34
    assert set(noisy.oracle_labels) <= {0, 1, 2, 3}
    assert np.array_equal(data.y[noisy.holdout], clean.dataset.y[clean.holdout])


@pytest.mark.parametrize(
    "arguments",
    [
        {"pool_size": 1},
        {"initial": 0},
        {"initial": "all"},
        {"label_noise": 1.0},
        {"validation_size": 5},
        {"scaling": "minmax"},
    ],
)
def test_impossible_arguments_are_typed_errors(arguments: dict) -> None:
    with pytest.raises(ParameterError):
        make_task(toy(), 0, **({"test_size": 20} | arguments))


def test_too_small_datasets_and_bad_seed_sets() -> None:
    with pytest.raises(TaskError, match="toy"):
        make_task(toy(3, 2), 0, test_size=10)
    with pytest.raises(TaskError, match="initial"):
        make_task(toy(20), 0, test_size=5, initial=12)
    with pytest.raises(TaskError):
        make_task(toy(), 0, test_size=5).with_seed_set([1, 1])


def test_datasets_refuse_what_cannot_be_learned_from() -> None:
    X = np.zeros((4, 2), np.float32)
    with pytest.raises(DatasetError, match="one class"):
        Dataset.from_arrays("a", X, [1, 1, 1, 1])
    with pytest.raises(DatasetError, match="non-finite"):
        Dataset.from_arrays("a", np.array([[np.nan, 1]] * 4), [0, 1, 0, 1])
    with pytest.raises(DatasetError, match="4 items but y has 3"):
        Dataset.from_arrays("a", X, [0, 1, 0])
    with pytest.raises(ParameterError, match="modality"):
        Dataset.from_arrays("a", X, [0, 1, 0, 1], modality="sound")


def with_sides(n: int = 400) -> Dataset:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, 3)), np.arange(n) % 3
    return Dataset.from_arrays("sides", X, y, sides=np.array(["pool", "test", "any", "test"])[np.arange(n) % 4])


def test_sides_say_which_rows_may_be_pool_and_which_test() -> None:
    data = with_sides()
    for seed in range(20):
        for sizes in ({"test_size": 1000}, {"validation_size": 1000}):
            task = make_task(data, seed, pool_size=150, **sizes)
            assert len(task.pool) == 150 and not (data.sides[task.pool] == HOLDOUT_ONLY).any()
            assert not (data.sides[task.holdout] == POOL_ONLY).any()
            assert not np.intersect1d(task.pool, task.holdout).size
    task = make_task(data, 0, pool_size=150, test_size=1000)
    assert (data.sides == HOLDOUT_ONLY).sum() <= len(task.holdout) <= 300
    assert len(make_task(data, 0, pool_size=150, validation_size=1000).holdout) == len(task.holdout) // 2


def test_a_dataset_where_every_side_is_free_splits_as_one_without_sides() -> None:
    data = toy()
    free = Dataset(data.name, data.X, data.y, data.class_names, sides=np.zeros(data.n_items))
    a, b = (make_task(d, 4, pool_size=50, test_size=60) for d in (data, free))
    assert np.array_equal(a.pool, b.pool) and np.array_equal(a.holdout, b.holdout)


def test_groups_never_stand_on_both_sides() -> None:
    rng = np.random.default_rng(1)
    groups = rng.choice(list("abcdefg"), size=500, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])
    data = Dataset.from_arrays("sites", rng.normal(size=(500, 3)), np.arange(500) % 2, groups=groups)
    tested = set()
    for seed in range(30):
        task = make_task(data, seed, pool_size=100, test_size=1000)
        pool, test = set(groups[task.pool]), set(groups[task.holdout])
        assert test and not pool & test
        assert len(pool) >= 2, "a pool of 60 % of the rows takes two groups at least here"
        assert len(task.holdout) == np.isin(groups, list(test)).sum()
        tested |= test
    assert tested == set("abcdefg"), "every group is held out under some seed"


def test_split_by_groups_does_not_look_at_labels() -> None:
    rng = np.random.default_rng(2)
    X, groups = rng.normal(size=(200, 3)), np.arange(200) // 20
    a, b = (
        make_task(Dataset("g", X, y, ("n", "p"), groups=groups), 0, test_size=50)
        for y in (np.arange(200) % 2, rng.integers(2, size=200))
    )
    assert np.array_equal(a.pool, b.pool) and np.array_equal(a.holdout, b.holdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sides": np.zeros(9)}, r"sides must be \(items,\)"),
        ({"sides": np.full(200, 3)}, "sides must be 0"),
        ({"groups": np.zeros(200)}, "one group only"),
        ({"groups": np.arange(200), "sides": np.zeros(200)}, "not both"),
    ],
)
def test_impossible_sides_and_groups_are_refused(arguments: dict, message: str) -> None:
    data = toy()
    with pytest.raises(DatasetError, match=message):
        Dataset("toy", data.X, data.y, data.class_names, **arguments)


def test_sides_that_leave_no_holdout_are_a_task_error() -> None:
    data = toy()
    bound = Dataset("toy", data.X, data.y, data.class_names, sides=np.full(200, POOL_ONLY))
    with pytest.raises(TaskError, match="free rows from their side"):
        make_task(bound, 0, test_size=20)
    with pytest.raises(DatasetError, match="side 'validation' is not one of 'any', 'pool', 'test'"):
        Dataset.from_arrays("toy", data.X, data.y, sides=["validation"] * 200)
