"""Judge a PPO policy of al_gym/Blend-v0 against margin, equal weights and UHerding, on tasks that it never saw.

    python benchmarks/blend.py runs/blend          # trains first if the folder holds no run
    python benchmarks/blend.py runs/blend --seeds 5
    python benchmarks/blend.py --choose "A=runs/a" --choose "B=runs/b"   # several runs on the valid part
    python benchmarks/blend.py --redraw            # the page's tables from the raw files alone

Training is `train_policy.py --env al_gym/Blend-v0 --config agents/configs/ppo-blend.yaml --n-envs 256 --no-eval` on the
training part of the default suite, once to each number of `TIMESTEPS`, from the second on with `--resume`: each time
the learning rate falls to its end, and it jumps up in between. The judges are that suite's test part and the bundled
datasets. Writes benchmarks/results/blend.json: paired differences in AULC with 95 % intervals, over datasets and seeds
(`bundled` has four datasets: read its interval as one over seeds), and the tables of docs/blend.md. `--choose` compares
runs with equal weights on the suite's valid part, with other seeds, and writes benchmarks/results/blend_choice.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from page_tables import fill, points, table  # noqa: E402

import al_gym  # noqa: E402
from train_policy import Arguments, main  # noqa: E402

TARGET = ROOT / "benchmarks" / "results" / "blend.json"
CHOICE = TARGET.with_name("blend_choice.json")
CHOICE_SEED = 1000  # the first seed of the choice, far from those of the judges
PAGE = ROOT / "docs" / "blend.md"
CONFIG = ROOT / "agents" / "configs" / "ppo-blend.yaml"
TIMESTEPS = (1_024_000, 1_792_000)
UNIFORM = "blend:margin=1,entropy=1,least_confidence=1,typicality=1,novelty=1,random=1,diversity=0.5,ratio=0.55"
RIVALS = {"margin": "margin", "uniform": UNIFORM, "blend": "blend", "uherding": "uherding"}
BUDGET_SHARE = 0.4
RECORDED = ("timesteps", "environment", "algorithm", "reward_scale", "group_size")
JUDGES: dict[str, dict[str, Any]] = {"synthetic": {"tasks": "default"}, "bundled": {"tasks": "bundled"}}


def judge(run: Path, seeds: int, jobs: int, **arguments: Any) -> dict[str, Any]:
    """AULC of every policy, and the learned one's differences to the others."""
    policies = {"ppo-blend": al_gym.load_policy(run), **RIVALS}
    summary = al_gym.evaluate(
        policies, split="test", seeds=seeds, jobs=jobs, max_budget_share=BUDGET_SHARE, **arguments
    ).summary
    return {
        "datasets": summary["datasets"],
        "seeds": summary["seeds"],
        "aulc": {name: summary["policies"][name]["aulc"] for name in policies},
        "paired": summary["paired"]["ppo-blend"],
        "versions": summary["versions"],
    }


def choose(runs: dict[str, str], seeds: int, jobs: int) -> dict[str, Any]:
    """Differences of several runs to equal weights on the suite's valid part."""
    result = al_gym.evaluate(
        {**runs, "uniform": UNIFORM}, tasks="default", split="valid", seeds=seeds, seed=CHOICE_SEED, jobs=jobs,
        max_budget_share=BUDGET_SHARE, progress=True,
    )  # fmt: skip
    paired = result.summary["paired"]
    return {
        "part": "valid",
        "datasets": result.summary["datasets"],
        "seeds": seeds,
        "first_seed": CHOICE_SEED,
        "over_uniform": {run: {key: paired[run]["uniform"][key] for key in ("difference", "ci95")} for run in runs},
    }


LABELS = {
    "margin": "margin",
    "uniform": "equal weights (action 0)",
    "blend": "`blend` with its defaults",
    "uherding": "`uherding`",
}


def differences(result: dict[str, Any]) -> str:
    """The learned blend against every rival, on both judges."""
    rows = []
    for rival, label in LABELS.items():
        found = [result[judge]["paired"][rival] for judge in JUDGES]
        cells = [
            f"{points(row['difference'], True)} ({points(row['ci95'][0], True)} to {points(row['ci95'][1], True)})"
            for row in found
        ]
        rows.append([label, *cells])
    heads = [f"{name}, {result[name]['datasets']} datasets, {result[name]['seeds']} seeds each" for name in JUDGES]
    return table(["against", *heads], rows)


def choice(result: dict[str, Any]) -> str:
    """The runs that were compared on the valid part, over equal weights."""
    rows = [
        [run, f"{points(row['difference'], True)} ({points(row['ci95'][0], True)} to {points(row['ci95'][1], True)})"]
        for run, row in result["over_uniform"].items()
    ]
    return table(["policy", "over equal weights"], rows)


def render(page: str) -> str:
    """The page with its table as the raw file has it."""
    tables = {
        "differences": differences(json.loads(TARGET.read_text())),
        "choice": choice(json.loads(CHOICE.read_text())),
    }
    return fill(page, tables)


def benchmark() -> int:
    """Train if need be, judge, and write the raw file and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="run folder")
    parser.add_argument("--redraw", action="store_true", help="the page from the raw files alone")
    parser.add_argument("--choose", action="append", default=[], metavar="NAME=RUN", help="may be repeated")
    parser.add_argument(
        "--total-timesteps", type=int, nargs="+", default=TIMESTEPS, help="ends of the training, where there is none"
    )
    parser.add_argument("--seeds", type=int, default=30, help="campaigns a dataset and policy")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    args = parser.parse_args()
    if (args.run is not None) + args.redraw + bool(args.choose) != 1:
        parser.error("give a run folder, or --choose NAME=RUN, or --redraw.")
    if args.choose:
        runs = {name: folder for name, _, folder in (text.rpartition("=") for text in args.choose)}
        if "" in runs or "uniform" in runs:
            parser.error(f"--choose takes NAME=RUN with a name of its own, got {args.choose}.")
        CHOICE.write_text(json.dumps(choose(runs, args.seeds, args.jobs), indent=1) + "\n")
    if args.choose or args.redraw:
        PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    if not (args.run / "policy.json").exists():
        for leg, end in enumerate(args.total_timesteps):
            main(
                Arguments(
                    env="al_gym/Blend-v0",
                    config=str(CONFIG),
                    n_envs=256,
                    total_timesteps=end,
                    out=str(args.run),
                    resume=leg > 0,
                    no_eval=True,
                )
            )
    training = json.loads((args.run / "policy.json").read_text())["training"]
    result = {name: judge(args.run, args.seeds, args.jobs, **where) for name, where in JUDGES.items()}
    result["training"] = {key: training[key] for key in RECORDED}
    TARGET.write_text(json.dumps(result, indent=1) + "\n")
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for name in JUDGES:
        for rival, row in result[name]["paired"].items():
            sys.stdout.write(f"{name}: {row['difference']:+.4f} {row['ci95']} against {rival}\n")
    return 0


if __name__ == "__main__":
    sys.exit(benchmark())
