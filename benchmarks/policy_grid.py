"""What was measured while the shipped policy was made: fixed strategies on train and valid, and the choice on valid.

    al-gym evaluate --policy 'uherding:power=2,width=0.5' --policy bait ... --data DIR --datasets train-and-valid.txt \
        --seeds 16 --out OUT
    python benchmarks/policy_grid.py --results OUT/results.csv     # keep the means a dataset, then fill the page
    python benchmarks/policy_grid.py                               # fill the page from the kept means

The means are in benchmarks/results/policy_search/grid.csv, one row a strategy and dataset (16 seeds, the train and
valid parts of benchmarks/splits, 20 rounds of 5). Those of two evaluations of run folders on the valid part alone were
kept the same way and are in choice.csv; its column `seeds` tells them apart. regimes.csv has evaluations of 4 seeds on
train and valid with `--label-noise 0.15` and with `--metric balanced-accuracy`, training_seeds.csv of 30 seeds on valid
and on test, after the choice. The tables are in docs/model-card.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from page_tables import fill, table  # noqa: E402

from al_gym.evaluation.metrics import campaign_table  # noqa: E402

RAW = ROOT / "benchmarks" / "results" / "policy_search" / "grid.csv"
CHOICE = RAW.with_name("choice.csv")
REGIMES = RAW.with_name("regimes.csv")
TRAINING_SEEDS = RAW.with_name("training_seeds.csv")
PAGE = ROOT / "docs" / "model-card.md"
BUDGET = 100  # labels after the seed set
PUBLISHED = "uherding:radius=adaptive,normalize=true,calibrate=true,candidates=all"
COMMON = "uherding:radius=adaptive,normalize=true,candidates=all"  # in both evaluations of the choice


def keep(results: Path, raw: Path) -> None:
    """Write the mean AULC in points of each strategy and dataset of an evaluation."""
    campaigns = campaign_table(pd.read_csv(results, keep_default_na=False), BUDGET)
    means = campaigns.groupby(["policy", "dataset"], sort=False)["aulc"].mean() * 100
    means.round(3).rename_axis(["strategy", "dataset"]).reset_index().to_csv(raw, index=False)


def means_table(means: pd.DataFrame, reference: str, title: str) -> str:
    """Mean AULC over datasets, the best first, and what each is ahead of `reference`."""
    wide = means.pivot(index="dataset", columns="strategy", values="aulc")
    ahead = wide.sub(wide[reference], axis=0)
    rows = []
    for name in wide.mean().sort_values(ascending=False).index:
        spread = 1.96 * ahead[name].std(ddof=1) / np.sqrt(len(wide))
        gap = "" if name == reference else f"{ahead[name].mean():+.2f} ± {spread:.2f}"
        rows.append([f"`{name}`", f"{wide[name].mean():.2f}", gap, f"{(ahead[name] > 0).mean():.0%}"])
    heads = ["strategy", "AULC", f"against {title}", "datasets ahead"]
    return table(heads, rows) + f"\n{len(wide)} datasets, intervals (95 %, normal) over datasets.\n"


def tables() -> dict[str, str]:
    """Name of a table -> Markdown."""
    choice = pd.read_csv(CHOICE)
    found = [
        f"{seeds} seeds:\n\n{means_table(part, COMMON, 'UHerding with a shrinking radius')}"
        for seeds, part in choice.groupby("seeds")
    ]
    regimes = [
        f"{name}, 4 seeds:\n\n{means_table(part, COMMON, 'UHerding with a shrinking radius')}"
        for name, part in pd.read_csv(REGIMES).groupby("regime")
    ]
    trained = [
        f"`{name}` part, 30 seeds:\n\n{means_table(part, 'shipped', 'the shipped one')}"
        for name, part in pd.read_csv(TRAINING_SEEDS).groupby("part", sort=False)
    ]
    grid = means_table(pd.read_csv(RAW), PUBLISHED, "the published form")
    return {"grid": grid, "choice": "\n".join(found), "regimes-tried": "\n".join(regimes), "seeds": "\n".join(trained)}


def main() -> None:
    """Keep, then fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="results.csv of an evaluation")
    parser.add_argument("--raw", type=Path, default=RAW)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    if options.results is not None:
        keep(options.results, options.raw)
    page = options.page.read_text(encoding="utf-8")
    options.page.write_text(fill(page, tables()), encoding="utf-8")
    print(f"wrote {options.page}")


if __name__ == "__main__":
    main()
