"""The table of fixed strategies on the datasets that train and tune the shipped policy.

    al-gym evaluate --policy 'uherding:power=2,width=0.5' --policy bait ... --data DIR --datasets train-and-valid.txt \
        --seeds 16 --out OUT
    python benchmarks/policy_grid.py --results OUT/results.csv     # keep the means a dataset, then fill the page
    python benchmarks/policy_grid.py                               # fill the page from the kept means

The means are in benchmarks/results/policy_search/grid.csv, one row a strategy and dataset (16 seeds, the train and
valid parts of benchmarks/splits, 20 rounds of 5). The table is in docs/model-card.md.
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
PAGE = ROOT / "docs" / "model-card.md"
BUDGET = 100  # labels after the seed set
PUBLISHED = "uherding:radius=adaptive,normalize=true,calibrate=true,candidates=all"


def keep(results: Path, raw: Path) -> None:
    """Write the mean AULC in points of each strategy and dataset of an evaluation."""
    campaigns = campaign_table(pd.read_csv(results, keep_default_na=False), BUDGET)
    means = campaigns.groupby(["policy", "dataset"], sort=False)["aulc"].mean() * 100
    means.round(3).rename_axis(["strategy", "dataset"]).reset_index().to_csv(raw, index=False)


def grid_table(grid: pd.DataFrame) -> str:
    """Mean AULC over datasets, the best first, and what it is ahead of UHerding's published form."""
    wide = grid.pivot(index="dataset", columns="strategy", values="aulc")
    ahead = wide.sub(wide[PUBLISHED], axis=0)
    rows = []
    for name in wide.mean().sort_values(ascending=False).index:
        spread = 1.96 * ahead[name].std(ddof=1) / np.sqrt(len(wide))
        gap = "" if name == PUBLISHED else f"{ahead[name].mean():+.2f} ± {spread:.2f}"
        rows.append([f"`{name}`", f"{wide[name].mean():.2f}", gap, f"{(ahead[name] > 0).mean():.0%}"])
    heads = ["strategy", "AULC", "against the published form", "datasets ahead"]
    return table(heads, rows) + f"\n{len(wide)} datasets, intervals (95 %, normal) over datasets.\n"


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
    options.page.write_text(fill(page, {"grid": grid_table(pd.read_csv(options.raw))}), encoding="utf-8")
    print(f"wrote {options.page}")


if __name__ == "__main__":
    main()
