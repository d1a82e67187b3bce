"""Tables of a summary for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from al_gym.errors import ParameterError

PRIVILEGED = " (reads hidden labels)"


def summary_table(summary: Mapping[str, Any], *, title: str = "Held-out evaluation") -> Table:
    """Policies by mean AULC, best first (by utility under a round cost); privileged ones are marked."""
    policies = summary["policies"]
    utility = all("utility" in entry for entry in policies.values())
    best = summary["best_fixed_utility" if utility else "best_fixed"]
    heads = [*(["utility", "95 %"] if utility else []), "AULC", "95 %", "final", "mean rank"]
    table = _table(title, ["policy", *heads], summary)
    for name in sorted(policies, key=lambda n: -policies[n]["utility" if utility else "aulc"]):
        entry = policies[name]
        cells = [_points(entry["aulc"]), _interval(entry["aulc_ci95"]), _points(entry["final_accuracy"])]
        if utility:
            cells = [_points(entry["utility"]), _interval(entry["utility_ci95"]), *cells]
        marks = PRIVILEGED if entry["privileged"] else " (best fixed)" if name == best else ""
        table.add_row(Text(name + marks), *cells, f"{entry['mean_rank']:.2f}")
    if summary["oracle_of_fixed_aulc"] is not None:
        cells = [_points(summary["oracle_of_fixed_utility"]), ""] if utility else []
        cells += [_points(summary["oracle_of_fixed_aulc"]), "", "", ""]
        table.add_row(Text("best fixed per dataset, in hindsight", style="dim"), *cells)
    return table


def paired_table(summary: Mapping[str, Any], policy: str) -> Table:
    """One policy against every other one: paired difference of AULC (of utility too under a round cost)."""
    if policy not in summary["paired"]:
        raise ParameterError(f"Policy {policy!r} is not in the summary: {', '.join(summary['paired'])}.")
    row = summary["paired"][policy]
    utility = any("utility" in entry for entry in row.values())
    extra = ["utility difference", "95 %"] if utility else []
    heads = ["against", "difference", "95 %", "p (Holm)", "win/tie/loss", *extra]
    table = _table(f"{policy} against the others", heads, summary)
    for name in sorted(row, key=lambda n: row[n]["difference"]):
        entry = row[name]
        mark = PRIVILEGED if summary["policies"][name]["privileged"] else ""
        p = "-" if entry["p_holm"] is None else f"{entry['p_holm']:.2g}"
        record = f"{entry['win']}/{entry['tie']}/{entry['loss']}"
        cells = [_points(entry["difference"], sign=True), _interval(entry["ci95"], sign=True), p, record]
        if utility:
            cells += [
                _points(entry["utility"]["difference"], sign=True),
                _interval(entry["utility"]["ci95"], sign=True),
            ]
        table.add_row(Text(name + mark), *cells)
    return table


def group_table(summary: Mapping[str, Any], grouping: str) -> Table:
    """Mean AULC of every policy per group of datasets."""
    if grouping not in summary.get("groups", {}):
        known = ", ".join(summary.get("groups", {})) or "none"
        raise ParameterError(f"The summary has no grouping {grouping!r}; it has: {known}.")
    groups = summary["groups"][grouping]
    table = _table(f"AULC by {grouping}", ["policy", *(f"{g} ({v['datasets']})" for g, v in groups.items())], summary)
    for name, entry in summary["policies"].items():
        mark = PRIVILEGED if entry["privileged"] else ""
        table.add_row(Text(name + mark), *(_points(value["aulc"][name]) for value in groups.values()))
    return table


def savings_table(summary: Mapping[str, Any]) -> Table:
    """Labels saved against the reference policy at its own final accuracy, with the censored datasets."""
    if "label_savings" not in summary:
        raise ParameterError("The summary has no label savings; call add_label_savings on it first.")
    savings = summary["label_savings"]
    heads = ["policy", "median saving", "mean, at most", "never got there"]
    table = _table(f"Labels saved against {savings['reference']}", heads, summary)
    for name, entry in savings["policies"].items():
        mark = PRIVILEGED if summary["policies"][name]["privileged"] else ""
        shares = [
            "-" if value is None else f"{100 * value:.0f} %" for value in (entry["median"], entry["mean_upper_bound"])
        ]
        table.add_row(Text(name + mark), *shares, f"{entry['censored']} of {entry['datasets']}")
    return table


def _table(title: str, heads: Sequence[str], summary: Mapping[str, Any]) -> Table:
    counts = f"{summary['datasets']} datasets, {summary['seeds']} seeds"
    over = summary["intervals_over"]
    table = Table(title=title, caption=f"{counts}; {summary['metric']} in points; intervals over {over}")
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i == 0 else "right", overflow="fold")
    return table


def _points(value: float, *, sign: bool = False) -> str:
    return f"{100 * value:+.2f}" if sign else f"{100 * value:.2f}"


def _interval(interval: Sequence[float] | None, *, sign: bool = False) -> str:
    return "-" if interval is None else f"{_points(interval[0], sign=sign)} .. {_points(interval[1], sign=sign)}"
