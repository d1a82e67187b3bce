"""Rounds a CPU second of al_gym beside modAL, scikit-activeml and a plain scikit-learn loop, in one run.

    python benchmarks/throughput.py --modal-python PATH --json benchmarks/results/throughput.json

The same campaigns for all: digits, breast cancer and 10,000 x 32 items with 5 classes, split 60/20/20, one seed item a
class, 20 rounds of 10, logistic regression with C = 1, one thread. modAL runs under `--modal-python`, an interpreter
that has modAL-python and scikit-learn < 1.8. Times are CPU seconds of the rounds after the first fit, imports and
compilation left out. al_gym's rows `light` have the observation without distances, which the peers do not compute
either; `default` have all of it. The last rows are the default training suite with the reward `advantage`, whose
reference campaigns, resets and fresh tasks are counted in. `--only rates`, `--only suite` and `--only accuracy` measure
one part, with `--task NAME` of one task, and replace it in the JSON.

Final accuracies are compared pair by pair: al_gym and each peer run `PAIRED` campaigns on the same splits and seed
sets. `random` and `badge` draw from generators of their own in every system; the others ask for the same items but for
ties and for what the tolerances of the fits leave open.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from one_core import pin

ROUNDS, BATCH = 20, 10
LIGHT = ["uncertainty", "classes", "progress", "training", "prequential", "last-action"]
SIMPLE, GREEDY = ("random", "entropy", "margin"), ("kcenter", "badge")
PEER_SEEDS, PAIRED = 3, 32
PARTS = ("rates", "suite", "accuracy")
TASKS = ("digits", "breast_cancer", "synthetic-10000")


@dataclass(frozen=True)
class Row:
    """One measurement."""

    system: str
    task: str
    strategy: str
    num_envs: int
    steps_per_second: float
    final_accuracy: float


@dataclass(frozen=True)
class Pairs:
    """Final accuracies of one peer and of al_gym on the same splits and seed sets, (campaigns,) each."""

    peer: str
    task: str
    strategy: str
    ours: list[float]
    theirs: list[float]


def datasets(quick: bool) -> dict[str, Any]:
    """The three tasks; the large one is left out of a quick run."""
    import numpy as np
    from sklearn.datasets import make_classification

    from al_gym.tasks import Dataset, load_bundled

    found = {name: load_bundled(name) for name in ("digits", "breast_cancer")}
    if not quick:
        X, y = make_classification(
            10_000, 32, n_informative=16, n_classes=5, n_clusters_per_class=2, class_sep=1.5, random_state=0
        )
        found["synthetic-10000"] = Dataset.from_arrays("synthetic-10000", X.astype(np.float32), y)
    return found


def settings(dataset: Any, strategy: str, features: list[str] | None) -> dict[str, Any]:
    """Keyword arguments of the environment for a 60/20/20 split and 20 rounds of 10."""
    more = {} if features is None else {"features": features}
    return {
        "tasks": dataset, "strategies": [strategy], "batch_size": BATCH, "budget": ROUNDS * BATCH,
        "pool_size": int(0.6 * dataset.n_items), "validation_size": dataset.n_items, **more,
    }  # fmt: skip


def time_env(env: Any, num_envs: int, episodes: int) -> tuple[float, float]:
    """Steps a CPU second over whole episodes, resets left out, and the mean final validation accuracy."""
    import numpy as np

    actions, seconds, finals = np.zeros(num_envs, np.int64), 0.0, []
    for episode in range(episodes + 1):  # the first one compiles and fills caches
        env.reset(seed=1000 * episode)
        start = time.process_time()
        for _ in range(ROUNDS):
            infos = env.step(actions)[4]
        seconds += time.process_time() - start if episode else 0.0
        finals.append(float(infos["validation_accuracy"].mean()))
    return ROUNDS * num_envs * episodes / seconds, float(np.mean(finals[1:]))


def native_rows(name: str, dataset: Any, strategy: str, counts: tuple[int, ...]) -> list[Row]:
    """The native vector env at several sizes with the light observation, and at 64 with the default one."""
    import gymnasium as gym

    import al_gym  # noqa: F401

    rows = []
    for num_envs in counts:
        for kind, features in (("light", LIGHT), ("default", None)):
            if kind == "default" and num_envs != 64:
                continue
            arguments = settings(dataset, strategy, features)
            env = gym.make_vec("al_gym/Strategy-v0", num_envs=num_envs, autoreset_mode="Disabled", **arguments)
            episodes = (
                64 // num_envs if num_envs < 64 else max(2, 512 // num_envs)
            )  # one would last a tenth of a second
            rate, accuracy = time_env(env, num_envs, episodes)
            rows.append(Row(f"al_gym ({kind})", name, strategy, num_envs, rate, accuracy))
            env.close()
    return rows


def sync_row(name: str, dataset: Any, strategy: str, num_envs: int) -> Row:
    """Gymnasium's synchronous vector env of single envs."""
    import gymnasium as gym

    arguments = settings(dataset, strategy, LIGHT)
    env = gym.make_vec("al_gym/Strategy-v0", num_envs=num_envs, vectorization_mode="sync", **arguments)
    rate, accuracy = time_env(env, num_envs, 1)
    env.close()
    return Row("al_gym (SyncVectorEnv, light)", name, strategy, num_envs, rate, accuracy)


def compile_float64() -> None:
    """Compile the fit in float64, which the suite needs so rarely that it would be compiled while the clock runs."""
    import gymnasium as gym
    import numpy as np

    import al_gym  # noqa: F401

    env = gym.make_vec("al_gym/Strategy-v0", num_envs=2, tasks="bundled", split=None, learner="softmax:tol=1e-7")
    env.reset(seed=0)
    env.step(np.zeros(2, np.int64))
    env.close()


def suite_row(num_envs: int, episodes: int, kept: bool) -> Row:
    """Random actions on the default training suite with `advantage`; resets, references and fresh tasks count.

    Every episode has a fresh task: another split of one of the suite's 896 training datasets. A dataset is generated
    when it is first drawn, and kept; with `kept` all of them are before the clock starts, as they are
    later in a training.
    """
    import gymnasium as gym
    import numpy as np

    env = gym.make_vec("al_gym/Strategy-v0", num_envs=num_envs, reward="advantage", autoreset_mode="SameStep")
    rng = np.random.default_rng(0)
    if kept:
        env.unwrapped.engine.tasks.hashes()  # type: ignore[attr-defined]
    env.reset(seed=0)
    steps = [rng.integers(0, env.single_action_space.n, num_envs) for _ in range(20 * (episodes + 1))]
    for actions in steps[:20]:
        env.step(actions)
    start, finals = time.process_time(), []
    for actions in steps[20:]:
        infos = env.step(actions)[4]
        if "final_info" in infos:
            ended = infos["_final_info"]
            finals.append(float(infos["final_info"]["validation_accuracy"][ended].mean()))
    rate = num_envs * 20 * episodes / (time.process_time() - start)
    name = f"al_gym (training suite, advantage{', datasets kept' if kept else ''})"
    return Row(name, "default", "random actions", num_envs, rate, float(np.mean(finals)))


def draw_campaigns(dataset: Any, seeds: int) -> list[Any]:
    """The very splits that the environments use."""
    from al_gym.tasks.task import make_task

    pool_size, validation_size = int(0.6 * dataset.n_items), dataset.n_items
    return [make_task(dataset, s, pool_size=pool_size, validation_size=validation_size) for s in range(seeds)]


def save_campaigns(tasks: list[Any], path: Path) -> None:
    """Splits as plain arrays for the peers."""
    import numpy as np

    arrays = {}
    for number, task in enumerate(tasks):
        X, X_val, y_val = task.arrays()
        parts = {"X": X, "y": task.oracle_labels, "X_val": X_val, "y_val": y_val, "seeds": task.seed_set}
        arrays |= {f"{number:03d}/{key}": value for key, value in parts.items()}
    np.savez(path, **arrays)


def run_peer(python: str, system: str, strategy: str, path: Path) -> dict[str, Any]:
    """One peer in a process of its own with the same thread settings."""
    script = Path(__file__).with_name("peers.py")
    run = subprocess.run([python, str(script), system, strategy, str(path)], capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{system} failed with {strategy}:\n{run.stderr}")
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


def peers(modal_python: str | None) -> list[tuple[str, str, str]]:
    """(system, strategy, interpreter) of all peers that can run here."""
    here = sys.executable
    cells = [(system, s, here) for s in SIMPLE for system in ("scikit-learn", "scikit-activeml")]
    cells += [("modAL", s, modal_python) for s in SIMPLE if modal_python]
    return cells + [("scikit-activeml", s, here) for s in GREEDY]


def peer_rows(name: str, dataset: Any, modal_python: str | None, quick: bool) -> list[Row]:
    """Rates of all peers on one task."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "campaigns.npz"
        save_campaigns(draw_campaigns(dataset, 1 if quick else PEER_SEEDS), path)
        for system, strategy, python in peers(modal_python):
            result = run_peer(python, system, strategy, path)
            accuracy = sum(result["final_accuracies"]) / len(result["final_accuracies"])
            rows.append(Row(system, name, strategy, 1, result["steps_per_second"], accuracy))
    return rows


def own_accuracies(dataset: Any, strategy: str, tasks: list[Any]) -> list[float]:
    """Final accuracies of al_gym's campaigns on these splits."""
    import gymnasium as gym
    import numpy as np

    import al_gym  # noqa: F401

    env = gym.make_vec(
        "al_gym/Strategy-v0", num_envs=len(tasks), autoreset_mode="Disabled", **settings(dataset, strategy, LIGHT)
    )
    env.unwrapped.set_task(tasks)  # type: ignore[attr-defined]
    env.reset(seed=0)
    for _ in range(ROUNDS):
        infos = env.step(np.zeros(len(tasks), np.int64))[4]
    env.close()
    return [float(accuracy) for accuracy in infos["validation_accuracy"]]


def paired_rows(name: str, dataset: Any, modal_python: str | None, quick: bool) -> list[Pairs]:
    """Final accuracies of all peers on one task, beside those of the same campaigns here."""
    tasks = draw_campaigns(dataset, 2 if quick else PAIRED)
    ours = {strategy: own_accuracies(dataset, strategy, tasks) for strategy in SIMPLE + GREEDY}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "campaigns.npz"
        save_campaigns(tasks, path)
        return [
            Pairs(system, name, s, ours[s], run_peer(python, system, s, path)["final_accuracies"])
            for system, s, python in peers(modal_python)
        ]


def cell_rows(tasks: dict[str, Any], modal_python: str | None, quick: bool) -> list[Row]:
    """Rates of al_gym and of all peers on every task."""
    counts = (1, 64) if quick else (1, 8, 64, 256)
    rows = []
    for name, dataset in tasks.items():
        for strategy in SIMPLE + GREEDY:
            rows += native_rows(name, dataset, strategy, counts)
        rows.append(sync_row(name, dataset, "margin", 8 if quick else 64))
        rows += peer_rows(name, dataset, modal_python, quick)
    return rows


def suite_rows(quick: bool) -> list[Row]:
    """The training suite at both sizes."""
    compile_float64()
    return [suite_row(n, 1 if quick else 4, kept) for kept in (False, True) for n in ((64,) if quick else (64, 256))]


def merge(content: dict[str, Any], rows: list[Row]) -> None:
    """Put rows in the place of those of the same system, task, strategy and number of envs."""

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["system"], row["task"], row["strategy"], row["num_envs"]

    new = {key(vars(row)): vars(row) for row in rows}
    kept = [new.pop(key(row), row) for row in content["rows"]]
    content["rows"] = kept + list(new.values())


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    from al_gym.evaluation.summary import PACKAGES, package_versions

    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {"cpu": model, "python": platform.python_version(), **package_versions(PACKAGES)}


def report(rows: list[Row]) -> str:
    """The rows, and each al_gym cell at 64 envs over its peers."""
    lines = [
        f"{r.system:<36} {r.task:<16} {r.strategy:<14} {r.num_envs:>4} "
        f"{r.steps_per_second:>9.0f} {r.final_accuracy:.3f}"
        for r in rows
    ]
    peers = {(r.system, r.task, r.strategy): r for r in rows if not r.system.startswith("al_gym")}
    ours = {(r.task, r.strategy): r for r in rows if r.system == "al_gym (light)" and r.num_envs == 64}
    ratios: dict[str, list[float]] = {}
    for (system, task, strategy), peer in peers.items():
        ratio = ours[task, strategy].steps_per_second / peer.steps_per_second
        ratios.setdefault(f"{system}, {'greedy' if strategy in GREEDY else 'simple'}", []).append(ratio)
        lines.append(f"64 envs over {system:<16} {task:<16} {strategy:<8} {ratio:6.1f} x")
    for key, values in ratios.items():
        mean = 1.0
        for value in values:
            mean *= value ** (1 / len(values))
        lines.append(f"geometric mean over {key}: {mean:.1f} x, least {min(values):.1f} x")
    return "\n".join(lines) + "\n"


def report_pairs(pairs: list[Pairs]) -> str:
    """The mean difference of each pair, in points."""
    lines = []
    for p in pairs:
        gaps = [100 * (own - other) for own, other in zip(p.ours, p.theirs, strict=True)]
        mean = sum(gaps) / len(gaps)
        lines.append(f"accuracy minus that of {p.peer:<16} {p.task:<16} {p.strategy:<8} {mean:+.2f} points")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--threads", type=int, default=1, help="BLAS and OpenMP threads of every system")
    parser.add_argument("--quick", action="store_true", help="without the large task, one peer seed, fewer sizes")
    parser.add_argument("--modal-python", help="interpreter with modAL-python and scikit-learn < 1.8")
    parser.add_argument("--only", choices=PARTS, help="measure one part alone, and replace it in --json")
    parser.add_argument("--task", choices=TASKS, help="with --only rates or accuracy: of one task alone")
    args = parser.parse_args()
    if args.task and args.only not in ("rates", "accuracy"):
        parser.error("--task goes with --only rates or --only accuracy.")
    pin(args.threads)
    parts = (args.only,) if args.only else PARTS
    content: dict[str, Any] = json.loads(args.json.read_text()) if args.only and args.json else {"rows": []}
    tasks = {} if args.only == "suite" else datasets(args.quick)
    tasks = {name: dataset for name, dataset in tasks.items() if args.task in (None, name)}
    rows = cell_rows(tasks, args.modal_python, args.quick) if "rates" in parts else []
    rows += suite_rows(args.quick) if "suite" in parts else []
    if rows:
        sys.stdout.write(report(rows))
        merge(content, rows)
        content |= {"machine": machine(), "threads": args.threads}
    if "accuracy" in parts:
        pairs = []
        for name, dataset in tasks.items():
            pairs += paired_rows(name, dataset, args.modal_python, args.quick)
        sys.stdout.write(report_pairs(pairs))
        others = [old for old in content.get("accuracy", []) if old["task"] not in tasks]
        content["accuracy"] = others + [vars(p) for p in pairs]
    if args.json:
        args.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
