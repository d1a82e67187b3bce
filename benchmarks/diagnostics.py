"""What strategies and policies do on tasks with a known right answer: raw numbers, table and picture.

    python benchmarks/diagnostics.py              # evaluate, then write everything; about two minutes
    python benchmarks/diagnostics.py --redraw     # page and picture from the raw numbers alone

Writes benchmarks/results/diagnostics.csv (one row a campaign), docs/diagnostics.md and docs/images/diagnostics.png.
Run it again when the shipped policy changes.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import al_gym  # noqa: E402
from al_gym.evaluation.metrics import campaign_table, score_array  # noqa: E402
from al_gym.evaluation.statistics import paired_difference  # noqa: E402
from al_gym.tasks.diagnostic import DIAGNOSES, Diagnosis  # noqa: E402
from al_gym.tasks.suites.diagnostics import VARIANTS  # noqa: E402

RAW = ROOT / "benchmarks" / "results" / "diagnostics.csv"
PAGE = ROOT / "docs" / "diagnostics.md"
PICTURE = ROOT / "docs" / "images" / "diagnostics.png"

POLICIES = (
    "shipped", "switch", "exp4p", "imitation", "lal", "selectal", "uherding", "maxherding", "typiclust", "probcover",
    "kcenter", "margin-kcenter", "badge", "cluster-margin", "margin", "entropy", "random",
)  # fmt: skip
SEEDS, ROUNDS, POOL = 20, 20, 300

INTRODUCTION = """# Tasks with a known right answer

Real datasets say which strategy is better on average, and rarely why. The suite `diagnostics` holds five traps,
{variants} made-up datasets each, on which it is known beforehand what has to be done. `al_gym/tasks/diagnostic.py`
draws them.

{traps}
## What each policy does

Mean area under the learning curve in points, over {variants} datasets and {seeds} seeds each ({rounds} rounds of 5
labels, pool {pool}; `rare-class` by balanced accuracy). **Bold**: a right answer by the descriptions above;
*italic*: a strategy that should fall for the trap. In brackets the paired difference to `margin`; the picture
has its 95 % interval over seeds.

"""


def traps() -> str:
    """One section a trap: its docstring."""
    parts = []
    for diagnosis in DIAGNOSES:
        head, _, rest = (inspect.getdoc(diagnosis.draw) or "").partition("\n\n")
        parts.append(f"### {diagnosis.name}\n\n{head}\n\n{rest}\n\n")
    return "".join(parts)


def run(seeds: int, jobs: int) -> pd.DataFrame:
    """One row a campaign: trap, dataset, seed, policy, aulc."""
    parts = []
    for diagnosis in DIAGNOSES:
        result = al_gym.evaluate(
            POLICIES,
            tasks="diagnostics",
            datasets=[f"{diagnosis.name}-{number}" for number in range(VARIANTS)],
            seeds=seeds,
            rounds=ROUNDS,
            pool_size=POOL,
            metric=diagnosis.metric,
            jobs=jobs,
            progress=True,
        )
        table = campaign_table(result.results, result.summary["budgets"], metric=diagnosis.metric)
        parts.append(table.assign(trap=diagnosis.name)[["trap", "dataset", "seed", "policy", "aulc"]])
    return pd.concat(parts).round({"aulc": 6})


def differences(raw: pd.DataFrame, diagnosis: Diagnosis) -> pd.DataFrame:
    """Policy -> aulc, difference to margin, and its interval, in points."""
    scores = score_array(raw[raw["trap"] == diagnosis.name])
    base = scores.values[scores.policies.index("margin")]
    rows = []
    for name, values in zip(scores.policies, scores.values, strict=True):
        difference, interval = paired_difference(values, base, over="seeds")
        low, high = interval or (difference, difference)
        rows.append((name, 100 * values.mean(), 100 * difference, 100 * low, 100 * high))
    return pd.DataFrame(rows, columns=["policy", "aulc", "difference", "low", "high"]).set_index("policy")


def page(raw: pd.DataFrame) -> str:
    """The page, from the raw numbers."""
    tables = {d.name: differences(raw, d) for d in DIAGNOSES}
    names = [name for name in POLICIES if name in set(raw["policy"])]
    lines = ["| policy | " + " | ".join(d.name for d in DIAGNOSES) + " |", "| --- |" + " ---: |" * len(DIAGNOSES)]
    for name in names:
        cells = []
        for d in DIAGNOSES:
            row = tables[d.name].loc[name]
            mark = "**" if name in d.right else "*" if name in d.wrong else ""
            cells.append(f"{mark}{row['aulc']:.1f}{mark} ({row['difference']:+.1f})")
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    ranks = {d.name: tables[d.name]["aulc"].rank(ascending=False).astype(int) for d in DIAGNOSES}
    found = ", ".join(f"{ranks[d.name]['shipped']} on {d.name}" for d in DIAGNOSES)
    behind = [d.name for d in DIAGNOSES if tables[d.name].loc["shipped", "high"] < 0]
    text = INTRODUCTION.format(variants=VARIANTS, traps=traps(), seeds=raw["seed"].nunique(), rounds=ROUNDS, pool=POOL)
    text += "\n".join(lines)
    text += f"\n\nRank of `shipped` among these {len(names)}: {found}. "
    text += f"It is behind `margin` (interval below 0) on {', '.join(behind)}.\n" if behind else (
        "It is nowhere behind `margin` by an interval below 0.\n"
    )  # fmt: skip
    text += "\n![Difference to margin in points, one panel a trap](images/diagnostics.png)\n"
    text += "\nThe numbers, the table and the picture come from `python benchmarks/diagnostics.py`; raw rows:"
    return text + " `benchmarks/results/diagnostics.csv`.\n"


def draw(raw: pd.DataFrame, path: Path) -> None:
    """One panel a trap: paired difference to margin with its interval; right answers in green, wrong ones in red."""
    names = [name for name in POLICIES if name in set(raw["policy"]) and name != "margin"][::-1]
    figure, panels = plt.subplots(1, len(DIAGNOSES), figsize=(13, 4.6), sharey=True, layout="constrained")
    for axes, diagnosis in zip(panels, DIAGNOSES, strict=True):
        table = differences(raw, diagnosis).loc[names]
        colours = [
            "tab:green" if n in diagnosis.right else "tab:red" if n in diagnosis.wrong else "tab:gray" for n in names
        ]
        spread = np.abs(table[["low", "high"]].to_numpy().T - table["difference"].to_numpy())
        axes.barh(names, table["difference"], xerr=spread, color=colours, alpha=0.8, error_kw={"linewidth": 1})
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_title(diagnosis.name, fontsize=10)
        axes.set_xlabel("points over margin", fontsize=9)
        axes.grid(axis="x", alpha=0.3)
    for label in panels[0].get_yticklabels():
        if label.get_text() == "shipped":
            label.set_fontweight("bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Evaluate unless --redraw, then write page and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redraw", action="store_true", help="from the raw numbers alone")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"campaigns a dataset and policy ({SEEDS})")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes (1)")
    arguments = parser.parse_args()
    if not arguments.redraw:
        run(arguments.seeds, arguments.jobs).to_csv(RAW, index=False)
    raw = pd.read_csv(RAW)
    PAGE.write_text(page(raw), encoding="utf-8")
    draw(raw, PICTURE)
    print(f"wrote {PAGE} and {PICTURE}")


if __name__ == "__main__":
    main()
