"""How many labels does a meta-learned initialisation save on tasks that it never saw?

    python benchmarks/maml.py tune          # choose the random network's step size and steps, on validation tasks
    python benchmarks/maml.py run           # campaigns on held-out tasks, benchmarks/results/maml.csv.gz and .json
    python benchmarks/maml.py draw          # docs/images/maml.png

All networks have the same shape and see the same projected features, splits, seed sets and (under the policy `random`)
the same labels; `mlp` and `mlp-1` see the features themselves. Held out are the test part of the synthetic suite and
scikit-learn's bundled datasets; nothing was trained or chosen on either.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

import al_gym
from al_gym.evaluation.summary import package_versions
from al_gym.tasks.load import load_tasks

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
TUNED = RESULTS / "maml_tuned.json"
PICTURE = ROOT / "docs" / "images" / "maml.png"
GRID = {"lr": (0.03, 0.1, 0.3, 1.0), "steps": (10, 30, 100)}
JUDGES: dict[str, dict[str, Any]] = {
    "synthetic": {"tasks": "default", "seeds": 2},
    "bundled": {"tasks": "bundled", "seeds": 10},
}
POLICIES = ("random", "margin")
SHARE = 0.95
"""The accuracy to reach, as a share of what the rival has at the end of the campaign."""
RESAMPLES = 10_000


def campaigns(learner: str, policies: tuple[str, ...], tasks: Any, seeds: int) -> pd.DataFrame:
    """Test accuracy of every round: 100 labels in rounds of 10, at most 40 % of the pool."""
    result = al_gym.evaluate(
        list(policies), tasks=tasks, seeds=seeds, learner=learner, rounds=10, batch_size=10, max_budget_share=0.4,
        test_size=1000, jobs=1,
    )  # fmt: skip
    return result.results[["dataset", "seed", "policy", "n_labelled", "test_accuracy"]]


def tune(datasets: int) -> None:
    """The random network's best step size, for as many steps as `maml` takes and for any number of them."""
    valid = load_tasks("default", "valid")
    valid = valid.filter(names=valid.names[:datasets])
    rows = []
    for lr, steps in itertools.product(*GRID.values()):
        curves = campaigns(f"maml:weights=random,lr={lr},steps={steps}", ("random",), valid, 1)
        rows.append({"lr": lr, "steps": steps, "aulc": float(areas(curves).mean())})
        sys.stdout.write(f"{rows[-1]}\n")
    same = max((row for row in rows if row["steps"] == 10), key=lambda row: row["aulc"])
    best = max(rows, key=lambda row: row["aulc"])
    TUNED.write_text(json.dumps({"tried": rows, "same_steps": same, "best": best}, indent=1) + "\n")


def learners() -> dict[str, str]:
    """Name -> learner."""
    tuned = json.loads(TUNED.read_text())
    random = {
        key: f"maml:weights=random,lr={tuned[key]['lr']},steps={tuned[key]['steps']}" for key in ("same_steps", "best")
    }
    return {
        "maml": "maml",
        "random-10": random["same_steps"],
        "random": random["best"],
        "mlp-1": "mlp:members=1,hidden=128",
        "mlp": "mlp",
        "softmax": "softmax",
    }


def run() -> None:
    """Every learner on every held-out task."""
    parts = []
    for (judge, where), (name, learner) in itertools.product(JUDGES.items(), learners().items()):
        parts.append(campaigns(learner, POLICIES, **where).assign(judge=judge, learner=name))
        sys.stdout.write(f"{judge} {name}\n")
    rows = pd.concat(parts)
    rows["test_accuracy"] = rows["test_accuracy"].round(4)
    rows.to_csv(RESULTS / "maml.csv.gz", index=False, compression={"method": "gzip", "mtime": 0})
    summary = {
        "learners": learners(),
        "share": SHARE,
        "figures": figures(rows),
        "versions": package_versions(("numpy", "torch")),
    }
    (RESULTS / "maml.json").write_text(json.dumps(summary, indent=1) + "\n")


def areas(curves: pd.DataFrame) -> pd.Series:
    """AULC by dataset: mean over seeds."""
    by = {
        key: np.trapezoid(g["test_accuracy"], g["n_labelled"]) / np.ptp(g["n_labelled"])
        for key, g in curves.groupby(["dataset", "seed"])
    }
    return pd.Series(by).groupby(level=0).mean()


def labels_to_reach(labels: NDArray[np.float64], accuracy: NDArray[np.float64], target: float) -> float:
    """Labels after the seed set at which a curve first reaches `target`, interpolated; all of them if it never does."""
    reached = np.flatnonzero(accuracy >= target)
    if not len(reached):
        return float(labels[-1])
    i = int(reached[0])
    if i == 0:
        return float(labels[0])
    part = (target - accuracy[i - 1]) / (accuracy[i] - accuracy[i - 1])
    return float(labels[i - 1] + part * (labels[i] - labels[i - 1]))


def mean_curves(curves: pd.DataFrame) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Dataset -> labels after the seed set, mean accuracy over seeds."""
    bought = curves["n_labelled"] - curves.groupby(["dataset", "seed"])["n_labelled"].transform("min")
    mean = curves.assign(bought=bought).groupby(["dataset", "bought"])["test_accuracy"].mean()
    return {
        name: (part.index.get_level_values("bought").to_numpy(np.float64), part.to_numpy(np.float64))
        for name, part in mean.groupby(level=0)
    }


def interval(values: NDArray[np.float64]) -> dict[str, Any]:
    """Mean and 95 % bootstrap interval over datasets."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": round(float(values.mean()), 4), "ci95": [round(float(low), 4), round(float(high), 4)]}


def figures(rows: pd.DataFrame) -> dict[str, Any]:
    """For each judge, policy and rival: paired differences in AULC and in labels, over datasets."""
    result: dict[str, Any] = {}
    for (judge, policy), part in rows.groupby(["judge", "policy"]):
        by = dict(iter(part.groupby("learner")))
        maml, curves, entry = areas(by["maml"]), mean_curves(by["maml"]), {}
        for rival in (name for name in by if name != "maml"):
            other, saved, needed = mean_curves(by[rival]), [], []
            for dataset, (labels, accuracy) in other.items():
                target = SHARE * accuracy[-1]
                needed.append(labels_to_reach(labels, accuracy, target))
                saved.append(needed[-1] - labels_to_reach(*curves[dataset], target))
            gain = (maml - areas(by[rival])).to_numpy(np.float64)
            entry[rival] = {
                "aulc_gain": interval(gain),
                "ahead": int((gain > 0).sum()),
                "datasets": len(gain),
                "labels_needed": round(float(np.mean(needed)), 1),
                "labels_saved": interval(np.array(saved)),
            }
        aulc = {name: round(float(areas(part).mean()), 4) for name, part in by.items()}
        result[f"{judge}/{policy}"] = {"aulc": aulc, "maml_against": entry}
    return result


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Mean accuracy against labels, one line a network, one panel a judge; labels at random."""
    shown = {"maml": "maml", "random": "same network, random start", "random-10": "same, 10 steps", "mlp": "mlp"}
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for axes, judge in zip(panels, JUDGES, strict=True):
        part = rows[(rows["judge"] == judge) & (rows["policy"] == "random")]
        for name, label in shown.items():
            curves = mean_curves(part[part["learner"] == name])
            grid = np.arange(0, min(labels[-1] for labels, _ in curves.values()) + 1)
            mean = np.mean([np.interp(grid, *curve) for curve in curves.values()], axis=0)
            axes.plot(grid, mean, label=label, linewidth=2 if name == "maml" else 1.3)
        axes.set(xlabel="labels bought at random", ylabel="test accuracy")
        axes.set_title(f"{judge}: mean over {part['dataset'].nunique()} datasets", fontsize=10)
        axes.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """One of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["tune", "run", "draw"])
    parser.add_argument("--datasets", type=int, default=24, help="validation datasets to tune on")
    arguments = parser.parse_args()
    if arguments.step == "tune":
        tune(arguments.datasets)
    elif arguments.step == "run":
        run()
    else:
        draw(pd.read_csv(RESULTS / "maml.csv.gz"), PICTURE)


if __name__ == "__main__":
    main()
