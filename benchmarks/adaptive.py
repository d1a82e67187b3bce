"""Does adapting inside a campaign pay? `adaptive` against its own mixture unadapted and against fixed strategies.

    python benchmarks/adaptive.py tune            # on synthetic TRAINING tasks: rate and staleness; not for the judges
    python benchmarks/adaptive.py test            # synthetic test tasks and the bundled real sets
    python benchmarks/adaptive.py redraw          # docs/adapting.md from the raw numbers alone

Raw numbers: benchmarks/results/adaptive/STUDY.csv, one row a campaign. On the page everything between
`<!-- table NAME -->` and `<!-- end -->` is replaced.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from page_tables import fill, of, points, table, versus  # noqa: E402

import al_gym  # noqa: E402
from al_gym.evaluation.metrics import campaign_table, score_array  # noqa: E402
from al_gym.policies.adaptive import DEFAULT_MIXTURE  # noqa: E402

RAW = ROOT / "benchmarks" / "results" / "adaptive"
PAGE = ROOT / "docs" / "adapting.md"
COST = 0.002
BATCHES = (2, 5, 10, 20)
HERDING = "uherding:radius=adaptive"


@dataclass(frozen=True)
class Study:
    """One evaluation.

    Attributes:
        tasks: a suite. split: of it. seeds: a dataset. policies: name -> policy. cost: of a round, in AULC.
        datasets: how many of the suite, from its start; all of them if 0. regime: other arguments.
    """

    tasks: str
    split: str
    seeds: int
    policies: dict[str, str]
    cost: float = 0.0
    datasets: int = 0
    regime: dict[str, Any] = field(default_factory=dict)

    def run(self, jobs: int) -> pd.DataFrame:
        """One row a campaign."""
        names = None
        if self.datasets:
            names = list(al_gym.load_tasks(self.tasks, self.split).names[: self.datasets])
        result = al_gym.evaluate(
            self.policies,
            tasks=self.tasks,
            split=self.split,
            datasets=names,
            seeds=self.seeds,
            round_cost=self.cost,
            jobs=jobs,
            progress=True,
            **self.regime,
        )
        rows = campaign_table(result.results, result.summary["budgets"], round_cost=self.cost)
        return rows[["dataset", "seed", "policy", "aulc", "rounds", "utility"]].round(6)


MIXED = {f"fixed: {text}": text.replace(";", ",") for text in DEFAULT_MIXTURE}
ADAPTED = {
    "adaptive": "adaptive",
    "never adapts (rate=0)": "adaptive:rate=0",
    "adaptive, validation=10": "adaptive:validation=10",
    "adaptive, validation=20": "adaptive:validation=20",
}
COSTED = {
    "adaptive": f"adaptive:round_cost={COST}",
    "adaptive, one strategy": f"adaptive:strategies={HERDING},round_cost={COST}",
    **{f"fixed: {HERDING}, batch {b}": f"{HERDING},batch={b}" for b in BATCHES},
    **{f"fixed: margin-kcenter, batch {b}": f"margin-kcenter:batch={b}" for b in BATCHES},
}
TUNED = {
    f"rate={rate},forget={forget}": f"adaptive:rate={rate},forget={forget}" for rate in (0, 1, 4) for forget in (0.05,)
}
TUNED_COST = {
    f"staleness={k}": f"adaptive:strategies={HERDING},round_cost={COST},staleness={k}" for k in (0.1, 0.3, 1, 3)
}
SHARE = {"max_budget_share": 0.4}

STUDIES = {
    "tune": {
        "tuning": Study("default", "train", 3, TUNED, datasets=40),
        "tuning-cost": Study("default", "train", 3, TUNED_COST, COST, datasets=40),
    },
    "test": {
        "synthetic": Study("default", "test", 2, {**ADAPTED, **MIXED, "margin": "margin"}),
        "bundled": Study("bundled", "test", 10, {**ADAPTED, **MIXED, "margin": "margin"}, regime=SHARE),
        "synthetic-cost": Study("default", "test", 2, COSTED, COST),
        "bundled-cost": Study("bundled", "test", 10, COSTED, COST, regime=SHARE),
    },
}


def comparison(raw: pd.DataFrame, column: str, reference: str) -> str:
    """Every policy's mean, and its paired difference to one of them."""
    scores = score_array(raw, column)
    base, rows = of(scores, reference), []
    for name in sorted(scores.policies, key=lambda name: -of(scores, name).mean()):
        mean = points(float(of(scores, name).mean()))
        rounds = f"{raw.loc[raw['policy'] == name, 'rounds'].mean():.1f}"
        cells = ["", "", ""] if name == reference else [*versus(of(scores, name), base)]
        rows.append([f"{name}", mean, *cells, rounds])
    heads = [
        "policy",
        "utility" if column == "utility" else "AULC",
        f"over *{reference}*",
        "95 %",
        "win / tie / loss",
        "rounds",
    ]
    text = f"{len(scores.datasets)} datasets, {len(scores.seeds)} seeds each; points.\n\n"
    return text + table(heads, rows)


def blocks() -> dict[str, str]:
    """Name of a table -> Markdown, of every study that has raw numbers."""
    first = {"tuning": "rate=0,forget=0.05", "tuning-cost": "staleness=0.3"}
    first |= dict.fromkeys(("synthetic-cost", "bundled-cost"), "adaptive, one strategy")
    result = {}
    for studies in STUDIES.values():
        for name, study in studies.items():
            path = RAW / f"{name}.csv"
            if path.is_file():
                raw = pd.read_csv(path)
                column = "utility" if study.cost else "aulc"
                result[name] = comparison(raw, column, first.get(name, "adaptive"))
    return result


def main() -> None:
    """Run the studies of one kind, then fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*STUDIES, "redraw"])
    parser.add_argument("--jobs", type=int, default=1, help="worker processes (1)")
    options = parser.parse_args()
    RAW.mkdir(parents=True, exist_ok=True)
    for name, study in STUDIES.get(options.kind, {}).items():
        study.run(options.jobs).to_csv(RAW / f"{name}.csv", index=False)
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), blocks()), encoding="utf-8")
    print(f"filled {PAGE}")


if __name__ == "__main__":
    main()
