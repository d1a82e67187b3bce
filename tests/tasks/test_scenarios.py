"""The suites of application scenarios have the properties that their descriptions promise, measured."""

import gymnasium as gym
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances

from al_gym.evaluation.api import evaluate
from al_gym.evaluation.review import recall_at
from al_gym.tasks import Dataset, list_suites, load_tasks
from al_gym.tasks.dataset import HOLDOUT_ONLY, POOL_ONLY
from al_gym.tasks.synthetic.scenario import COUNTS
from al_gym.tasks.task import make_task
from al_gym.testing import CHECKS, check_vector_env

SCENARIOS = ("medical-imaging", "text-sentiment", "defect-inspection", "driving-perception")


def scaled(data: Dataset) -> np.ndarray:
    X = data.X.astype(np.float64) - data.X.mean(axis=0)
    return X / np.sqrt((X**2).mean())


def halves(n: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(0).permutation(n)
    return order[: n // 2], order[n // 2 :]


def held_out_score(X: np.ndarray, y: np.ndarray) -> float:
    fitted, tested = halves(len(X))
    return float(LogisticRegression(max_iter=500).fit(X[fitted], y[fitted]).score(X[tested], y[tested]))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_a_listed_suite_of_valid_different_datasets(name: str) -> None:
    assert name in list_suites()
    tasks = load_tasks(name)
    assert [len(tasks.part(part)) for part in ("train", "valid", "test")] == list(COUNTS)
    assert len(set(tasks.hashes().values())) == len(tasks)
    for data in tasks:
        assert len(np.unique(data.y)) == data.n_classes
        assert data.modality.endswith("embedding") and "synthetic" in data.source


@pytest.mark.parametrize("name", SCENARIOS)
def test_environments_and_evaluations_take_a_scenario_by_name(name: str) -> None:
    env = gym.make("al_gym/Strategy-v0", tasks=name, budget=10)
    _, info = env.reset(seed=0)
    assert info["task"] in load_tasks(name, "train").names
    _, _, terminated, _, _ = [env.step(1) for _ in range(2)][-1]
    assert terminated
    first = load_tasks(name, "test").names[:2]
    result = evaluate(["margin"], tasks=name, datasets=first, seeds=1, rounds=2, jobs=1)
    assert set(result.results["dataset"]) == set(first)
    assert not result.summary["skipped"]


def test_medical_images_have_few_positives_and_sites_that_differ() -> None:
    tasks = load_tasks("medical-imaging")
    for data in tasks:
        assert 0.02 <= data.y.mean() <= 0.13
        sizes, positives = np.bincount(data.groups), np.bincount(data.groups, weights=data.y)
        assert 4 <= len(sizes) <= 8 and positives.min() >= 4 and (sizes - positives).min() >= 4
    found, chance = [], []
    for data in list(tasks)[:6]:
        found.append(held_out_score(scaled(data), data.groups))
        chance.append(np.bincount(data.groups).max() / data.n_items)
    assert np.mean(found) > np.mean(chance) + 0.4, "the scanner can be told from the image"


def test_medical_tasks_are_tested_on_sites_that_the_pool_lacks() -> None:
    for data in list(load_tasks("medical-imaging"))[:8]:
        for seed in range(5):
            task = make_task(data, seed, test_size=1500)
            assert len(task.pool) == 500
            assert not set(data.groups[task.pool]) & set(data.groups[task.holdout])
            assert data.y[task.holdout].any()


def test_opinions_are_a_small_part_of_the_variance_and_yet_learnable() -> None:
    tasks = load_tasks("text-sentiment")
    assert {data.n_classes for data in tasks} == {2, 3, 5}
    quieter, opinions, above = [], [], []
    for data in tasks:
        np.testing.assert_allclose(np.linalg.norm(data.X, axis=1), 1, atol=1e-3)
        X = scaled(data)
        shares = np.bincount(data.y) / data.n_items
        means = np.stack([X[data.y == c].mean(axis=0) for c in range(data.n_classes)])
        opinions.append((shares @ means**2).sum() / (X**2).mean(axis=0).sum())
        squares = np.linalg.svd(X, compute_uv=False) ** 2
        quieter.append(opinions[-1] < squares[0] / squares.sum())
        if data.n_classes == 2:
            above.append(held_out_score(X, data.y) - shares.max())
    assert np.mean(quieter) > 0.9, "the loudest direction is not the opinion"
    assert np.median(opinions) < 0.06
    assert np.mean(above) > 0.2


def test_defects_are_rare_and_accuracy_does_not_show_them() -> None:
    tasks = load_tasks("defect-inspection")
    recalls = []
    for data in tasks:
        assert 0.009 <= data.y.mean() <= 0.051 and data.y.sum() >= 25
    for data in list(tasks)[:8]:
        X, (fitted, tested) = scaled(data), halves(data.n_items)
        model = LogisticRegression(max_iter=500).fit(X[fitted], data.y[fitted])
        recalls.append(recall_at(model.predict_proba(X[tested])[:, 1], data.y[tested] == 1, 0.1))
    assert 0.5 < np.mean(recalls) < 0.98, "a review of a tenth finds most of them, and not all"


def test_defects_of_one_dataset_come_in_kinds() -> None:
    """A model that saw the first defects along one direction ranks others low: severities and kinds vary."""
    data = load_tasks("defect-inspection").get("defect-inspection-000003")
    defects = scaled(data)[data.y == 1]
    spread = np.linalg.svd(defects - defects.mean(axis=0), compute_uv=False) ** 2
    good = scaled(data)[data.y == 0]
    usual = np.linalg.svd(good - good.mean(axis=0), compute_uv=False) ** 2
    assert (spread / len(defects))[:3].sum() > 1.2 * (usual / len(good))[:3].sum()


def test_drives_are_near_duplicates() -> None:
    ratios = {}
    for name in ("driving-perception", "default"):
        nearest = []
        for data in map(load_tasks(name).get, load_tasks(name).names[:6]):
            distances = pairwise_distances(scaled(data)[:1500])
            typical = np.median(distances)
            np.fill_diagonal(distances, np.inf)
            nearest.append(np.median(distances.min(axis=1)) / typical)
        ratios[name] = nearest
    assert max(ratios["driving-perception"]) < 0.15
    assert max(ratios["driving-perception"]) < np.median(ratios["default"])


def test_drives_have_a_long_tail() -> None:
    for data in load_tasks("driving-perception"):
        sizes = np.bincount(data.y)
        assert 6 <= len(sizes) <= 10 and data.n_items > 4000
        assert sizes.max() / sizes.min() >= 15
        for side in (POOL_ONLY, HOLDOUT_ONLY):
            assert len(np.unique(data.y[data.sides == side])) == len(sizes), "every class is in both domains"


def test_drives_are_tested_in_another_domain() -> None:
    gaps = []
    for data in list(load_tasks("driving-perception"))[:6]:
        task = make_task(data, 0, pool_size=4000, test_size=5000)
        assert (data.sides[task.pool] == POOL_ONLY).all() and (data.sides[task.holdout] == HOLDOUT_ONLY).all()
        assert len(task.pool) > 2500 and len(task.holdout) > 1000
        X, other = scaled(data), data.sides == HOLDOUT_ONLY
        assert held_out_score(X, other) > 0.95, "the domain can be told from the crop"
        before = np.flatnonzero(~other)  # in the order of the objects, so that none is in both parts
        fitted, tested = before[: int(0.7 * len(before))], before[int(0.7 * len(before)) :]
        model = LogisticRegression(max_iter=500).fit(X[fitted], data.y[fitted])
        gaps.append(model.score(X[tested], data.y[tested]) - model.score(X[other], data.y[other]))
    assert np.mean(gaps) > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", ["medical-imaging", "driving-perception"])
def test_vector_envs_equal_single_envs_where_groups_or_sides_bound_the_split(name: str) -> None:
    arguments = {"tasks": name, "budget": 15}
    assert check_vector_env("al_gym/Strategy-v0", num_envs=3, episodes=2, env_kwargs=arguments) == list(CHECKS)
