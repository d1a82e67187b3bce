"""What holds for every registered learner, the ones of tomorrow included."""

from __future__ import annotations

import pickle
import random

import gymnasium as gym
import numpy as np
import pytest
import torch
from learner_blocks import SHAPE, blobs, fill, reveal
from torch import Tensor

import al_gym
from al_gym.campaign import Campaign
from al_gym.errors import LearnerError, MissingExtraError
from al_gym.learners import LEARNERS, Learner, make_learner
from al_gym.pool import PoolArrays
from al_gym.strategies import make_strategy
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.task import make_task

QUICK = {
    "lightning": "lightning:epochs=1",
    "mlp": "mlp:steps=10",
    "sklearn": "sklearn:estimator=decision-tree",
    "torch": "torch:epochs=3",
}
"""Specs that keep these tests short."""
GOES_ON = {"mlp"}
"""Learners whose second fit to the same labels is meant to go further than the first."""
NAMES = LEARNERS.names()
STRATEGIES = ["random", "margin", "badge", "bait", "maxherding"]
CASES = ["ordinary", "missing classes", "one class", "two items", "constant features", "contradicting duplicates"]

every_learner = pytest.mark.parametrize("name", NAMES)


def quick(name: str) -> Learner:
    """The learner with little work, or a skip where its library is missing."""
    try:
        return make_learner(QUICK.get(name, name))
    except MissingExtraError as error:
        pytest.skip(str(error))


def odd_block() -> PoolArrays:
    """One row for each of `CASES`."""
    arrays = PoolArrays.allocate(SHAPE, len(CASES), torch.device("cpu"))
    X, y = blobs(40, 6, 4, 0)
    fill(arrays, 0, X, 4, key=1)
    reveal(arrays, 0, list(range(13)), y[:13].tolist())
    fill(arrays, 1, X[:20], 7, key=2)
    reveal(arrays, 1, [0, 3, 5, 8, 9], [5, 2, 5, 2, 0])
    fill(arrays, 2, X[:, :2], 3, key=3)
    reveal(arrays, 2, [4, 7], [1, 1])
    fill(arrays, 3, X[:2, :3], 2, key=4)
    reveal(arrays, 3, [0, 1], [1, 0])
    fill(arrays, 4, np.zeros((25, 4)), 3, key=5)
    reveal(arrays, 4, [0, 1, 2, 3], [0, 1, 1, 2])
    fill(arrays, 5, np.concatenate([X[:1, :5]] * 6 + [X[:24, :5]]), 3, key=6)
    reveal(arrays, 5, [0, 1, 2, 3, 6, 7], [0, 1, 0, 2, 2, 1])
    return arrays


def fit(learner: Learner, arrays: PoolArrays, rows: list[int]) -> tuple[dict, Tensor]:
    state, chosen = learner.allocate(SHAPE, len(arrays.key), torch.device("cpu")), torch.tensor(rows)
    learner.fit(state, arrays, chosen)
    return state, chosen


def predict(learner: Learner, arrays: PoolArrays, rows: list[int]) -> Tensor:
    state, chosen = fit(learner, arrays, rows)
    return learner.predict_proba(state, arrays, chosen, arrays.X[chosen])


@every_learner
def test_probabilities(name: str) -> None:
    arrays = odd_block()
    proba = predict(quick(name), arrays, list(range(len(CASES))))
    assert proba.shape == (len(CASES), SHAPE.classes, SHAPE.items)
    assert proba.dtype == torch.float32
    for row, case in enumerate(CASES):
        p, seen = proba[row, :, : int(arrays.n_items[row])], arrays.seen[row]
        assert torch.isfinite(p).all(), case
        assert (p >= 0).all(), case
        torch.testing.assert_close(p.sum(0), torch.ones(p.shape[1]), atol=1e-5, rtol=0, msg=case)
        assert (p[~seen] == 0).all(), case
        if case == "one class":
            assert (p[1] == 1).all()
        if case in ("constant features", "contradicting duplicates"):
            assert (p[:, :1] == p[:, 1:2]).all(), "equal items, unequal probabilities"


@every_learner
def test_same_task_same_result_whatever_its_batch_mates(name: str) -> None:
    arrays = odd_block()
    everyone = list(range(len(CASES)))
    together = predict(quick(name), arrays, everyone)
    for rows in ([0], [3, 1], [5, 4, 2, 0]):
        apart = predict(quick(name), arrays, rows)
        torch.testing.assert_close(apart, together[rows], atol=1e-6, rtol=0)
    assert torch.equal(predict(quick(name), arrays, everyone), together)


@every_learner
def test_a_cleared_row_has_no_traces(name: str) -> None:
    learner, arrays = quick(name), odd_block()
    state, rows = fit(learner, arrays, [0, 1])
    expected = learner.predict_proba(state, arrays, rows, arrays.X[:2])
    for row in (0, 1):
        learner.clear(state, row)
    learner.fit(state, arrays, rows)
    torch.testing.assert_close(learner.predict_proba(state, arrays, rows, arrays.X[:2]), expected, atol=1e-6, rtol=0)


@every_learner
def test_refit_equals_fit(name: str) -> None:
    if name in GOES_ON:
        pytest.skip("goes on from its last weights")
    learner, arrays = quick(name), odd_block()
    state, rows = fit(learner, arrays, [0, 1, 5])
    expected = learner.predict_proba(state, arrays, rows, arrays.X[rows])
    learner.fit(state, arrays, rows)
    torch.testing.assert_close(learner.predict_proba(state, arrays, rows, arrays.X[rows]), expected, atol=2e-3, rtol=0)


@every_learner
def test_growing_and_pickling_keep_what_was_learned(name: str) -> None:
    learner, arrays = quick(name), odd_block()
    state, rows = fit(learner, arrays, [0, 1, 2])
    expected = learner.predict_proba(state, arrays, rows, arrays.X[rows])
    more = arrays.grown(2 * len(CASES))
    grown = pickle.loads(pickle.dumps(learner.grow(state, 2 * len(CASES))))
    again = pickle.loads(pickle.dumps(learner))
    assert torch.equal(again.predict_proba(grown, more, rows, more.X[rows]), expected)
    last = torch.tensor([2 * len(CASES) - 1])
    fill(more, int(last), blobs(30, 5, 3, 1)[0], 3)
    reveal(more, int(last), [0, 1, 2], [0, 1, 2])
    again.fit(grown, more, last)
    torch.testing.assert_close(
        again.predict_proba(grown, more, last, more.X[last])[0, :, :30].sum(0), torch.ones(30), atol=1e-5, rtol=0
    )


@every_learner
def test_scores_and_hits_follow_from_the_probabilities(name: str) -> None:
    learner, arrays = quick(name), odd_block()
    state, rows = fit(learner, arrays, list(range(len(CASES))))
    proba = learner.predict_proba(state, arrays, rows, arrays.X)
    learner.score_pool(state, arrays, rows)
    y = torch.full((len(CASES), SHAPE.items), -1)
    for row in range(len(CASES)):
        n = int(arrays.n_items[row])
        torch.testing.assert_close(arrays.proba[row, :, :n], proba[row, :, :n], atol=1e-5, rtol=0)
        assert (arrays.proba[row, :, n:] == 0).all()
        torch.testing.assert_close(arrays.top1[row, :n], proba[row, :, :n].max(0).values, atol=1e-5, rtol=0)
        y[row, :n] = torch.arange(n) % int(arrays.n_classes[row])
    hits = learner.class_hits(state, arrays, rows, arrays.X, y, arrays.n_items)
    for row in range(len(CASES)):
        right = arrays.predicted[row] == y[row]
        expected = torch.bincount(y[row][right], minlength=SHAPE.classes)
        assert hits[row].tolist() == expected.tolist()


@every_learner
def test_embedding(name: str) -> None:
    learner, arrays = quick(name), odd_block()
    state, rows = fit(learner, arrays, [0, 2, 5])
    phi = learner.embed(state, arrays, rows, arrays.X[rows])
    assert phi.shape[:2] == (3, SHAPE.items)
    assert phi.dtype == torch.float32
    assert torch.isfinite(phi).all()
    assert torch.equal(phi[2, 0], phi[2, 1]), "equal items, unequal representations"


@every_learner
def test_an_episode_of_each_strategy(name: str) -> None:
    quick(name)
    env = gym.make(
        "al_gym/Strategy-v0", tasks="synthetic-small", learner=QUICK.get(name, name), strategies=STRATEGIES,
        budget=6, batch_size=3, pool_size=30, validation_size=20,
    )  # fmt: skip
    for action, strategy in enumerate(STRATEGIES):
        env.reset(seed=action)
        terminated = False
        for _ in range(2):
            observation, reward, terminated, _, info = env.step(action)
            assert env.observation_space.contains(observation), strategy
            assert np.isfinite(reward)
            assert 0 <= info["validation_accuracy"] <= 1
        assert terminated, strategy


@every_learner
def test_vector_env_equals_single_envs(name: str) -> None:
    quick(name)
    arguments = {
        "tasks": "synthetic-small", "learner": QUICK.get(name, name), "strategies": ["margin", "badge"],
        "budget": 6, "batch_size": 3, "pool_size": 30, "validation_size": 20,
    }  # fmt: skip
    actions = np.array([[0, 1, 1], [1, 0, 1]])
    envs = gym.make_vec("al_gym/Strategy-v0", num_envs=3, **arguments)
    observations = [envs.reset(seed=[3, 4, 5])[0]]
    results = [envs.step(action) for action in actions]
    observations += [result[0] for result in results]
    for i in range(3):
        env = gym.make("al_gym/Strategy-v0", **arguments)
        np.testing.assert_allclose(env.reset(seed=3 + i)[0], observations[0][i], atol=1e-6)
        for step, action in enumerate(actions[:, i]):
            observation, reward, _, _, info = env.step(int(action))
            np.testing.assert_array_equal(info["queries"], results[step][4]["queries"][i])
            np.testing.assert_allclose(observation, observations[step + 1][i], atol=1e-6)
            np.testing.assert_allclose(reward, results[step][1][i], atol=1e-6)


def two_tasks(learner: Learner) -> tuple[Campaign, np.ndarray, np.ndarray]:
    """A campaign of the tasks `good` and `bad` at their seed sets, its slots, and queries for the next round."""
    X, y = blobs(60, 4, 2, 0)
    tasks = [
        make_task(Dataset(n, X + i, y, ("a", "b")), i, pool_size=20, test_size=20)
        for i, n in enumerate(("good", "bad"))
    ]
    campaign, slots = Campaign(2, learner=learner), np.arange(2)
    campaign.load(slots, tasks, [4, 4])
    return campaign, slots, campaign.select(slots, [make_strategy("random")], np.zeros(2, np.int64), np.array([2, 2]))


@every_learner
def test_nan_is_an_error_that_names_learner_task_and_round(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = quick(name)
    campaign, slots, queries = two_tasks(learner)
    score = type(learner).score_pool

    def broken(self: Learner, state: dict, arrays: PoolArrays, rows: Tensor) -> None:
        score(self, state, arrays, rows)
        arrays.top1[rows[-1:], 0] = torch.nan

    monkeypatch.setattr(type(learner), "score_pool", broken)
    with pytest.raises(
        LearnerError, match=rf"learner '{name}' failed on task 'bad' \(seed 1\), round 1: .* not finite"
    ):
        campaign.reveal(slots, queries)


@every_learner
def test_a_learner_that_raises_names_learner_task_and_round(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = quick(name)
    campaign, slots, queries = two_tasks(learner)
    fit, bad = type(learner).fit, make_task(campaign.tasks[1].dataset, 1, pool_size=20, test_size=20).key

    def broken(self: Learner, state: dict, arrays: PoolArrays, rows: Tensor) -> None:
        if (arrays.key[rows.numpy()] == np.uint64(bad)).any():
            raise ZeroDivisionError("no")
        fit(self, state, arrays, rows)

    monkeypatch.setattr(type(learner), "fit", broken)
    with pytest.raises(
        LearnerError, match=rf"learner '{name}' failed on task 'bad' \(seed 1\), round 1: ZeroDivisionError: no"
    ):
        campaign.reveal(slots, queries)


@every_learner
def test_global_generators_are_left_alone(name: str) -> None:
    """Nothing draws from them, and nothing seeds them."""
    learner = quick(name)
    states = []
    for _ in range(2):
        states.append((torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes(), random.getstate()))  # noqa: NPY002
        if len(states) == 1:
            campaign, slots, queries = two_tasks(learner)
            campaign.reveal(slots, queries)
    assert states[0] == states[1]


@every_learner
def test_description(name: str) -> None:
    line = al_gym.list_learners()[name]
    assert 10 < len(line) <= 130
    assert line.endswith(".")
    try:
        assert make_learner(name).name == name
    except MissingExtraError as error:
        assert 'pip install "al-gym[' in str(error)  # noqa: PT017


def test_there_are_at_least_nine() -> None:
    assert {"softmax", "ridge", "gp", "knn", "mlp", "sklearn", "torch", "lightning", "maml"} <= set(NAMES)
