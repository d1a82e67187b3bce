"""Recall at a fixed review effort: what a person finds who looks at the most suspicious share of the test items.

Where one class is the rule and the others are rare (defects, positives), accuracy hardly moves. In use the classifier
ranks items for inspection, and the inspection has a fixed size: `effort`, a share of all items. The items to find are
those of every class but the dataset's largest one, and an item is as suspicious as its probability of not being of
that class. Ties at the end of the review count with the share of them that fits (the mean over their random orders).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from al_gym.campaign import Campaign
from al_gym.errors import TaskError
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.task import Task


def usual_class(dataset: Dataset) -> int:
    """The class that is not looked for: the largest one of the dataset, the first of equals."""
    return int(np.bincount(dataset.y, minlength=dataset.n_classes).argmax())


def check_reviewable(task: Task) -> None:
    """TaskError if the holdout has nothing to find."""
    if (task.dataset.y[task.holdout] == usual_class(task.dataset)).all():
        raise TaskError(
            f"the test set of seed {task.seed} holds the largest class alone, so there is no recall at a review effort"
        )


def review_recall(
    campaign: Campaign, slots: NDArray[np.int64], usual: NDArray[np.int64], effort: float
) -> NDArray[np.float64]:
    """(n,) float64 in [0, 1], share of the items to find among the `effort` most suspicious ones of each holdout.

    Args:
        campaign: with tasks that pass `check_reviewable`. slots: (n,) int64.
        usual: (n,) int64, the class of each that is not looked for. effort: share of the holdout, in (0, 1].
    """
    out = np.zeros(len(slots))
    for at, proba, labels in campaign.holdout_probabilities(slots):
        for i, position in enumerate(at.tolist()):
            rule, known = int(usual[position]), labels[i] >= 0
            suspicion = 1.0 - proba[i, rule, known].double().cpu().numpy()
            out[position] = recall_at(suspicion, (labels[i, known] != rule).cpu().numpy(), effort)
    return out


def recall_at(suspicion: NDArray[np.float64], wanted: NDArray[np.bool_], effort: float) -> float:
    """Share of the wanted items among the ceil(effort * items) most suspicious ones; ties count by their share.

    Args:
        suspicion: (items,). wanted: (items,), at least one. effort: in (0, 1].
    """
    room = math.ceil(effort * len(suspicion) - 1e-9)
    last = np.sort(suspicion)[::-1][room - 1]
    above, tied = suspicion > last, suspicion == last
    found = (wanted & above).sum() + (wanted & tied).sum() * (room - above.sum()) / tied.sum()
    return float(found / wanted.sum())
