"""How many labels a policy needs for a target accuracy, with censoring where it never gets there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from al_gym.errors import ParameterError
from al_gym.evaluation.metrics import Budget, Curves, read_curves

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


def mean_curves(rows: pd.DataFrame, budget: Budget, *, metric: str = "accuracy") -> dict[tuple[str, str], Curve]:
    """Mean learning curve over seeds of every (dataset, policy).

    Curves of single seeds are straight between rounds and flat after their end, and are averaged at equal
    numbers of bought labels (seed sets may differ in size by a class that a pool lacks).

    Returns:
        (dataset, policy) -> labels (knots,) float64, mean seed set plus bought labels, and accuracy (knots,) float64.
    """
    curves = read_curves(rows, budget, metric=metric)
    groups: dict[tuple[str, str], list[int]] = {}
    for i, key in enumerate(zip(curves.keys["dataset"], curves.keys["policy"], strict=True)):
        groups.setdefault(key, []).append(i)
    return {key: _mean_curve(curves, np.array(members)) for key, members in groups.items()}


def _mean_curve(curves: Curves, members: NDArray[np.int64]) -> Curve:
    parts = [slice(curves.start[i], curves.stop[i]) for i in members]
    knots = np.unique(np.concatenate([*(curves.spent[part] for part in parts), curves.budget[members]]))
    accuracy = np.mean([np.interp(knots, curves.spent[part], curves.accuracy[part]) for part in parts], axis=0)
    return curves.initial[members].mean() + knots, accuracy


def labels_to_target(curve: Curve, target: float) -> tuple[float, bool]:
    """Labels at which a curve first reaches `target`, and whether it is censored.

    Returns:
        Labels, linear between knots and seed set included, and False; or the last knot and True when the
        curve never gets there: then the true number is larger.
    """
    labels, accuracy = curve
    reached = np.flatnonzero(accuracy >= target - 1e-12)
    if not len(reached):
        return float(labels[-1]), True
    i = int(reached[0])
    if i == 0 or accuracy[i] <= target:
        return float(labels[i]), False
    share = (target - accuracy[i - 1]) / (accuracy[i] - accuracy[i - 1])
    return float(labels[i - 1] + share * (labels[i] - labels[i - 1])), False


def label_savings(
    rows: pd.DataFrame,
    budget: Budget,
    *,
    reference: str = "margin",
    targets: Mapping[str, float] | None = None,
    metric: str = "accuracy",
) -> pd.DataFrame:
    """Labels that each policy saves against a reference policy at a target accuracy, per dataset.

    Args:
        rows: the columns of results.csv.
        budget: labels bought after the seed set.
        reference: policy whose labels are saved.
        targets: accuracy to reach on each dataset, e.g. 95 % of the accuracy with the full pool labelled;
            the reference's own final mean accuracy if None.
        metric: one of `METRICS`.

    Returns:
        Columns dataset, policy, target, labels, reference_labels, saving, censored, reference_censored. `saving` is
        1 - labels / reference_labels. Where `censored` it is an upper bound (the policy needs more than all its
        labels), where `reference_censored` alone a lower one, and NaN where both never got there.
    """
    curves = mean_curves(rows, budget, metric=metric)
    datasets = list(dict.fromkeys(dataset for dataset, _ in curves))
    goals = {name: _goal(curves, name, reference, targets) for name in datasets}
    records = []
    for (dataset, policy), curve in curves.items():
        labels, censored = labels_to_target(curve, goals[dataset])
        base, base_censored = labels_to_target(curves[dataset, reference], goals[dataset])
        saving = np.nan if censored and base_censored else 1 - labels / base
        records.append((dataset, policy, goals[dataset], labels, base, saving, censored, base_censored))
    columns = ["dataset", "policy", "target", "labels", "reference_labels", "saving", "censored", "reference_censored"]
    return pd.DataFrame.from_records(records, columns=columns)


def _goal(
    curves: Mapping[tuple[str, str], Curve], dataset: str, reference: str, targets: Mapping[str, float] | None
) -> float:
    if (dataset, reference) not in curves:
        raise ParameterError(
            f"Label savings need the reference policy {reference!r} on dataset {dataset!r}; evaluate it too."
        )
    if targets is None:
        return float(curves[dataset, reference][1][-1])
    if dataset not in targets:
        raise ParameterError(f"No target accuracy given for dataset {dataset!r}.")
    return float(targets[dataset])


def savings_by_policy(savings: pd.DataFrame) -> dict[str, dict[str, float | int | None]]:
    """Summary of `label_savings` over datasets.

    Returns:
        policy -> `median` (a censored dataset counts as the worst: exact while fewer than half are censored, else
        None), `mean_upper_bound` (over all datasets, a censored one at its bound), `mean_uncensored` (over the
        others), `censored` and `datasets` (counts). None where nothing is defined.
    """
    summary: dict[str, dict[str, float | int | None]] = {}
    for policy, part in savings.groupby("policy", sort=False, observed=True):
        known = part[~part["reference_censored"]]
        values, censored = known["saving"].to_numpy().astype(np.float64), known["censored"].to_numpy().astype(bool)
        ranked = np.where(censored, -np.inf, values)
        middle = float(np.median(ranked)) if len(ranked) else np.nan
        summary[str(policy)] = {
            "median": middle if np.isfinite(middle) else None,
            "mean_upper_bound": float(values.mean()) if len(values) else None,
            "mean_uncensored": float(values[~censored].mean()) if (~censored).any() else None,
            "censored": int(censored.sum()),
            "datasets": len(known),
        }
    return summary
