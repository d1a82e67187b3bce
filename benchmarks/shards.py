"""Steps a second of one process and of the same environments split over two, by the wall clock and by CPU time.

    python benchmarks/shards.py           # on a quiet machine with two free cores
    python benchmarks/shards.py --fill    # the table of docs/scale.md from the raw file alone

Random actions over the default strategies on the default training suite, whole episodes, resets included, no learning.
One process and two take turns, three times; every repetition is in the raw file, with the load of the machine
before it. The wall clock depends on what else the machine does. The path of two shards does not: for each step, the CPU
seconds of the main process plus those of the busier worker (Linux, /proc/PID/schedstat), as if nothing of the main
process ran beside a worker.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from one_core import pin
from page_tables import fill, table

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "benchmarks" / "results" / "shards.json"
PAGE = ROOT / "docs" / "scale.md"
ENV, ENVS, EPISODES, ROUNDS, REPEATS = "al_gym/Strategy-v0", 256, 2, 20, 3


def worker_seconds() -> list[float]:
    """CPU seconds of each worker process so far."""
    return [
        int(Path(f"/proc/{child.pid}/schedstat").read_text().split()[0]) / 1e9
        for child in sorted(multiprocessing.active_children(), key=lambda child: child.name)
    ]


def run(env: Any, sharded: bool) -> dict[str, float]:
    """Steps a second of wall time and CPU seconds over whole episodes; every repetition starts from the same seeds."""
    import numpy as np

    rng = np.random.default_rng(0)
    env.reset(seed=1)
    busier, start, main = 0.0, time.perf_counter(), time.process_time()
    before = worker_seconds()
    for _ in range(EPISODES * ROUNDS):
        env.step(rng.integers(env.single_action_space.n, size=ENVS))
        if sharded:
            after = worker_seconds()
            busier += max(now - then for now, then in zip(after, before, strict=True))
            before = after
    steps = EPISODES * ROUNDS * ENVS
    return {
        "steps_per_second": steps / (time.perf_counter() - start),
        "main": time.process_time() - main,
        "busier_worker": busier,
    }


def measure() -> dict[str, Any]:
    """Repetitions of one process and of two, in turns."""
    import gymnasium as gym

    import al_gym

    one = gym.make_vec(ENV, num_envs=ENVS, autoreset_mode="SameStep")
    two = al_gym.ShardedVectorEnv(ENV, ENVS, shards=2, autoreset_mode="SameStep")
    rows = []
    for repeat in range(-1, REPEATS):  # the first one compiles and warms up
        row = {"load": os.getloadavg()[0], "one": run(one, sharded=False), "two": run(two, sharded=True)}
        print(repeat, row, flush=True)
        if repeat >= 0:
            rows.append(row)
    two.close()
    return {"env": ENV, "num_envs": ENVS, "episodes": EPISODES, "rounds": ROUNDS, "cores": os.cpu_count(), "rows": rows}


def tables() -> dict[str, str]:
    """The table `shards`: one row a repetition."""
    rows = []
    for number, row in enumerate(json.loads(RAW.read_text())["rows"], start=1):
        one, two = row["one"], row["two"]
        path, wall = two["main"] + two["busier_worker"], [run["steps_per_second"] for run in (one, two)]
        cells = [f"{row['load']:.1f}", f"{wall[0]:,.0f}", f"{wall[1]:,.0f}", f"{wall[1] / wall[0]:.2f} x"]
        rows.append([str(number), *cells, f"{one['main']:.2f}", f"{path:.2f}", f"{one['main'] / path:.2f} x"])
    heads = ["repetition", "load before", "one process, steps/s", "two shards, steps/s", "ratio by the clock"]
    heads += ["one process, CPU s", "two shards, CPU s of the path", "ratio by CPU time"]
    return {"shards": table(heads, rows)}


def main() -> None:
    """Measure unless --fill, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fill", action="store_true", help="only fill the page from the raw file")
    args = parser.parse_args()
    pin()
    if not args.fill:
        RAW.write_text(json.dumps(measure(), indent=1) + "\n")
    PAGE.write_text(fill(PAGE.read_text(), tables()))


if __name__ == "__main__":
    main()
