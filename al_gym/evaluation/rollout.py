"""One policy over many campaigns, from the seed set to the end, with the test accuracy of every round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from al_gym.campaign import Campaign
from al_gym.errors import TaskError
from al_gym.evaluation.files import present_columns
from al_gym.evaluation.queries import CampaignQueries
from al_gym.evaluation.review import review_recall, usual_class
from al_gym.policies.base import Ints, Policy, decide, look
from al_gym.tasks.task import Task


@dataclass(frozen=True)
class Rollout:
    """What one policy did on one dataset.

    Attributes:
        rows: the columns of results.csv.
        queries: what each seed labelled.
        exhausted: seeds whose pool ran out before the budget.
    """

    rows: pd.DataFrame
    queries: dict[int, CampaignQueries]
    exhausted: tuple[int, ...]


class _Recorder:
    """Collects the rounds of a run; with a `review_effort`, the recall at it too."""

    def __init__(self, campaign: Campaign, slots: Ints, review_effort: float | None) -> None:
        self._campaign = campaign
        self._effort = review_effort
        self._usual = np.zeros(len(campaign.tasks), np.int64)
        if review_effort is not None:
            self._usual[slots] = [usual_class(_task(campaign, slot).dataset) for slot in slots.tolist()]
        self._parts: list[dict[str, NDArray[np.generic]]] = []

    def add(self, slots: Ints, strategy: Ints, batch: Ints) -> None:
        """Note where the campaigns in `slots` stand, after a batch that `strategy` took (-1 for the seed set)."""
        campaign = self._campaign
        accuracy, balanced = campaign.accuracies(slots)
        part = {
            "slot": slots,
            "round": campaign.rounds(slots),
            "n_labelled": campaign.n_labelled(slots),
            "test_accuracy": accuracy,
            "test_balanced_accuracy": balanced,
            "strategy": strategy,
            "batch": batch,
        }
        if self._effort is not None:
            part["test_review_recall"] = review_recall(campaign, slots, self._usual[slots], self._effort)
        self._parts.append(part)

    def frame(self) -> pd.DataFrame:
        """One row a slot and round, sorted."""
        columns = {key: np.concatenate([part[key] for part in self._parts]) for key in self._parts[0]}
        return pd.DataFrame(columns).sort_values(["slot", "round"], kind="stable", ignore_index=True)


def roll_out(
    policy: Policy, campaign: Campaign, slots: Ints, batch_size: int, review_effort: float | None = None
) -> pd.DataFrame:
    """Run `policy` in `slots` until every campaign has ended.

    Args:
        policy: decides each round.
        campaign: with campaigns at their seed set in `slots`.
        slots: (n,) int64.
        batch_size: the default batch.
        review_effort: share of the test items that a person reviews, in (0, 1], or None.

    Returns:
        Columns slot, round, n_labelled, test_accuracy, test_balanced_accuracy, strategy (index, -1 in round 0), batch,
        and test_review_recall if there is a review.
    """
    policy.begin(len(campaign.tasks), batch_size)
    last = np.full(len(campaign.tasks), -1, np.int64)
    recorder = _Recorder(campaign, slots, review_effort)
    recorder.add(slots, last[slots], campaign.n_labelled(slots))
    active = slots[campaign.remaining(slots) > 0]
    while len(active):
        choice = decide(policy, look(policy, campaign, active, last[active], batch_size))
        going = ~choice.stop
        active, strategy, batch = active[going], choice.strategy[going], choice.batch[going]
        if not len(active):
            break
        if choice.queries is None:
            queries = campaign.select(active, policy.strategies, strategy, batch)
        else:
            queries = campaign.checked(active, choice.queries[going], batch, f"policy {policy.name!r}")
        campaign.reveal(active, queries)
        last[active] = strategy
        policy.observe(look(policy, campaign, active, strategy, batch_size, observe=False), queries)
        recorder.add(active, strategy, batch)
        active = active[campaign.remaining(active) > 0]
    return recorder.frame()


def run_policy(
    name: str,
    policy: Policy,
    campaign: Campaign,
    slots: Ints,
    *,
    batch_size: int,
    budget: int,
    review_effort: float | None = None,
) -> Rollout:
    """Run `policy` in `slots` and put the result in the form of results.csv.

    Args:
        name: of the policy in the results. policy: decides each round.
        campaign: at the seed sets in `slots`; all of these are of one dataset, one a seed.
        slots: (n,) int64. batch_size: the default batch. budget: labels to buy after the seed set.
        review_effort: see `roll_out`.
    """
    rounds = roll_out(policy, campaign, slots, batch_size, review_effort)
    labels = np.array([*policy.labels, ""], dtype=object)
    tasks = {slot: _task(campaign, slot) for slot in slots.tolist()}
    rows = rounds.assign(
        dataset=next(iter(tasks.values())).dataset.name,
        policy=name,
        seed=rounds["slot"].map({slot: task.seed for slot, task in tasks.items()}),
        strategy=labels[rounds["strategy"].to_numpy()],
    )
    queries = {
        task.seed: _queries(task, campaign.queries(slot), rounds.loc[rounds["slot"] == slot, "n_labelled"])
        for slot, task in tasks.items()
    }
    spent = campaign.spent(slots)
    empty = campaign.n_labelled(slots) == np.array([len(tasks[slot].pool) for slot in slots.tolist()])
    exhausted = tuple(tasks[slot].seed for slot in slots[empty & (spent < budget)].tolist())
    return Rollout(rows[present_columns(rows)], queries, exhausted)


def _task(campaign: Campaign, slot: int) -> Task:
    task = campaign.tasks[slot]
    if task is None:
        raise TaskError(f"slot {slot} holds no task; load one first.")
    return task


def _queries(task: Task, order: Ints, offsets: Sequence[int]) -> CampaignQueries:
    labels = task.oracle_labels[order] if task.label_noise else None
    return CampaignQueries(task.pool, task.holdout, task.pool[order], np.asarray(offsets), labels)
