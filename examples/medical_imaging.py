"""Medical imaging: few positives. Real data that scikit-learn ships: breast cancer from images of cell nuclei.

    python examples/medical_imaging.py [--positives 30] [--seeds 10]

The Wisconsin diagnostic breast cancer set (569 patients) holds 30 measurements of the cell nuclei in one image of each
patient. To make findings rare, as they are in screening, all 357 benign patients stay and 30 malignant ones: 8 % of
387. It says nothing of sites; for several sites see the suite `medical-imaging`, and `groups` for data of your own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from sklearn.datasets import load_breast_cancer

import al_gym
from al_gym.tasks import Dataset

POLICIES = ["random", "margin", "uherding", "shipped"]
REGIME = {"rounds": 18, "batch_size": 5}
REVIEW = 0.1


def screening_data(positives: int = 30) -> Dataset:
    """All benign patients and some malignant ones, always the same."""
    bunch = load_breast_cancer()
    malignant = np.flatnonzero(bunch.target == 0)
    kept = np.random.default_rng(0).permutation(malignant)[:positives]
    rows = np.sort(np.concatenate([np.flatnonzero(bunch.target == 1), kept]))
    return Dataset(
        "breast-cancer-screening",
        bunch.data[rows],
        (bunch.target[rows] == 0).astype(np.int64),
        ("benign", "malignant"),
        family="wisconsin-breast-cancer",
        source="sklearn.datasets.load_breast_cancer, malignant patients thinned out",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare policies by balanced accuracy, and by the share of cancers in the most suspicious tenth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positives", type=int, default=30, help="malignant patients to keep (30)")
    parser.add_argument("--seeds", type=int, default=10, help="campaigns a policy (10)")
    options = parser.parse_args(arguments)
    data = screening_data(options.positives)
    result = al_gym.evaluate(
        POLICIES, tasks=data, seeds=options.seeds, metric="balanced-accuracy", review_effort=REVIEW, **REGIME
    )
    Console().print(result.table())
    last = result.results.groupby(["policy", "seed"], observed=True).tail(1)
    for policy, recall in last.groupby("policy", observed=True)["test_review_recall"].mean().items():
        print(f"{policy:10} finds {100 * recall:.0f} % of the cancers in the most suspicious tenth of the patients")


if __name__ == "__main__":
    main()
