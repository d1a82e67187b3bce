"""Read the files of an evaluation as an outside program would, and fail when they are not what the docs promise."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

COLUMNS = "dataset seed policy round n_labelled test_accuracy test_balanced_accuracy strategy batch"

folder = Path(sys.argv[1])
results = pd.read_csv(folder / "results.csv")
summary = json.loads((folder / "summary.json").read_text())
if " ".join(results.columns) != COLUMNS:
    raise SystemExit(f"results.csv has the columns {list(results.columns)}")
if set(results["dataset"]) != {"iris", "wine"} or results["seed"].nunique() != 2:
    raise SystemExit("results.csv lacks a dataset or a seed")
if set(summary["policies"]) != set(results["policy"]) or results["policy"].nunique() != 4:
    raise SystemExit("results.csv and summary.json name different policies")
if results["test_accuracy"].isna().any():
    raise SystemExit("results.csv has an empty test_accuracy")
