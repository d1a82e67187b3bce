"""The right answer wins on every diagnostic task, and nothing about the tasks moves."""

import numpy as np
import pytest

import al_gym
from al_gym.tasks.diagnostic import DIAGNOSES, diagnostic_dataset
from al_gym.tasks.load import load_tasks
from al_gym.tasks.suites.diagnostics import VARIANTS

IDS = [diagnosis.name for diagnosis in DIAGNOSES]


def test_the_suite_holds_every_trap_for_testing_alone():
    tasks = load_tasks("diagnostics")
    assert len(tasks) == VARIANTS * len(DIAGNOSES)
    assert set(tasks.families.values()) == set(IDS)
    assert tasks.part("test").names == tasks.names
    assert not tasks.part("train").names


@pytest.mark.parametrize("diagnosis", DIAGNOSES, ids=IDS)
def test_a_trap_says_its_answer_and_is_the_same_each_time(diagnosis):
    assert "**Right:**" in diagnosis.draw.__doc__
    for strategy in diagnosis.right:
        assert f"`{strategy}`" in diagnosis.draw.__doc__
    first, again, other = (diagnostic_dataset(number, diagnosis.name) for number in (0, 0, 1))
    assert first.content_hash == again.content_hash != other.content_hash
    assert np.array_equal(first.y, again.y)
    assert np.bincount(first.y).min() >= 20


@pytest.mark.parametrize("diagnosis", DIAGNOSES, ids=IDS)
def test_the_right_strategies_win(diagnosis):
    """Each right one against each wrong one, on equal campaigns: the interval over seeds lies above 0."""
    summary = al_gym.evaluate(
        [*diagnosis.right, *diagnosis.wrong],
        tasks="diagnostics",
        datasets=[f"{diagnosis.name}-{number}" for number in range(VARIANTS)],
        seeds=12,
        pool_size=300,
        metric=diagnosis.metric,
        jobs=1,
    ).summary
    for right in diagnosis.right:
        for wrong in diagnosis.wrong:
            assert summary["paired"][right][wrong]["ci95"][0] > 0, f"{right} against {wrong}"
