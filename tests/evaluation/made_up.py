"""Made-up rows of results.csv and made-up campaigns with queries."""

from __future__ import annotations

import numpy as np
import pandas as pd

from al_gym.evaluation.files import COLUMNS


def made_up_rows(datasets=("a", "b"), seeds=(0, 1, 2), policies=("p", "q"), rounds=4, batch=5, initial=3, seed=0):
    """Random accuracies on whole campaigns."""
    rng = np.random.default_rng(seed)
    records = []
    for dataset in datasets:
        for run in seeds:
            for policy in policies:
                for r in range(rounds + 1):
                    accuracy, balanced = rng.random(2).round(6)
                    head = (dataset, run, policy, r, initial + batch * r, accuracy, balanced)
                    records.append((*head, "margin" if r else "", batch if r else initial))
    return pd.DataFrame.from_records(records, columns=COLUMNS)


def curve_rows(curves, *, dataset="a", policy="p", seed=0):
    """Rows of one campaign from a list of (labels, accuracy)."""
    labels = [n for n, _ in curves]
    batches = np.diff(labels, prepend=0)
    records = [
        (dataset, seed, policy, r, n, accuracy, accuracy / 2, "margin" if r else "", batches[r])
        for r, (n, accuracy) in enumerate(curves)
    ]
    return pd.DataFrame.from_records(records, columns=COLUMNS)
