"""`sample_tasks`, `set_task` and `get_task`, as learn2learn and garage call them."""

from __future__ import annotations

import json
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import al_gym  # noqa: F401 (registers the environments)
from al_gym.errors import ParameterError, UnknownNameError
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.task import make_task

SMALL: dict[str, Any] = {
    "tasks": "synthetic-small", "pool_size": 40, "validation_size": 30, "budget": 6, "batch_size": 3,
}  # fmt: skip
IDS = sorted(spec.id for spec in gym.registry.values() if spec.namespace == "al_gym")


def tiny(name: str = "tiny") -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(name, rng.normal(size=(60, 2)).astype(np.float32), np.arange(60) % 2, ("a", "b"))


def first(env: gym.Env[Any, Any], **options: Any) -> tuple[np.ndarray, str, int]:
    observation, info = env.reset(options=options or None)
    return observation, info["task"], info["task_seed"]


@pytest.mark.parametrize("id", IDS)
def test_every_environment_speaks_it(id: str) -> None:
    env = gym.make(id, **SMALL)
    for name in ("sample_tasks", "set_task", "get_task"):
        assert callable(env.get_wrapper_attr(name))  # gymnasium's wrappers pass attributes by this name
    a, b = env.unwrapped.sample_tasks(2)
    env.get_wrapper_attr("set_task")(a)
    assert env.get_wrapper_attr("get_task")() == a
    assert first(env)[1:] == (a["task"], a["task_seed"])
    env.unwrapped.set_task(b)
    assert first(env)[1:] == first(env)[1:] == (b["task"], b["task_seed"])


def test_tasks_are_many_plain_and_seeded() -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL).unwrapped
    env.reset(seed=3)
    tasks = env.sample_tasks(50)
    assert json.loads(json.dumps(tasks)) == pickle.loads(pickle.dumps(tasks)) == tasks
    assert len({task["task_seed"] for task in tasks}) == 50
    assert 10 < len({task["task"] for task in tasks}) <= 24
    env.reset(seed=3)
    assert env.sample_tasks(50) == tasks
    env.reset(seed=4)
    assert env.sample_tasks(50) != tasks


def test_a_task_that_is_set_stays_until_none_is() -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL)
    assert env.unwrapped.get_task() is None
    env.reset(seed=0)
    (task,) = env.unwrapped.sample_tasks(1)
    drawn = env.unwrapped.get_task()
    env.unwrapped.set_task(task)
    observation, *where = first(env)
    for _ in range(2):
        env.step(0)
    again, *there = first(env)
    assert there == where == [task["task"], task["task_seed"]]
    assert np.array_equal(observation, again)
    env.unwrapped.set_task(None)
    seeds = {first(env)[2] for _ in range(4)}
    assert len(seeds) == 4
    assert task["task_seed"] not in seeds
    env.unwrapped.set_task(drawn)  # what get_task gave before is a task like any other
    assert list(first(env)[1:]) == list(drawn.values())


def test_the_running_campaign_goes_on() -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL)
    env.reset(seed=0)
    other = gym.make("al_gym/Strategy-v0", **SMALL)
    other.reset(seed=0)
    env.unwrapped.set_task(tiny())
    assert np.array_equal(env.step(1)[0], other.step(1)[0])


def test_options_go_before_the_task_that_is_set() -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL)
    names = env.unwrapped.engine.tasks.names
    env.unwrapped.set_task({"task": names[0], "task_seed": 5})
    assert first(env, task=names[1], task_seed=9)[1:] == (names[1], 9)
    assert first(env, task=names[1])[1] == names[1]
    assert first(env, task_seed=9)[1:] == (names[0], 9)
    assert first(env)[1:] == (names[0], 5)


def test_objects_are_tasks_too() -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL)
    dataset = tiny()
    env.unwrapped.set_task(dataset)
    assert first(env)[1] == "tiny"
    env.unwrapped.set_task({"task": dataset, "task_seed": 4})
    assert first(env)[1:] == ("tiny", 4)
    task = make_task(dataset, 7, pool_size=20, validation_size=10)
    env.unwrapped.set_task(pickle.loads(pickle.dumps(task)))
    assert first(env)[1:] == ("tiny", 7)
    assert len(env.unwrapped.engine.campaign.tasks[0].pool) == 20


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"tsak": "x"}, "sample_tasks"),
        (3, "got 3"),
        ({"task": 3}, "got 3"),
        ({"task": "synthetic-small-000001", "task_seed": -1}, "-1"),
        ({"task": "synthetic-small-000001", "task_seed": 0.5}, "0.5"),
    ],
)
def test_what_is_no_task(task: Any, message: str) -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL).unwrapped
    with pytest.raises(ParameterError, match=message):
        env.set_task(task)
    with pytest.raises(UnknownNameError, match="synthetic-small-0000"):
        env.set_task("synthetic-small-00000")
    for n in (0, 1.5, True):
        with pytest.raises(ParameterError, match="at least 1"):
            env.sample_tasks(n)
    assert env.get_task() is None


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_vector_env(mode: str) -> None:
    envs = gym.make_vec("al_gym/Strategy-v0", num_envs=3, autoreset_mode=mode, **SMALL)
    envs.reset(seed=0)
    tasks = envs.unwrapped.sample_tasks(3)
    envs.unwrapped.set_task([*tasks[:2], None])
    assert envs.call("get_task")[:2] == tuple(tasks[:2])
    _, infos = envs.reset()
    seeds = [infos["task_seed"].tolist()]
    for _ in range(3):
        *_, infos = envs.step(np.zeros(3, np.int64))
        if "task_seed" in infos:
            seeds.append(infos["task_seed"].tolist())  # an autoreset
    assert len(seeds) == 2
    assert [s[:2] for s in seeds] == [[t["task_seed"] for t in tasks[:2]]] * 2
    assert seeds[0][2] != seeds[1][2]
    envs.call("set_task", tasks[2])
    assert envs.reset()[1]["task"].tolist() == [tasks[2]["task"]] * 3
    with pytest.raises(ParameterError, match="2 tasks for 3 campaigns"):
        envs.unwrapped.set_task(tasks[:2])


@pytest.mark.parametrize("kind", [gym.vector.SyncVectorEnv, gym.vector.AsyncVectorEnv])
def test_vectors_of_single_envs(kind: type[gym.vector.VectorEnv]) -> None:
    envs = kind([lambda: gym.make("al_gym/Strategy-v0", **SMALL)] * 2)
    try:
        envs.reset(seed=0)
        task = envs.call("sample_tasks", 1)[0][0]
        envs.call("set_task", task)
        assert envs.reset()[1]["task_seed"].tolist() == [task["task_seed"]] * 2
        assert envs.call("get_task") == (task, task)
    finally:
        envs.close()


def meta_loop(env: gym.Env[Any, Any], tasks: int, steps: int) -> dict[str, list[float]]:
    """learn2learn's loop: sample tasks, set each, adapt on some campaigns, judge on another one.

    See `examples/rl/maml_trpo.py` there: `for task in env.sample_tasks(n): env.set_task(task); env.reset(); ...`.
    """
    returns: dict[str, list[float]] = {}
    for task in env.unwrapped.sample_tasks(tasks):
        env.unwrapped.set_task(task)
        for action in range(steps):
            _, info = env.reset()
            assert (info["task"], info["task_seed"]) == (task["task"], task["task_seed"])
            total, ended = 0.0, False
            while not ended:
                _, reward, ended, _, _ = env.step(action)
                total += float(reward)
            returns.setdefault(json.dumps(task), []).append(total)
    return returns


def test_a_meta_learning_loop_repeats_campaigns() -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL)
    env.reset(seed=1)
    returns = meta_loop(env, tasks=3, steps=2)
    env.unwrapped.set_task(None)
    env.reset(seed=1)
    assert meta_loop(env, tasks=3, steps=2) == returns
    assert len(returns) == 3
    assert len({tuple(values) for values in returns.values()}) == 3


def test_learn2learn() -> None:
    """Its vector env over our single env, in worker processes: it wraps sample_tasks and set_task."""
    l2l = pytest.importorskip("learn2learn", reason="learn2learn is not installed", exc_type=ImportError)
    env = l2l.gym.AsyncVectorEnv([lambda: gym.make("al_gym/Strategy-v0", **SMALL).unwrapped] * 2)
    (task,) = env.sample_tasks(1)
    env.set_task(task)
    assert set(task) == {"task", "task_seed"}
