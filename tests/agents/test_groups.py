"""Groups of campaigns on the same task, paid relative to each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from runs import SMALL
from stable_baselines3.common.vec_env import VecEnv

from agents.environment import engine_of, layers, make_training_env, seed_streams
from al_gym.errors import ParameterError

ACTIONS = np.array([0, 1, 2, 1, 1, 0])


def build(group_size: int, env: str = "al_gym/Strategy-v0", n_envs: int = 6, seed: int = 1, **arguments: Any) -> VecEnv:
    settings = {**SMALL, "tasks": "synthetic-small", **arguments}
    venv = make_training_env(env, n_envs, reward_scale=100.0, group_size=group_size, **settings)
    seed_streams(venv, seed)
    return venv


def tasks(venv: VecEnv) -> list[tuple[str, int, tuple[int, ...]]]:
    """Dataset, seed and seed set of each campaign."""
    running = [task for task in engine_of(layers(venv)[0]).campaign.tasks if task is not None]
    return [(task.dataset.name, task.seed, tuple(task.seed_set.tolist())) for task in running]


def test_a_group_shares_every_task_and_no_other_does() -> None:
    venv = build(3)
    venv.reset()
    seen = []
    for _ in range(3):  # campaigns of four rounds
        found = tasks(venv)
        assert len(set(found[:3])) == len(set(found[3:])) == 1
        assert found[0] != found[3]
        seen += [found[0], found[3]]
        for _ in range(4):
            venv.step(ACTIONS)
    assert len(set(seen)) == 6


def test_the_mean_of_the_others_is_subtracted() -> None:
    alone, grouped = build(1), build(3)
    for venv in (alone, grouped):
        layers(venv)[0].seed_each([11, 11, 11, 12, 12, 12])
    np.testing.assert_array_equal(alone.reset(), grouped.reset())
    for _ in range(4):
        (expected, plain, ends, infos), (observations, paid, dones, others) = (
            v.step(ACTIONS) for v in (alone, grouped)
        )
        np.testing.assert_array_equal(observations, expected)
        np.testing.assert_array_equal(dones, ends)
        mean = [(plain[g].sum() - plain[i]) / 2 for i in range(6) for g in [slice(i // 3 * 3, i // 3 * 3 + 3)]]
        np.testing.assert_allclose(paid, plain - np.array(mean), atol=1e-4)
        assert np.abs(paid).max() > 0
    assert [info["episode"]["r"] for info in infos] == [info["episode"]["r"] for info in others]
    assert abs(paid[:3].sum()) < 1e-3


def test_equal_campaigns_are_paid_nothing() -> None:
    venv = build(2)
    venv.reset()
    for _ in range(4):
        np.testing.assert_array_equal(venv.step(np.ones(6, np.int64))[1], np.zeros(6))


def test_one_campaign_a_group_is_no_group() -> None:
    assert type(build(1)).__name__ == "ScaleReward"


@pytest.mark.parametrize("size", [0, -1, 4, 12, 1.5, "2"])
def test_a_group_must_divide_the_campaigns(size: Any) -> None:
    with pytest.raises(ParameterError, match=f"a divisor of the 6 campaigns side by side, got {size!r}"):
        build(size)


def test_campaigns_of_a_group_must_end_together() -> None:
    venv = build(2, env="al_gym/Budget-v0", batch_choices=[3, 6], n_envs=2)
    venv.reset()
    venv.step(np.array([0, 1]))
    with pytest.raises(ParameterError, match="group_size=2 compares campaigns round by round"):
        venv.step(np.array([0, 1]))


def test_a_group_may_lie_in_two_shards() -> None:
    one, two = build(2), build(2, shards=2)
    try:
        np.testing.assert_allclose(two.reset(), one.reset(), atol=1e-6)
        for _ in range(5):  # the last step is in another campaign
            expected, found = one.step(ACTIONS), two.step(ACTIONS)
            for ours, theirs in zip(found[:3], expected[:3], strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-4)
    finally:
        two.close()
