"""When a round costs something: a policy of al_gym/StrategyBudget-v0 against fixed (strategy, batch) pairs.

    python benchmarks/round_cost.py tune --data DIR                  # schedules by hand, on train and valid sets
    python benchmarks/round_cost.py valid --data DIR --run A --run B # which run, on valid sets
    python benchmarks/round_cost.py test --data DIR                  # the policy in the package, on test sets
    python benchmarks/round_cost.py redraw                           # docs/round-cost.md from the raw numbers alone

DIR is a folder of datasets that holds those of benchmarks/splits. A round costs 0.002 of AULC; utility is AULC minus
what the rounds cost. `test` also runs the policy with the observations of another dataset's campaign in the same
round. Raw numbers: benchmarks/results/round_cost, one row a campaign, and the mean batch of each round; finished
campaigns stay in --work, from which an interrupted run goes on. On the page everything between `<!-- table NAME -->`
and `<!-- end -->` is replaced.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from page_tables import fill, of, points, table, versus  # noqa: E402
from shuffle_ablation import ablate  # noqa: E402

import al_gym  # noqa: E402
from al_gym.evaluation.metrics import campaign_table, score_array  # noqa: E402
from al_gym.policies import load_policy  # noqa: E402
from al_gym.policies.agent import AgentPolicy  # noqa: E402

RAW = ROOT / "benchmarks" / "results" / "round_cost"
SPLITS = ROOT / "benchmarks" / "splits"
PAGE = ROOT / "docs" / "round-cost.md"
PICTURE = ROOT / "docs" / "images" / "round-cost.png"
COST = 0.002
POLICY = "shipped-round-cost"
SEEDS = {"tune": 6, "valid": 10, "test": 30}

STRATEGIES = {
    "herding-variance": "herding-variance:agreement=2",
    "UHerding": "uherding:radius=adaptive,normalize=true,candidates=all",
    "maxherding": "maxherding",
    "margin-kcenter": "margin-kcenter",
}
BATCHES = (5, 8, 12, 16, 20, 27, 40)
PAIRS = {
    f"{name}, batch {b}": f"{s}{',' if ':' in s else ':'}batch={b}" for name, s in STRATEGIES.items() for b in BATCHES
}
LISTS = (
    "5+10+20", "5+5+10+20", "3+6+12+24+55", "4+8+16+32+40", "5+10+25+60", "8+12+20+30", "6+10+16+24+44", "10+15+25+50",
    "3+5+8+12+18+26+28", "10+20+35", "15+30+55",
)  # fmt: skip
TUNED = "8+12+20+30"  # the best of LISTS on train and valid sets: the table of `tune`


def schedule(batches: str, name: str = "herding-variance") -> dict[str, str]:
    """One schedule of a strategy by its name in a table."""
    strategy = STRATEGIES[name].replace(",", ";")
    return {f"{name}, {batches}": f"schedule:strategy={strategy},batches={batches}"}


def policies_of(kind: str, runs: list[Path]) -> dict[str, str]:
    """Name -> policy of one evaluation."""
    if kind == "tune":
        lists = {key: value for batches in LISTS for key, value in schedule(batches).items()}
        return {key: value for key, value in PAIRS.items() if key.startswith("herding-variance")} | lists
    if kind == "valid":
        return {run.name: str(run) for run in runs} | PAIRS | schedule(TUNED) | schedule(TUNED, "UHerding")
    return {POLICY: POLICY} | PAIRS | schedule(TUNED) | schedule(TUNED, "UHerding")


def run(kind: str, data: Path, runs: list[Path], work: Path, jobs: int) -> None:
    """Evaluate, and write the raw numbers."""
    parts = ("train", "valid") if kind == "tune" else (kind,)
    names = [name for part in parts for name in (SPLITS / f"{part}.txt").read_text().split()]
    folder = work / kind
    RAW.mkdir(parents=True, exist_ok=True)
    result = al_gym.evaluate(
        policies_of(kind, runs), data=data, datasets=names, seeds=SEEDS[kind], round_cost=COST, jobs=jobs, out=folder,
        progress=True,
    )  # fmt: skip
    found = result.results
    if kind == "test":
        policy = load_policy(POLICY)
        assert isinstance(policy, AgentPolicy)
        write_choices(found[(found["policy"] == POLICY) & (found["round"] > 0)])
        shuffled = pd.read_csv(ablate(policy, folder, donor_seeds=10, jobs=jobs) / "results.csv")
        found = pd.concat([found, shuffled], ignore_index=True)
    rows = campaign_table(found, result.summary["budgets"], round_cost=COST)
    columns = ["dataset", "seed", "policy", "aulc", "rounds", "utility"]
    rows[columns].round(6).to_csv(RAW / f"{kind}.csv.gz", index=False, compression={"method": "gzip", "mtime": 0})


def write_choices(taken: pd.DataFrame) -> None:
    """Mean batch of each dataset and round, and shares of the strategies in each round, of one policy's rounds."""
    batches = taken.groupby(["dataset", "round"])["batch"].agg(["mean", "size"]).reset_index()
    batches.round(3).to_csv(RAW / "batches.csv", index=False)
    strategy = taken["strategy"].str.partition(":")[0]
    pd.crosstab(taken["round"], strategy, normalize="index").round(4).to_csv(RAW / "strategies.csv")


def comparison(raw: pd.DataFrame, reference: str | None = None) -> str:
    """Every policy's mean utility, and the paired difference of `reference`, by default the best one, to it."""
    scores = score_array(raw, "utility")
    ranked = sorted(scores.policies, key=lambda name: -of(scores, name).mean())
    first = ranked[0] if reference is None else reference
    means = raw.groupby("policy")[["aulc", "rounds"]].mean()
    rows = []
    for name in ranked:
        cells = ["", "", ""] if name == first else [*versus(of(scores, first), of(scores, name))]
        mean = points(float(of(scores, name).mean()))
        aulc, rounds = means.loc[name]
        rows.append([f"*{name}*" if name == first else name, mean, *cells, points(float(aulc)), f"{rounds:.1f}"])
    heads = ["policy", "utility", f"*{first}* ahead by", "95 %", "win / tie / loss", "AULC", "rounds"]
    return f"{len(scores.datasets)} datasets, {len(scores.seeds)} seeds each; points.\n\n" + table(heads, rows)


def without_repeats(raw: pd.DataFrame) -> pd.DataFrame:
    """The rows of `valid` and `test` with each strategy's best pair alone, and all that is no pair."""
    mean = raw.groupby("policy")["utility"].mean()
    best = {max((p for p in PAIRS if p.startswith(f"{name},")), key=lambda p: mean[p]) for name in STRATEGIES}
    return raw[~raw["policy"].isin(set(PAIRS) - best)]


def pairs(raw: pd.DataFrame) -> str:
    """Mean utility of every fixed pair: strategies down, batches across."""
    mean = raw.groupby("policy")["utility"].mean()
    rows = [[name, *(points(float(mean[f"{name}, batch {b}"])) for b in BATCHES)] for name in STRATEGIES]
    return table(["utility at a batch of", *map(str, BATCHES)], rows)


def batches(raw: pd.DataFrame, shares: pd.DataFrame) -> str:
    """What the policy takes, round by round: mean batch, its spread over datasets, campaigns still running."""
    rows = []
    for number, group in raw.groupby("round"):
        spread = f"{group['mean'].min():.0f} to {group['mean'].max():.0f}"
        mean = (group["mean"] * group["size"]).sum() / group["size"].sum()
        share = shares.set_index("round").loc[number].get("herding-variance", 0.0)
        rows.append([str(number), f"{mean:.1f}", spread, str(group["size"].sum()), f"{100 * share:.0f} %"])
    heads = ["round", "mean batch", "means of datasets", "campaigns that have it", "of them by herding-variance"]
    return table(heads, rows)


def draw(raw: pd.DataFrame) -> None:
    """One line a dataset: the mean batch of each round."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for _, group in raw.groupby("dataset"):
        axes.plot(group["round"], group["mean"], color="C0", alpha=0.35, linewidth=1)
    mean = raw.groupby("round")[["mean", "size"]].apply(lambda g: (g["mean"] * g["size"]).sum() / g["size"].sum())
    axes.plot(mean.index, mean, color="C1", linewidth=2.5, label="all campaigns")
    axes.set(xlabel="round", ylabel="labels in its batch", title="What the policy takes; one thin line a test dataset")
    axes.legend(frameon=False)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})
    plt.close(figure)


def read(name: str) -> pd.DataFrame:
    """The raw numbers of one evaluation."""
    return pd.read_csv(RAW / f"{name}.csv.gz")


def blocks() -> dict[str, str]:
    """Name of a table -> Markdown."""
    test = read("test")
    return {
        "tune": comparison(read("tune")),
        "valid": comparison(without_repeats(read("valid"))),
        "test": comparison(without_repeats(test), POLICY),
        "pairs": pairs(test),
        "batches": batches(pd.read_csv(RAW / "batches.csv"), pd.read_csv(RAW / "strategies.csv")),
    }


def main() -> None:
    """Evaluate, then fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*SEEDS, "redraw"])
    parser.add_argument("--data", type=Path, help="folder of the datasets")
    parser.add_argument("--run", type=Path, action="append", default=[], help="run folder, for valid; may be repeated")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "round_cost", help="folder of finished campaigns")
    parser.add_argument("--fresh", action="store_true", help="forget what --work holds")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes (1)")
    options = parser.parse_args()
    if options.kind != "redraw":
        if options.data is None or bool(options.run) != (options.kind == "valid"):
            parser.error("give --data; and --run with valid, where it is needed, and nowhere else.")
        if options.fresh:
            shutil.rmtree(options.work / options.kind, ignore_errors=True)
        run(options.kind, options.data, options.run, options.work, options.jobs)
    if (RAW / "test.csv.gz").is_file():
        draw(pd.read_csv(RAW / "batches.csv"))
        PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), blocks()), encoding="utf-8")
        print(f"filled {PAGE}")
    else:
        print(comparison(read(options.kind)))


if __name__ == "__main__":
    main()
