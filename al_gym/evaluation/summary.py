"""summary.json: what an evaluation found, with intervals, from the rows of results.csv."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from al_gym.errors import ParameterError
from al_gym.evaluation import statistics as st
from al_gym.evaluation.metrics import Budget, Scores, campaign_table, score_array
from al_gym.evaluation.savings import label_savings, savings_by_policy

PACKAGES = ("al-gym", "gymnasium", "numpy", "pandas", "scikit-learn", "scipy", "stable-baselines3", "torch")


@dataclass(frozen=True)
class RunFacts:
    """What a summary repeats of the run itself.

    Attributes:
        scaling: dataset -> how it was scaled.
        skipped: file -> why it could not be used.
        exhausted: datasets whose pool ran out before the budget.
        arguments: of the evaluation, JSON-able.
    """

    scaling: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    exhausted: Sequence[str] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)


def build_summary(
    rows: pd.DataFrame,
    budget: Budget,
    *,
    fixed: Collection[str],
    privileged: Collection[str] = (),
    run: RunFacts | None = None,
    metric: str = "accuracy",
    round_cost: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Summarise an evaluation in the format of summary.json.

    Args:
        rows: the rows of results.csv.
        budget: labels bought after the seed set, one number or one a dataset.
        fixed: names of the policies that are fixed strategies.
        privileged: names of the policies that read hidden labels.
        run: repeated in the summary.
        metric: what is summarised, one of `METRICS`.
        round_cost: price of one round; if not 0, `utility` stands beside `aulc`.
        seed: of the bootstrap.

    Returns:
        A JSON-able dictionary. `intervals_over` says what the intervals resample. Where a number does not exist it is
        None: intervals with one seed on few datasets, tests on one dataset.
    """
    campaigns = campaign_table(rows, budget, metric=metric, round_cost=round_cost)
    aulc, final = score_array(campaigns, "aulc"), score_array(campaigns, "final_accuracy")
    _check_names(aulc.policies, (*fixed, *privileged))
    over = st.interval_kind(len(aulc.datasets))
    summary = {
        "policies": _policies(aulc, final, privileged, over, seed),
        "paired": _paired(aulc, over, seed),
        **_fixed(aulc, fixed),
        **_design(aulc, budget, metric, over),
        **_facts(run or RunFacts()),
    }
    if round_cost:
        _add_utility(summary, score_array(campaigns, "utility"), fixed, over, seed)
    return summary


def _facts(run: RunFacts) -> dict[str, Any]:
    return {
        "scaling": dict(run.scaling),
        "skipped": dict(run.skipped),
        "exhausted": sorted(run.exhausted),
        "versions": package_versions(),
        "arguments": dict(run.arguments),
    }


def _design(scores: Scores, budget: Budget, metric: str, over: st.Over) -> dict[str, Any]:
    means = scores.dataset_means()
    test = st.friedman(means)
    return {
        "datasets": len(scores.datasets),
        "seeds": len(scores.seeds),
        "intervals_over": over,
        "metric": metric,
        "budgets": budgets_by_dataset(scores.datasets, budget),
        "friedman": None if test is None else {"chi2": test[0], "p": test[1]},
        "critical_difference": st.nemenyi_critical_difference(*means.shape),
    }


def add_groups(
    summary: dict[str, Any], rows: pd.DataFrame, budget: Budget, groups: Mapping[str, Mapping[str, str]]
) -> None:
    """Add mean AULC per group of datasets as `groups`; `groups` is grouping (say "modality") -> dataset -> group."""
    scores = score_array(campaign_table(rows, budget, metric=summary["metric"]))
    summary["groups"] = {name: group_means(scores, mapping) for name, mapping in groups.items()}


def add_label_savings(summary: dict[str, Any], rows: pd.DataFrame, budget: Budget, reference: str = "margin") -> None:
    """Add the labels saved against `reference`, at its own final mean accuracy, as `label_savings`."""
    savings = label_savings(rows, budget, reference=reference, metric=summary["metric"])
    summary["label_savings"] = {"reference": reference, "policies": savings_by_policy(savings)}


def _check_names(policies: Sequence[str], named: Sequence[str]) -> None:
    for name in named:
        if name not in policies:
            raise ParameterError(f"Policy {name!r} is not among the results: {', '.join(policies)}.")


def _intervals(scores: Scores, over: st.Over, seed: int) -> list[list[float] | None]:
    if not st.has_replication(len(scores.datasets), len(scores.seeds), over):
        return [None] * len(scores.policies)
    samples = st.bootstrap_means(scores.values, over=over, seed=seed)
    return [list(st.percentile_interval(samples[:, p])) for p in range(len(scores.policies))]


def _policies(
    aulc: Scores, final: Scores, privileged: Collection[str], over: st.Over, seed: int
) -> dict[str, dict[str, Any]]:
    ranks = st.mean_ranks(aulc.dataset_means())
    intervals = _intervals(aulc, over, seed)
    return {
        name: {
            "aulc": float(aulc.values[p].mean()),
            "aulc_ci95": intervals[p],
            "aulc_iqm": st.iqm(aulc.values[p]),
            "final_accuracy": float(final.values[p].mean()),
            "mean_rank": float(ranks[p]),
            "privileged": name in privileged,
        }
        for p, name in enumerate(aulc.policies)
    }


def _paired(scores: Scores, over: st.Over, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Every policy (row) against every other one (column)."""
    means, names = scores.dataset_means(), scores.policies
    n = len(names)
    samples = st.bootstrap_means(scores.values, over=over, seed=seed)
    replicated = st.has_replication(len(scores.datasets), len(scores.seeds), over)
    p_values = {(a, b): st.wilcoxon_p(means[a], means[b]) for a in range(n) for b in range(a + 1, n)}
    paired: dict[str, dict[str, dict[str, Any]]] = {}
    for a in range(n):
        others = [b for b in range(n) if b != a]
        adjusted = st.holm([p_values[min(a, b), max(a, b)] for b in others])
        paired[names[a]] = {}
        for b, p_holm in zip(others, adjusted, strict=True):
            win, tie, loss = st.win_tie_loss(means[a], means[b])
            paired[names[a]][names[b]] = {
                "difference": float((means[a] - means[b]).mean()),
                "ci95": list(st.percentile_interval(samples[:, a] - samples[:, b])) if replicated else None,
                "p_holm": p_holm,
                "win": win,
                "tie": tie,
                "loss": loss,
                "probability_of_improvement": st.probability_of_improvement(scores.values[a], scores.values[b]),
            }
    return paired


def _fixed(scores: Scores, fixed: Collection[str]) -> dict[str, Any]:
    rows = [p for p, name in enumerate(scores.policies) if name in fixed]
    if not rows:
        return {"best_fixed": None, "oracle_of_fixed_aulc": None}
    means = scores.dataset_means()[rows]
    best = rows[int(np.argmax(means.mean(axis=1)))]
    return {"best_fixed": scores.policies[best], "oracle_of_fixed_aulc": float(means.max(axis=0).mean())}


def oracle_of_fixed(scores: Scores, fixed: Collection[str]) -> NDArray[np.float64]:
    """Scores of the fixed strategy that is best on each dataset in hindsight, by its mean over seeds.

    Returns:
        (datasets, seeds) float64.
    """
    rows = [p for p, name in enumerate(scores.policies) if name in fixed]
    if not rows:
        raise ParameterError(f"None of the policies {', '.join(scores.policies)} is a fixed strategy.")
    values = scores.values[rows]
    return values[values.mean(axis=2).argmax(axis=0), np.arange(values.shape[1])]


def _add_utility(summary: dict[str, Any], utility: Scores, fixed: Collection[str], over: st.Over, seed: int) -> None:
    intervals, paired = _intervals(utility, over, seed), _paired(utility, over, seed)
    for p, name in enumerate(utility.policies):
        summary["policies"][name].update(utility=float(utility.values[p].mean()), utility_ci95=intervals[p])
        for other, entry in paired[name].items():
            summary["paired"][name][other]["utility"] = entry
    best = _fixed(utility, fixed)
    summary.update(best_fixed_utility=best["best_fixed"], oracle_of_fixed_utility=best["oracle_of_fixed_aulc"])


def group_means(scores: Scores, group_of: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Mean score per group of datasets: group -> {"datasets": count, "aulc": {policy: mean}}, groups sorted."""
    means = scores.dataset_means()
    absent = [name for name in scores.datasets if name not in group_of]
    if absent:
        raise ParameterError(f"Dataset {absent[0]!r} is in no group.")
    labels = np.array([group_of[name] for name in scores.datasets])
    return {
        str(group): {
            "datasets": int((labels == group).sum()),
            "aulc": {name: float(means[p, labels == group].mean()) for p, name in enumerate(scores.policies)},
        }
        for group in np.unique(labels)
    }


def budgets_by_dataset(datasets: Sequence[str], budget: Budget) -> dict[str, int]:
    """Labels bought after the seed set on each dataset."""
    return {name: int(budget[name] if isinstance(budget, Mapping) else budget) for name in datasets}


def package_versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Version of Python and of each package; a package that is not installed is left out."""
    versions = {"python": platform.python_version()}
    installed = {
        distribution.name.lower().replace("_", "-"): distribution.version for distribution in metadata.distributions()
    }
    return versions | {name: installed[name] for name in packages if name in installed}
