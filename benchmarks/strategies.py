"""Run every registered strategy on 20 datasets, beside random on the same splits, and fill docs/strategy-comparison.md.

    python benchmarks/strategies.py               # everything that is missing; goes on where a stopped run ended
    python benchmarks/strategies.py --only margin --again
    python benchmarks/strategies.py --redraw      # the page from the raw files alone

The datasets are every fourth of the test part of the suite `default` (16) and the four bundled ones; 20 rounds of 5
labels, at most 40 % of the pool, 5 seeds (3 for the strategies of `SLOW`); everything by its defaults. Raw files in
benchmarks/results/strategies/: `campaigns.csv.gz`, one row a campaign, and `costs.csv`, one row a strategy and judge,
with the CPU seconds of whole campaigns (fits and tests included) in one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from page_tables import Floats, fill, points, table  # noqa: E402

import al_gym  # noqa: E402
from al_gym.evaluation.metrics import campaign_table  # noqa: E402
from al_gym.evaluation.statistics import paired_difference  # noqa: E402
from al_gym.tasks.load import load_tasks  # noqa: E402

RAW = ROOT / "benchmarks" / "results" / "strategies"
PAGE = ROOT / "docs" / "strategy-comparison.md"
JUDGES = {"synthetic": "default", "bundled": "bundled"}
SEEDS, SLOW_SEEDS = 5, 3
SLOW = ("bait", "batchbald")
BEHIND = 0.05  # a strategy farther behind random than this has to say why
SHARE = 0.4  # of the pool that the budget may be


def datasets(judge: str) -> list[str]:
    """Names of the datasets of one judge: every fourth synthetic one, all of the bundled."""
    names = load_tasks(JUDGES[judge], "test").names
    return list(names[::4] if judge == "synthetic" else names)


def seeds_of(strategy: str) -> int:
    """Campaigns a dataset."""
    return SLOW_SEEDS if strategy in SLOW else SEEDS


def run(strategy: str, judge: str) -> tuple[pd.DataFrame, dict[str, object]]:
    """One row a campaign, and what they cost."""
    arguments: dict[str, Any] = {"tasks": JUDGES[judge], "split": "test", "max_budget_share": SHARE, "jobs": 1}
    chosen = datasets(judge)
    al_gym.evaluate([strategy], datasets=chosen[:1], seeds=1, rounds=2, **arguments)  # compiles
    start = time.process_time()
    rows = al_gym.evaluate([strategy], datasets=chosen, seeds=seeds_of(strategy), **arguments).results
    seconds = time.process_time() - start
    spent = rows["n_labelled"] - rows.groupby(["dataset", "seed"])["n_labelled"].transform("min")
    budget = {str(name): int(labels) for name, labels in spent.groupby(rows["dataset"]).max().items()}
    campaigns = campaign_table(rows, budget)
    campaigns = campaigns.rename(columns={"policy": "strategy"}).assign(judge=judge)
    cost = {"strategy": strategy, "judge": judge, "rounds": int(campaigns["rounds"].sum()), "cpu_seconds": seconds}
    return campaigns[["judge", "dataset", "seed", "strategy", "aulc", "final_accuracy", "rounds"]], cost


def read() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Campaigns and costs, as far as they are there."""
    files = [RAW / "campaigns.csv.gz", RAW / "costs.csv"]
    return tuple(pd.read_csv(f) if f.exists() else pd.DataFrame(columns=["strategy", "judge"]) for f in files)  # type: ignore[return-value]


def keep(strategy: str, judge: str, found: pd.DataFrame, cost: dict[str, object]) -> None:
    """Write the rows of one strategy and judge, in place of older ones."""
    RAW.mkdir(parents=True, exist_ok=True)
    news = (found.round(6), pd.DataFrame([cost]).round(3))
    for name, old, new in zip(("campaigns.csv.gz", "costs.csv"), read(), news, strict=True):
        rest = old[(old["strategy"] != strategy) | (old["judge"] != judge)]
        merged = pd.concat([rest, new]) if len(rest) else new
        order = [column for column in ("strategy", "judge", "dataset", "seed") if column in merged]
        target = RAW / name
        part = target.with_name(f".{name}")
        method = {"method": "gzip", "mtime": 0} if name.endswith(".gz") else None
        merged.sort_values(order).to_csv(part, index=False, compression=method)
        part.replace(target)


def measure(names: list[str], again: bool) -> None:
    """Run what is missing, or everything of `names`."""
    units = [(name, judge) for name in names for judge in JUDGES]
    costs = read()[1]
    done = set() if again else set(zip(costs["strategy"], costs["judge"], strict=True))
    todo = [unit for unit in units if unit not in done]
    for number, (name, judge) in enumerate(todo, 1):
        found, cost = run(name, judge)
        keep(name, judge, found, cost)
        sys.stdout.write(f"{number}/{len(todo)} {name} on {judge}: {cost['cpu_seconds']:.1f} s CPU\n")
        sys.stdout.flush()


def scores(campaigns: pd.DataFrame, strategy: str, judge: str) -> tuple[Floats, Floats, list[str]]:
    """(datasets, seeds) AULC of a strategy and of random in the same campaigns, and the datasets' names."""
    here = campaigns[campaigns["judge"] == judge]
    wide = here.pivot(index=["dataset", "seed"], columns="strategy", values="aulc")[list({strategy, "random"})].dropna()
    names = list(wide.index.unique("dataset"))
    first, second = (wide[name].to_numpy().reshape(len(names), -1) for name in (strategy, "random"))
    return first, second, names


def rows_of_page(campaigns: pd.DataFrame, costs: pd.DataFrame) -> list[list[str]]:
    """The strategies, the best first."""
    order, rows = {}, {}
    spent = costs.groupby("strategy")[["rounds", "cpu_seconds"]].sum()
    for name in campaigns["strategy"].unique():
        own, base, names = scores(campaigns, name, "synthetic")
        difference, interval = paired_difference(own, base)
        order[name] = difference
        gap = (own - base).mean(axis=1)
        low, high = interval or (np.nan, np.nan)
        real, real_base, _ = scores(campaigns, name, "bundled")
        compared = name != "random"
        rows[name] = [
            f"[`{name}`](strategies/{name}.md)",
            str(own.shape[1]),
            points(float(own.mean())),
            f"{points(difference, True)} ({points(low, True)} to {points(high, True)})" if compared else "",
            f"{points(float(gap.min()), True)} ({names[int(gap.argmin())]})" if compared else "",
            points(float((real - real_base).mean()), True) if compared else "",
            f"{spent.loc[name, 'rounds'] / spent.loc[name, 'cpu_seconds']:,.0f}",
        ]
    return [rows[name] for name in sorted(rows, key=lambda name: -order[name])]


def behind(campaigns: pd.DataFrame) -> dict[str, float]:
    """Strategies whose mean AULC on the synthetic datasets is more than `BEHIND` below random's."""
    gaps = {}
    for name in campaigns["strategy"].unique():
        own, base, _ = scores(campaigns, name, "synthetic")
        gaps[name] = float((own - base).mean())
    return {name: gap for name, gap in sorted(gaps.items(), key=lambda item: item[1]) if gap < -BEHIND}


def whole() -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Campaigns and costs of the strategies that ran on both judges, and the names of the others."""
    campaigns, costs = read()
    judges = costs.groupby("strategy")["judge"].nunique()
    done = judges.index[judges == len(JUDGES)]
    return campaigns[campaigns["strategy"].isin(done)], costs, sorted(set(al_gym.list_strategies()) - set(done))


def render(page: str) -> str:
    """The page with its tables as the raw files have them."""
    campaigns, costs, missing = whole()
    heads = ["strategy", "seeds", "AULC, synthetic", "against random", "worst dataset", "bundled", "rounds per CPU s"]
    losers = [[f"[`{name}`](strategies/{name}.md)", points(gap, True)] for name, gap in behind(campaigns).items()]
    content = {
        "strategies": table(heads, rows_of_page(campaigns, costs)),
        "behind": table(["strategy", "against random"], losers) if losers else "None.\n",
        "missing": ", ".join(f"[`{name}`](strategies/{name}.md)" for name in missing) + "\n" if missing else "None.\n",
    }
    return fill(page, content)


def main() -> int:
    """Measure, then fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="strategies, instead of all")
    parser.add_argument("--again", action="store_true", help="also what has been measured before")
    parser.add_argument("--redraw", action="store_true", help="the page from the raw files alone")
    args = parser.parse_args()
    if not args.redraw:
        measure(args.only or list(al_gym.list_strategies()), args.again)
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
