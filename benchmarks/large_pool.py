"""Peak memory and time of campaigns on a pool of a million items in a memory map.

    python benchmarks/large_pool.py           # writes and removes a file of 0.2 GB in Python's temporary folder
    python benchmarks/large_pool.py --fill    # the table of docs/scale.md from the raw file alone

Each case runs in a process of its own: 1,000,000 items of 32 features (60 % of the file), 5 classes, one round of 10
labels by each strategy (`evaluate`: one campaign of two rounds by each). `peak_resident` is `ru_maxrss` (everything in
memory, pages of mapped files too), `peak_anonymous` the largest RssAnon of /proc/self/status, read every 20 ms (what is
not backed by a file). `imports` is RssAnon before any data was touched. Round times are of the second campaign.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from page_tables import fill, table

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "benchmarks" / "results" / "large_pool.json"
PAGE = ROOT / "docs" / "scale.md"
POOL, FEATURES, CLASSES, BATCH = 1_000_000, 32, 5, 10
LIGHT = ["uncertainty", "classes", "progress", "training", "prequential", "last-action"]
STRATEGIES = ("random", "entropy", "margin", "kcenter", "badge", "maxherding", "uherding")
CASES = ("gym.make, light observation", "gym.make, default observation", "evaluate")
MIB = 2**20


def write_data(folder: Path) -> None:
    """`big.npz`, uncompressed: Gaussian classes, written block by block."""
    import numpy as np

    rng = np.random.default_rng(0)
    items = -(-POOL * 5 // 3) + 10
    y = rng.integers(CLASSES, size=items)
    centres = (rng.normal(size=(CLASSES, FEATURES)) * 0.5).astype(np.float32)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (items, FEATURES))
    for start in range(0, items, 50_000):
        part = y[start : start + 50_000]
        X[start : start + len(part)] = rng.standard_normal((len(part), FEATURES), np.float32) + centres[part]
    (folder / "data").mkdir()
    np.savez(folder / "data" / "big.npz", X=X, y=y)


def anonymous() -> int:
    """RssAnon of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon in /proc/self/status; this script needs Linux.")


class Watch(threading.Thread):
    """Keeps the largest RssAnon until the process ends."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0

    def run(self) -> None:
        while True:
            self.peak = max(self.peak, anonymous())
            time.sleep(0.02)


def run_case(case: str, folder: Path) -> dict[str, Any]:
    """One campaign in this process."""
    import gymnasium as gym
    import torch  # noqa: F401 (its memory belongs to `imports`)

    import al_gym
    from al_gym.tasks import map_dataset

    imports, watch, start = anonymous(), Watch(), time.process_time()
    watch.start()
    seconds: dict[str, float] = {}
    if case == "evaluate":
        al_gym.evaluate(
            list(STRATEGIES), data=folder / "data", seeds=1, rounds=2, batch_size=BATCH, pool_size=POOL, jobs=1
        )
    else:
        env = gym.make(
            "al_gym/Strategy-v0", tasks=map_dataset(folder / "X.npy", folder / "y.npy"), pool_size=POOL,
            budget=len(STRATEGIES) * BATCH, batch_size=BATCH, strategies=list(STRATEGIES),
            **({"features": LIGHT} if "light" in case else {}),
        )  # fmt: skip
        for seed in range(2):
            env.reset(seed=seed)
            for action, name in enumerate(STRATEGIES):
                before = time.process_time()
                env.step(action)
                seconds[name] = time.process_time() - before
    return {
        "case": case,
        "peak_resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "peak_anonymous": max(watch.peak, anonymous()),
        "imports": imports,
        "round_seconds": seconds,
        "cpu_seconds": time.process_time() - start,
    }


def measure() -> None:
    """All cases, each in a process; the raw file grows with each."""
    import numpy as np

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder))
        np.save(Path(folder) / "y.npy", np.load(Path(folder) / "data" / "big.npz")["y"])
        for case in CASES:
            command = [sys.executable, __file__, "--case", case, "--folder", folder]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if run.returncode:
                raise RuntimeError(f"{case} failed:\n{run.stderr[-3000:]}")
            rows.append(json.loads(run.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
            sizes = {"pool": POOL, "features": FEATURES, "classes": CLASSES, "batch": BATCH}
            RAW.write_text(json.dumps({**sizes, "rows": rows}, indent=1) + "\n")


def tables() -> dict[str, str]:
    """The tables `large-pool` and `large-pool-rounds`."""
    rows, rounds = [], []
    for row in json.loads(RAW.read_text())["rows"]:
        memory = [f"{row[key] / MIB:,.0f}" for key in ("peak_resident", "peak_anonymous", "imports")]
        rows.append([row["case"], *memory, f"{row['cpu_seconds']:.0f}"])
        if row["round_seconds"]:
            rounds.append([row["case"], *(f"{row['round_seconds'][name]:.2f}" for name in STRATEGIES)])
    heads = ["campaigns", "peak resident, MiB", "peak anonymous, MiB", "imports alone, MiB", "CPU s in all"]
    return {
        "large-pool": table(heads, rows),
        "large-pool-rounds": table(["CPU s of a round", *(f"`{name}`" for name in STRATEGIES)], rounds),
    }


def main() -> None:
    """Measure unless --fill, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fill", action="store_true", help="only fill the page from the raw file")
    parser.add_argument("--case", help="run one case in this process")
    parser.add_argument("--folder", type=Path, help="of its data")
    args = parser.parse_args()
    if args.case:
        print(json.dumps(run_case(args.case, args.folder)))
        return
    if not args.fill:
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        measure()
    PAGE.write_text(fill(PAGE.read_text(), tables()))


if __name__ == "__main__":
    main()
