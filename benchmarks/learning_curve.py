"""Draw the learning curve of the README from the raw rows of an evaluation.

The rows in benchmarks/results/learning_curve/ come from

    al-gym evaluate --policy shipped --policy switch --policy uherding --policy margin --policy maxherding \
        --policy random --tasks bundled --seeds 30 --max-budget-share 0.4 --out runs/learning_curve
    cp runs/learning_curve/results.csv runs/learning_curve/summary.json benchmarks/results/learning_curve/

and the picture from

    python benchmarks/learning_curve.py

A line is the mean over datasets of the mean over seeds; its band is a 95 % interval over seeds (the datasets are
the same four for everyone, so the picture says nothing about new datasets).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
CAMPAIGN = ["dataset", "seed", "policy"]
RESAMPLES = 2000


@dataclass(frozen=True)
class Curve:
    """Mean test accuracy on the common grid of labels, with its interval; each array is (labels + 1,) in [0, 1]."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def common_grid(results: pd.DataFrame) -> NDArray[np.float64]:
    """(labels + 1,) 0, 1, 2, ... labels after the seed set, as far as every campaign goes: no curve is extended."""
    return np.arange(results.groupby(CAMPAIGN)["bought"].max().min() + 1, dtype=np.float64)


def curve(results: pd.DataFrame, policy: str, grid: NDArray[np.float64], rng: np.random.Generator) -> Curve:
    """The curve of one policy: campaigns interpolated to `grid`, averaged over datasets, seeds resampled."""
    rows = results[results["policy"] == policy].sort_values("bought")
    campaigns = {
        key: np.interp(grid, group["bought"], group["test_accuracy"])
        for key, group in rows.groupby(["dataset", "seed"])
    }
    datasets, seeds = (sorted({key[axis] for key in campaigns}) for axis in (0, 1))
    cube = np.stack([[campaigns[dataset, seed] for seed in seeds] for dataset in datasets])
    draws = rng.integers(len(seeds), size=(RESAMPLES, len(datasets), len(seeds)))
    resampled = np.stack([np.stack([cube[d, draw[d]].mean(0) for d in range(len(datasets))]).mean(0) for draw in draws])
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return Curve(cube.mean((0, 1)), low, high)


def draw(results: pd.DataFrame, path: Path) -> None:
    """Write the picture: one line and one band a policy, best area first in the legend."""
    seed_set = results.groupby(CAMPAIGN)["n_labelled"].transform("min")
    results = results.assign(bought=results["n_labelled"] - seed_set)
    grid = common_grid(results)
    curves = {policy: curve(results, policy, grid, np.random.default_rng(0)) for policy in results["policy"].unique()}
    figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for policy, values in sorted(curves.items(), key=lambda item: -item[1].mean.mean()):
        (line,) = axes.plot(grid, values.mean, label=policy, linewidth=2 if policy == "shipped" else 1.3)
        axes.fill_between(grid, values.low, values.high, color=line.get_color(), alpha=0.15, linewidth=0)
    datasets = ", ".join(sorted(results["dataset"].unique()))
    axes.set(xlabel="labels bought after the seed set", ylabel="test accuracy", title=f"Mean over {datasets}")
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.3)
    axes.legend(title=f"band: 95 %, {results['seed'].nunique()} seeds", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Read the rows, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results/learning_curve/results.csv")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/learning_curve.png")
    arguments = parser.parse_args()
    draw(pd.read_csv(arguments.results), arguments.out)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
