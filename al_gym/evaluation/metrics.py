"""Scores of finished campaigns, computed from the rows of results.csv.

A row is one round of one campaign, a campaign is one (dataset, seed, policy). Between two rounds the
learning curve is a straight line; after the last row it is held flat up to the seed set plus the budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from al_gym.errors import ParameterError

METRICS = {
    "accuracy": "test_accuracy",
    "balanced-accuracy": "test_balanced_accuracy",
    "review-recall": "test_review_recall",
}

Budget = int | Mapping[str, int]
"""Labels bought after the seed set: one number, or one a dataset (a capped budget differs between datasets)."""


@dataclass(frozen=True)
class Curves:
    """Learning curves of many campaigns, one behind the other.

    Attributes:
        keys: one row a campaign with the columns dataset, seed, policy; ordered by dataset name, seed and
            the policies' order (of their categories, else of first appearance).
        start: (campaigns,) int64, where each campaign's rows begin.
        stop: (campaigns,) int64, where they end.
        spent: (rows,) int64, labels beyond the seed set.
        initial: (campaigns,) int64, size of the seed set.
        accuracy: (rows,) float64.
        budget: (campaigns,) int64.
    """

    keys: pd.DataFrame
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    spent: NDArray[np.int64]
    initial: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    budget: NDArray[np.int64]


def metric_column(metric: str) -> str:
    """Column of results.csv that holds `metric`, one of `METRICS`."""
    if metric not in METRICS:
        raise ParameterError(f"Unknown metric {metric!r}; choose one of {', '.join(METRICS)}.")
    return METRICS[metric]


def read_curves(rows: pd.DataFrame, budget: Budget, *, metric: str = "accuracy") -> Curves:
    """Sort rows into campaigns and check them.

    Args:
        rows: the columns of results.csv, in any order.
        budget: labels bought after the seed set.
        metric: one of `METRICS`.

    Raises:
        ParameterError: no rows, a round twice or missing, labels that do not grow, more labels than the budget, or a
            metric that is not finite.
    """
    if not len(rows):
        raise ParameterError("No rows to evaluate; results.csv is empty.")
    dataset, datasets = _codes(rows["dataset"], by_name=True)
    policy, policies = _codes(rows["policy"], by_name=False)
    seed, seeds = pd.factorize(rows["seed"].to_numpy(), sort=True)
    rounds = rows["round"].to_numpy().astype(np.int64)
    campaign = (dataset * len(seeds) + seed) * len(policies) + policy
    order = np.lexsort((rounds, campaign))
    campaign, rounds = campaign[order], rounds[order]
    start = np.flatnonzero(np.r_[True, campaign[1:] != campaign[:-1]])
    stop = np.r_[start[1:], len(campaign)]
    keys = pd.DataFrame(
        {
            "dataset": datasets[dataset[order][start]],
            "seed": np.asarray(seeds)[seed[order][start]],
            "policy": pd.Categorical.from_codes(policy[order][start], pd.Index(policies)),
        }
    )
    labelled = rows["n_labelled"].to_numpy().astype(np.int64)[order]
    accuracy = rows[metric_column(metric)].to_numpy().astype(np.float64)[order]
    spent = labelled - np.repeat(labelled[start], stop - start)
    curves = Curves(keys, start, stop, spent, labelled[start], accuracy, _budgets(keys, budget))
    _check(curves, rounds)
    return curves


def _codes(column: pd.Series, *, by_name: bool) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    values = pd.Categorical(
        column, categories=None if by_name or isinstance(column.dtype, pd.CategoricalDtype) else column.unique()
    )
    values = values.remove_unused_categories()
    names = np.asarray(values.categories, dtype=object)
    codes = np.asarray(values.codes, dtype=np.int64)
    if (codes < 0).any():
        raise ParameterError(f"Column {column.name!r} has rows without a name.")
    if not by_name:
        return codes, names
    order = np.argsort(names.astype(str), kind="stable")
    return np.argsort(order)[codes], names[order]


def _budgets(keys: pd.DataFrame, budget: Budget) -> NDArray[np.int64]:
    if isinstance(budget, Mapping):
        absent = sorted(set(keys["dataset"]) - set(budget))
        if absent:
            raise ParameterError(f"No budget given for dataset {absent[0]!r}.")
        values = (
            keys["dataset"].map({str(name): int(value) for name, value in budget.items()}).to_numpy().astype(np.int64)
        )
    else:
        values = np.full(len(keys), int(budget), dtype=np.int64)
    if (values < 1).any():
        raise ParameterError(f"A budget must be at least 1 label, got {values.min()}.")
    return values


def _check(curves: Curves, rounds: NDArray[np.int64]) -> None:
    expected = np.arange(len(rounds)) - np.repeat(curves.start, curves.stop - curves.start)
    grows = np.diff(curves.spent, prepend=-1) > 0
    grows[curves.start] = True
    _refuse(curves, rounds != expected, "a round is missing or present twice; its rounds must be 0, 1, 2, ...")
    _refuse(curves, ~grows, "the number of labels does not grow from round to round")
    _refuse(curves, ~np.isfinite(curves.accuracy), "the accuracy is not finite")
    over = curves.spent > np.repeat(curves.budget, curves.stop - curves.start)
    _refuse(curves, over, "more labels were bought than the budget allows")


def _refuse(curves: Curves, bad: NDArray[np.bool_], reason: str) -> None:
    if bad.any():
        where = int(np.searchsorted(curves.start, int(np.argmax(bad)), side="right")) - 1
        name = ", ".join(f"{key} {curves.keys[key].iloc[where]}" for key in ("dataset", "seed", "policy"))
        raise ParameterError(f"{name}: {reason}.")


def campaign_table(
    rows: pd.DataFrame, budget: Budget, *, metric: str = "accuracy", round_cost: float = 0.0
) -> pd.DataFrame:
    """One row a campaign: its area under the learning curve and what it took.

    Args:
        rows: the columns of results.csv, in any order.
        budget: labels bought after the seed set.
        metric: one of `METRICS`.
        round_cost: price of one round in AULC; `utility` is AULC - round_cost * rounds.

    Returns:
        Columns dataset, seed, policy, aulc, final_accuracy, rounds, labels (bought after the seed set), initial
        (seed set), utility. AULC is the trapezoid of accuracy over labels divided by the budget, in [0, 1].
    """
    curves = read_curves(rows, budget, metric=metric)
    last = curves.stop - 1
    width = np.diff(curves.spent, append=0)
    height = (curves.accuracy + np.r_[curves.accuracy[1:], 0.0]) / 2
    width[last] = curves.budget - curves.spent[last]
    height[last] = curves.accuracy[last]
    rounds = last - curves.start
    aulc = np.add.reduceat(width * height, curves.start) / curves.budget
    return curves.keys.assign(
        aulc=aulc,
        final_accuracy=curves.accuracy[last],
        rounds=rounds,
        labels=curves.spent[last],
        initial=curves.initial,
        utility=aulc - round_cost * rounds,
    )


@dataclass(frozen=True)
class Scores:
    """One number a campaign as a full array.

    Attributes:
        values: (policies, datasets, seeds) float64.
        policies: names along the first axis.
        datasets: names along the second axis.
        seeds: numbers along the third axis.
    """

    values: NDArray[np.float64]
    policies: tuple[str, ...]
    datasets: tuple[str, ...]
    seeds: tuple[int, ...]

    def dataset_means(self) -> NDArray[np.float64]:
        """(policies, datasets) float64, mean over seeds."""
        return self.values.mean(axis=2)


def score_array(campaigns: pd.DataFrame, column: str = "aulc") -> Scores:
    """Arrange one column of `campaign_table` by policy, dataset and seed; every combination must be there once."""
    dataset, datasets = _codes(campaigns["dataset"], by_name=True)
    policy, policies = _codes(campaigns["policy"], by_name=False)
    seed, seeds = pd.factorize(campaigns["seed"].to_numpy(), sort=True)
    values = np.full((len(policies), len(datasets), len(seeds)), np.nan)
    values[policy, dataset, seed] = campaigns[column].to_numpy().astype(np.float64)
    if len(campaigns) != values.size or np.isnan(values).any():
        p, d, s = (int(axis[0]) if len(axis) else 0 for axis in np.nonzero(np.isnan(values)))
        where = f"policy {policies[p]}, dataset {datasets[d]}, seed {seeds[s]}"
        raise ParameterError(
            f"Policies can be compared on equal campaigns only: {len(campaigns)} campaigns for {values.size} "
            f"combinations of policy, dataset and seed; look at {where}."
        )
    return Scores(values, tuple(map(str, policies)), tuple(map(str, datasets)), tuple(int(s) for s in seeds))


def normalised_aulc(scores: Scores, *, random: str = "random", oracle: str = "oracle") -> NDArray[np.float64]:
    """(A - A_random) / (A_oracle - A_random) of the means over seeds.

    Returns:
        (policies, datasets) float64; NaN where the oracle is not above random.
    """
    means = scores.dataset_means()
    low, high = means[_index(scores, random)], means[_index(scores, oracle)]
    room = np.where(high - low > 1e-9, high - low, np.nan)
    return (means - low) / room


def deficiency(scores: Scores, final: Scores, *, reference: str = "random") -> NDArray[np.float64]:
    """Deficiency of each policy against a reference, per dataset (Baram, El-Yaniv & Luz 2004, JMLR 5).

    The area between the reference's final accuracy and the policy's curve, over the same area of the
    reference: 1 is as good as the reference, less is better. Areas are those of the AULC.

    Args:
        scores: AULC.
        final: final accuracy of the same campaigns.
        reference: name of a policy.

    Returns:
        (policies, datasets) float64; NaN where the reference's curve has no area below its end.
    """
    means = scores.dataset_means()
    row = _index(scores, reference)
    top = final.dataset_means()[row]
    area = np.where(top - means[row] > 1e-9, top - means[row], np.nan)
    return (top - means) / area


def _index(scores: Scores, policy: str) -> int:
    if policy not in scores.policies:
        raise ParameterError(f"Policy {policy!r} is not among the results: {', '.join(scores.policies)}.")
    return scores.policies.index(policy)
