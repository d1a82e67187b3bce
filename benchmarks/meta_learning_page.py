"""Fill the tables of docs/meta-learning.md from the raw files of benchmarks/maml.py and benchmarks/sinusoids.py.

python benchmarks/meta_learning_page.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from page_tables import fill, points, table  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "meta-learning.md"


def spread(entry: dict[str, Any], scale: float, digits: int) -> str:
    """Mean and interval as text."""
    mean, (low, high) = entry["mean"], entry["ci95"]
    return f"{scale * mean:+.{digits}f} ({scale * low:+.{digits}f} to {scale * high:+.{digits}f})"


def rivals(found: dict[str, Any]) -> str:
    """`maml` against every other network, for each judge and policy."""
    rows = []
    for where, part in found["figures"].items():
        for name, entry in part["maml_against"].items():
            saved, gain = spread(entry["labels_saved"], 1, 1), spread(entry["aulc_gain"], 100, 2)
            score = points(part["aulc"][name])
            rows.append([where, f"`{found['learners'][name]}`", score, gain, f"{entry['labels_needed']:.0f}", saved])
    heads = ["tasks / policy", "rival", "its AULC", "`maml` ahead by", "labels it needs", "labels that `maml` saves"]
    return table(heads, rows)


def sinusoids(found: dict[str, Any]) -> str:
    """Mean squared error before and after gradient steps."""
    steps = (0, 1, 2, 5, 10)
    rows = [[f"{name.rpartition('-')[0]}, {name.rpartition('-')[2]} points", *(f"{c['mse'][s]:.2f}" for s in steps)]
            for name, c in found["curves"].items()]  # fmt: skip
    text = table(["network", *(f"{s} steps" for s in steps)], rows)
    return f"{text}\n{found['tasks']:,} new tasks; {found['iterations']:,} iterations of meta-training.\n"


def render(page: str) -> str:
    """The page with its tables as the raw files have them."""
    read = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in ("maml", "sinusoids")}
    return fill(page, {"rivals": rivals(read["maml"]), "sinusoids": sinusoids(read["sinusoids"])})


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
