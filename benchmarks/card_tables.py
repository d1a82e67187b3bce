"""The tables of the model card, as Markdown, from the raw numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from card_data import Regime
from numpy.typing import NDArray
from page_tables import of, points, table, versus

from al_gym.evaluation import statistics as st
from al_gym.evaluation.metrics import Scores
from al_gym.evaluation.savings import savings_by_policy
from al_gym.evaluation.summary import oracle_of_fixed

#: Strategies that a library release ships: the first row of the targets.
LIBRARY = (
    "random", "least-confidence", "margin", "entropy", "kcenter", "badge", "margin-kcenter", "maxherding", "typiclust",
    "probcover", "cluster-margin", "bait", "ranked-batch", "diverse-mini-batch", "information-density", "power-margin",
    "bald", "egl",
)  # fmt: skip
SWITCHING = ("exp4p", "thompson", "ucb", "random-strategy")
SHUFFLED = "shuffled"
Floats = NDArray[np.float64]


def members(regime: Regime, kinds: Sequence[str]) -> list[str]:
    """Policies of the regime that are one of `kinds`, with or without parameters, whatever they are called."""
    return [name for name in regime.policies if regime.facts["kinds"].get(name) in kinds]


def best(scores: Scores, names: Sequence[str]) -> str | None:
    """The one of the highest mean."""
    means = dict(zip(scores.policies, scores.values.mean(axis=(1, 2)), strict=True))
    return max(names, key=lambda name: means[name]) if names else None


def column_of(regime: Regime) -> str:
    """What a regime is judged by: utility under a round cost, else the area under the learning curve."""
    return "utility" if regime.facts["round_cost"] else "aulc"


def held_out(regime: Regime) -> str:
    """Every policy of one regime, best first, with what the card's policy is ahead by."""
    scores, card = regime.scores(column_of(regime)), regime.facts["card"]
    own = of(scores, card)
    order = sorted(regime.policies, key=lambda name: -of(scores, name).mean())
    others = [name for name in order if name != card]
    p_values = st.holm([st.wilcoxon_p(own.mean(axis=1), of(scores, name).mean(axis=1)) for name in others])
    tested = dict(zip(others, p_values, strict=True))
    rows = []
    for name in order:
        mark = " (reads hidden labels)" if name in regime.facts["privileged"] else ""
        mean = points(float(of(scores, name).mean()))
        if name == card:
            rows.append([f"**`{name}`**", f"**{mean}**", "", "", "", ""])
            continue
        p = tested[name]
        rows.append([f"`{name}`{mark}", mean, *versus(own, of(scores, name)), "-" if p is None else f"{p:.2g}"])
    rows += _hindsight(regime, scores, own)
    what = "utility" if column_of(regime) == "utility" else "AULC"
    heads = ["policy", what, f"`{card}` ahead by", "95 %", "win / tie / loss", "p (Holm)"]
    return f"{describe(regime)}\n\n{table(heads, rows)}"


def _hindsight(regime: Regime, scores: Scores, own: Floats) -> list[list[str]]:
    fixed = members(regime, LIBRARY)
    if not fixed:
        return []
    values = oracle_of_fixed(scores, fixed)
    return [
        ["*best library strategy per dataset, in hindsight*", points(float(values.mean())), *versus(own, values), ""]
    ]


def describe(regime: Regime) -> str:
    """One line: what was run."""
    a, facts = regime.facts["arguments"], regime.facts
    parts = [
        f"{a['rounds']} rounds of {a['batch_size']} labels",
        f"pool {a['pool_size']}",
        f"{facts['datasets']} datasets, {facts['seeds']} seeds",
        facts["metric"].replace("-", " "),
    ]
    if a.get("label_noise"):
        parts.append(f"{100 * a['label_noise']:g} % of the labels wrong")
    if facts["round_cost"]:
        parts.append(f"utility at a cost of {100 * facts['round_cost']:g} points a round")
    over = st.interval_kind(int(facts["datasets"]))
    return f"**{regime.name}**: {', '.join(parts)}; points, intervals over {over}."


def regimes(all_regimes: Sequence[Regime]) -> str:
    """One row a regime: against the best library strategy, the best UHerding, switch, and the best other switcher."""
    rows = []
    for regime in all_regimes:
        scores = regime.scores(column_of(regime))
        own = of(scores, regime.facts["card"])
        row = [regime.name, points(float(own.mean()))]
        for kinds in (LIBRARY, ("uherding",), ("switch",), SWITCHING):
            rival = best(scores, members(regime, kinds))
            if rival is None:
                row.append("-")
                continue
            difference, interval, _ = versus(own, of(scores, rival))
            row.append(f"{difference} ({interval}) `{rival}`")
        rows.append(row)
    heads = ["regime", "score", "best library strategy", "best UHerding", "`switch`", "best bandit or random switching"]
    return table(heads, rows)


def targets(regime: Regime) -> str:
    """The targets of the project on the main regime, and whether they are met."""
    scores = regime.scores()
    own = of(scores, regime.facts["card"])
    rows = []
    wanted = [
        ("best library strategy, in hindsight", best(scores, members(regime, LIBRARY)), 0.012, 0.85),
        ("UHerding, whichever parameters are best", best(scores, members(regime, ("uherding",))), 0.003, None),
        ("`switch`", best(scores, members(regime, ("switch",))), 0.006, None),
        *((f"`{kind}`", best(scores, members(regime, (kind,))), 0.006, None) for kind in SWITCHING),
    ]
    for title, rival, least, wins in wanted:
        if rival is None:
            rows.append([title, "-", f">= {points(least, True)}", "not evaluated", ""])
            continue
        rows.append([title, f"`{rival}`", *_verdict(own, of(scores, rival), least, wins)])
    if members(regime, LIBRARY):
        values = oracle_of_fixed(scores, members(regime, LIBRARY))
        rows.append(["library strategies, best per dataset", "(hindsight)", *_verdict(own, values, 0.0, None)])
    rows += _savings_target(regime)
    return table(["against", "which", "target", "found", "met"], rows)


def _savings_target(regime: Regime) -> list[list[str]]:
    """Labels saved: judged by the median over datasets, in which a censored dataset counts as the worst."""
    if regime.savings.empty:
        return []
    entry = savings_by_policy(regime.savings)[regime.facts["card"]]
    median, mean = entry["median"], entry["mean_upper_bound"]
    shown = "-" if median is None else f"{100 * median:.0f} %"
    most = "-" if mean is None else f"{100 * mean:.0f} %"
    found = f"median {shown}, mean at most {most}, {entry['censored']} of {entry['datasets']} censored"
    met = "yes" if median is not None and median >= 0.2 else "**no**"
    return [["labels for margin's final accuracy", "`margin`", ">= 20 % fewer (median)", found, met]]


def _verdict(own: Floats, rival: Floats, least: float, wins: float | None) -> tuple[str, str, str]:
    difference, interval = st.paired_difference(own, rival)
    text, spread, _ = versus(own, rival)
    share = float((own.mean(axis=1) - rival.mean(axis=1) >= st.TIE).mean())
    met = difference >= least and (least == 0 or (interval is not None and interval[0] > 0))
    met = met and (wins is None or share >= wins)
    target = f">= {points(least, True)}" + ("" if wins is None else f", ahead on {100 * wins:.0f} %")
    found = f"{text} ({spread})" + ("" if wins is None else f", ahead on {100 * share:.0f} %")
    return target, found, "yes" if met else "**no**"


def domains(regime: Regime, groups: pd.DataFrame) -> str:
    """Per group of datasets: ahead of the best library strategy and of the best UHerding, chosen over all datasets."""
    scores = regime.scores(column_of(regime))
    own, rows = of(scores, regime.facts["card"]), []
    rivals = [best(scores, members(regime, kinds)) for kinds in (LIBRARY, ("uherding",))]
    absent = sorted(set(scores.datasets) - set(groups.index))
    if absent:
        raise SystemExit(f"the manifest has no row for the dataset {absent[0]!r}.")
    for column in groups.columns:
        labels = groups.loc[list(scores.datasets), column].to_numpy()
        for label in dict.fromkeys(sorted(labels)):
            here = labels == label
            row = [label, str(int(here.sum())), points(float(own[here].mean()))]
            for rival in rivals:
                if rival is None:
                    row += ["-", "-"]
                    continue
                difference, interval, wins = versus(own[here], of(scores, rival)[here])
                row += [f"{difference} ({interval})", wins]
            rows.append(row)
    names = [f"ahead of `{rival}`" if rival else "-" for rival in rivals]
    heads = ["datasets", "number", "score", names[0], "win / tie / loss", names[1], "win / tie / loss"]
    return table(heads, rows)


def losses(regime: Regime) -> str:
    """The datasets on which the best library strategy or the best UHerding is ahead, the worst first."""
    scores = regime.scores(column_of(regime))
    card = regime.facts["card"]
    own, rows = of(scores, card), []
    rivals = [best(scores, members(regime, kinds)) for kinds in (LIBRARY, ("uherding",))]
    gaps = {name: of(scores, name) - own for name in rivals if name is not None}
    for number, dataset in enumerate(scores.datasets):
        row = {name: gap[number] for name, gap in gaps.items()}
        if any(gap.mean() >= st.TIE for gap in row.values()):
            worst = max(float(gap.mean()) for gap in row.values())
            cells = [f"{points(-gap.mean(), True)} +- {_half_width(gap)}" for gap in row.values()]
            rows.append((worst, [dataset, points(float(own[number].mean())), *cells]))
    behind = [cells for _, cells in sorted(rows, key=lambda item: -item[0])]
    text = f"Behind on {len(behind)} of {len(scores.datasets)} datasets (half-widths: 95 % over seeds).\n\n"
    return text + table(["dataset", "score", *(f"against `{name}`" for name in gaps)], behind)


def _half_width(gap: Floats) -> str:
    """1.96 standard errors over seeds, in points."""
    return f"{196 * gap.std(ddof=1) / np.sqrt(len(gap)):.2f}" if len(gap) > 1 else "?"


def shuffled(all_regimes: Sequence[Regime]) -> str:
    """What shuffling its observations costs, and what is left of the lead over the best UHerding."""
    rows = []
    for regime in all_regimes:
        if SHUFFLED not in regime.policies:
            continue
        scores = regime.scores(column_of(regime))
        own, blind = of(scores, regime.facts["card"]), of(scores, SHUFFLED)
        rival = best(scores, members(regime, ("uherding",)))
        row = [regime.name, points(float(own.mean())), points(float(blind.mean()))]
        difference, interval, wins = versus(own, blind)
        row += [f"{difference} ({interval})", wins]
        for values in (own, blind):
            row.append("-" if rival is None else "{} ({})".format(*versus(values, of(scores, rival))[:2]))
        rows.append(row)
    if not rows:
        return "Not evaluated: run `python benchmarks/shuffle_ablation.py OUT` for a regime.\n"
    heads = [
        "regime",
        "score",
        "shuffled",
        "cost of shuffling",
        "win / tie / loss",
        "over UHerding",
        "shuffled, over UHerding",
    ]
    return table(heads, rows)


def savings(regime: Regime) -> str:
    """Labels saved against margin at its own final accuracy, on the mean curve of each dataset."""
    if regime.savings.empty:
        return "Not evaluated: `margin` is not among the policies.\n"
    rows = []
    for name, entry in savings_by_policy(regime.savings).items():
        if name == "margin":
            continue
        cells = [
            "-" if entry[key] is None else f"{100 * float(entry[key]):.0f} %"  # type: ignore[arg-type]
            for key in ("median", "mean_upper_bound", "mean_uncensored")
        ]
        rows.append(
            (
                -(entry["median"] if entry["median"] is not None else -9),
                [f"`{name}`", *cells, f"{entry['censored']} of {entry['datasets']}"],
            )
        )
    heads = ["policy", "median", "mean, at most", "mean where it got there", "never got there (censored)"]
    return table(heads, [cells for _, cells in sorted(rows, key=lambda item: item[0])])
