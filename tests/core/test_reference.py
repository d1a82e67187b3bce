"""The reference curves: whole campaigns in one kernel against the rounds of the campaign itself."""

import numpy as np
import pytest

from al_gym import kernels
from al_gym.campaign import Campaign
from al_gym.reference import _by_rounds, margin_curves
from al_gym.tasks import load_bundled, load_tasks
from al_gym.tasks.task import make_task

SLOTS = np.arange(8)


def loaded(budget, learner="softmax"):
    suite = load_tasks("default", "train")
    datasets = [suite.get(name) for name in suite.names[:6]] + [load_bundled("digits"), load_bundled("iris")]
    tasks = [
        make_task(data, seed, pool_size=200, validation_size=100, label_noise=0.1 * (seed % 2))
        for seed, data in enumerate(datasets)
    ]
    campaign = Campaign(8, learner=learner)
    campaign.load(SLOTS, tasks, [budget] * 8)
    return campaign


@pytest.mark.skipif(not kernels.available(), reason="needs numba")
@pytest.mark.parametrize(("budget", "batch"), [(40, 5), (23, 7), (150, 30)])
def test_equals_the_rounds(budget, batch):
    campaign = loaded(budget)
    points = -(-budget // batch) + 1
    spent, accuracy = margin_curves(campaign, SLOTS, batch, points)
    assert (spent[:, 0] == 0).all()
    expected = _by_rounds(campaign, SLOTS, batch, points)
    np.testing.assert_array_equal(spent, expected[0])
    np.testing.assert_array_equal(accuracy, expected[1])
    assert len(np.unique(accuracy)) > 20


def test_the_campaigns_are_left_as_they_were():
    campaign, untouched = loaded(20), loaded(20)
    margin_curves(campaign, SLOTS, 5, 5)
    for (_, view), (_, other) in zip(campaign.views(SLOTS), untouched.views(SLOTS), strict=True):
        for name in ("labelled", "order", "y", "top1", "round", "prequential"):
            np.testing.assert_array_equal(
                view.gather(getattr(view.arrays, name)), other.gather(getattr(other.arrays, name))
            )


@pytest.mark.skipif(not kernels.available(), reason="needs numba")
def test_a_task_out_of_reach_of_float32_goes_round_by_round():
    campaign = loaded(20, "softmax:tol=1e-9")
    expected = _by_rounds(campaign, SLOTS, 5, 5)
    spent, accuracy = margin_curves(campaign, SLOTS, 5, 5)
    np.testing.assert_array_equal(spent, expected[0])
    np.testing.assert_array_equal(accuracy, expected[1])
