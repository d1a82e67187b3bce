"""The reference of the reward `advantage`: the curve of margin on the tasks as they stand at their seed sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from al_gym import kernels
from al_gym.campaign import Campaign
from al_gym.learners.softmax import Softmax
from al_gym.strategies import make_strategy
from al_gym.streams import Stream

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def margin_curves(campaign: Campaign, slots: Ints, batch: int, points: int) -> tuple[Ints, Floats]:
    """Run margin from the seed set to the end of the budget and forget it: the campaigns are as before.

    The default learner on the CPU runs whole campaigns in one kernel; its tasks that float32 cannot fit, and every
    other learner, go round by round. Both give the same curves.

    Args:
        campaign: the tasks of `slots` (n,) stand at their seed sets. batch: labels a round.
        points: of each curve, the seed set first.

    Returns:
        labels bought (n, points) int64, and holdout accuracy there (n, points) float64, flat after the last round.
    """
    spent = np.zeros((len(slots), points), np.int64)
    accuracy = np.repeat(campaign.accuracy(slots)[:, None], points, axis=1)
    left = np.ones(len(slots), np.bool_)
    if type(campaign.learner) is Softmax and campaign.device.type == "cpu" and kernels.available():
        _whole_campaigns(campaign, campaign.learner, slots, batch, spent, accuracy)
        left = spent[:, 0] < 0
    if left.any():
        spent[left], accuracy[left] = _by_rounds(campaign, slots[left], batch, points)
    return spent, accuracy


def _whole_campaigns(
    campaign: Campaign, learner: Softmax, slots: Ints, batch: int, spent: Ints, accuracy: Floats
) -> None:
    """Fill in the curves by the kernel; -1 labels at the seed set mark the tasks that it leaves."""
    run = kernels.load("margin_run").margin_curves
    points = spent.shape[1]
    for at, block, rows in campaign._groups(slots):
        hidden, places = block.hidden, rows.numpy()
        task_keys = np.repeat(block.pool.key[places], points - 1)
        rounds = np.tile(np.arange(points - 1), len(places))
        keys = Stream.of(task_keys, rounds, "margin").keys.reshape(len(places), points - 1)
        bought, reached = spent[at], accuracy[at]
        holdout = (hidden.X.numpy(), hidden.labels.numpy(), hidden.count.numpy())
        model = (1.0 / learner.C, learner.tol, learner.max_iter)
        W, answers = block.state["W"].numpy(), hidden.y.numpy()
        run(block.pool.numpy, W, answers, holdout, keys, batch, *model, places, bought, reached)
        spent[at], accuracy[at] = bought, reached


def _by_rounds(campaign: Campaign, slots: Ints, batch: int, points: int) -> tuple[Ints, Floats]:
    """The same with the campaign's own rounds, and back to the seed sets."""
    spent = np.zeros((len(slots), points), np.int64)
    accuracy = np.repeat(campaign.accuracy(slots)[:, None], points, axis=1)
    margin = [make_strategy("margin")]
    for point in range(1, points):
        remaining = campaign.remaining(slots)
        going = remaining > 0
        if going.any():
            open_ = slots[going]
            k = np.minimum(batch, remaining[going])
            campaign.reveal(open_, campaign.select(open_, margin, np.zeros(len(open_), np.int64), k))
            accuracy[going, point:] = campaign.accuracy(open_)[:, None]
        spent[:, point] = campaign.spent(slots)
    campaign.restart(slots)
    return spent, accuracy
