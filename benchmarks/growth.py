"""How the CPU time of a round grows with pool size, labels, features, classes and environments.

    python benchmarks/growth.py             # measure, fit exponents, draw
    python benchmarks/growth.py --axis pool # measure one axis again, keep the others
    python benchmarks/growth.py --redraw    # the picture from the raw numbers alone

Gaussian classes of equal difficulty; one axis moves at a time, the others stay at `BASE`. Two series: margin with an
observation without distances; and maxherding with the default observation, which both need pairs of items. A point
is the median CPU time of rounds after the first fit, one thread; resets and compilation are left out. An exponent e
says that the time of a round of ONE environment grows as x^e over the axis; `steepest` is the largest e between
neighbours, where a cliff would show. Pools of more than 250,000 items run in fewer environments, `MOST_ITEMS` in all.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from one_core import pin

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "benchmarks" / "results" / "growth.json"
PICTURE = ROOT / "docs" / "images" / "growth.png"
ROUNDS, BATCH, HOLDOUT = 4, 5, 300
SEPARATION = 2.5
SECONDS, EPISODES = 0.25, 10  # a point ends at one of them
MOST_ITEMS = 4_000_000


@dataclass(frozen=True)
class Point:
    """The sizes of one measurement; `labels` are held before the first timed round."""

    pool: int = 500
    labels: int = 200
    features: int = 32
    classes: int = 5
    envs: int = 16


BASE = Point()
AXES: dict[str, tuple[Point, tuple[int, ...]]] = {
    "pool": (BASE, (1000, 3000, 10_000, 30_000, 100_000, 1_000_000)),
    "labels": (replace(BASE, pool=2000), (10, 30, 100, 300, 1000)),
    "features": (BASE, (8, 32, 128, 512)),
    "classes": (BASE, (2, 5, 20, 100)),
    "envs": (BASE, (1, 4, 16, 64, 256, 1024)),
}
LIGHT = ("uncertainty", "classes", "progress", "training", "prequential", "last-action")
SERIES: dict[str, dict[str, Any]] = {
    "margin, light observation": {"strategies": ["margin"], "features": list(LIGHT)},
    "maxherding, default observation": {"strategies": ["maxherding"]},
}


def dataset(point: Point) -> Any:
    """Classes around random centres whose distance does not depend on the number of features."""
    import numpy as np

    from al_gym.tasks import Dataset

    rng = np.random.default_rng(0)
    items = point.pool * 5 // 3 + 2 * HOLDOUT
    y = rng.integers(point.classes, size=items)
    centres = rng.normal(size=(point.classes, point.features)) * SEPARATION / point.features**0.5
    X = rng.standard_normal((items, point.features), np.float32) + centres[y].astype(np.float32)
    return Dataset.from_arrays("growth", X, y)


def seconds_per_round(point: Point, arguments: dict[str, Any]) -> float:
    """CPU seconds of one round of one of the environments."""
    import gymnasium as gym
    import numpy as np

    import al_gym  # noqa: F401

    env = gym.make_vec(
        "al_gym/Strategy-v0", num_envs=point.envs, autoreset_mode="Disabled", tasks=dataset(point),
        initial=point.labels, batch_size=BATCH, budget=ROUNDS * BATCH, pool_size=point.pool, validation_size=HOLDOUT,
        **arguments,
    )  # fmt: skip
    actions, times = np.zeros(point.envs, np.int64), []
    for episode in range(EPISODES):
        env.reset(seed=episode)
        for number in range(ROUNDS):
            start = time.process_time()
            env.step(actions)
            if number:  # the first round may fill what later ones use again
                times.append(time.process_time() - start)
        if sum(times) > SECONDS:
            break
    env.close()
    return float(np.median(times)) / point.envs


def measure(only: str | None) -> list[dict[str, Any]]:
    """One row a point and series, of one axis or of all."""
    rows = []
    for series, arguments in SERIES.items():
        seconds_per_round(BASE, arguments)  # compiles
        for axis, (base, values) in AXES.items():
            for value in values if only in (axis, None) else ():
                point = replace(base, **{axis: value})
                point = replace(point, envs=min(point.envs, max(1, MOST_ITEMS // point.pool)))
                seconds = seconds_per_round(point, arguments)
                rows.append({"series": series, "axis": axis, **asdict(point), "rounds_per_second": 1 / seconds})
                print(f"{series:<32} {axis:<9} {value:>7} {1 / seconds:>9.0f} rounds/s", flush=True)
    return rows


def exponents(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Series -> axis -> exponent of the time of a round over the axis, and the steepest between neighbours."""
    import numpy as np

    found: dict[str, dict[str, dict[str, float]]] = {series: {} for series in SERIES}
    for series in SERIES:
        for axis in AXES:
            chosen = [row for row in rows if row["series"] == series and row["axis"] == axis]
            x = np.log([row[axis] for row in chosen])
            t = -np.log([row["rounds_per_second"] for row in chosen])
            found[series][axis] = {
                "exponent": float(np.polyfit(x, t, 1)[0]),
                "steepest": float((np.diff(t) / np.diff(x)).max()),
            }
    return found


def draw(content: dict[str, Any], path: Path) -> None:
    """One panel an axis, one line a series."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(AXES), figsize=(14, 3.2), layout="constrained", sharey=True)
    for axes, axis in zip(panels, AXES, strict=True):
        for line, series in enumerate(SERIES):
            rows = [row for row in content["rows"] if row["series"] == series and row["axis"] == axis]
            e = content["exponents"][series][axis]["exponent"]
            x, y = [row[axis] for row in rows], [row["rounds_per_second"] for row in rows]
            axes.loglog(x, y, marker="o", markersize=4, color=f"C{line}", label=series if axis == "pool" else None)
            text = {"color": f"C{line}", "fontsize": 9, "transform": axes.transAxes}
            axes.text(0.04, 0.04 + 0.09 * line, f"time ~ {axis}^{e:.2f}", **text)
        axes.set_xlabel({"pool": "pool items", "labels": "labels held", "envs": "environments"}.get(axis, axis))
        axes.grid(alpha=0.3, which="both")
    panels[0].set_ylim(bottom=2)
    panels[0].set_ylabel("rounds a CPU second")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Measure unless --redraw, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redraw", action="store_true", help="from the raw numbers alone")
    parser.add_argument("--axis", choices=AXES, help="measure this one alone; the raw file keeps the others")
    args = parser.parse_args()
    pin()
    if not args.redraw:
        start = time.process_time()
        rows = measure(args.axis)
        seconds = time.process_time() - start
        if args.axis:
            old = json.loads(RAW.read_text())
            rows = [row for row in old["rows"] if row["axis"] != args.axis] + rows
            seconds += old["cpu_seconds"]
        content = {"rows": rows, "exponents": exponents(rows), "cpu_seconds": seconds}
        RAW.write_text(json.dumps(content, indent=1) + "\n")
    draw(json.loads(RAW.read_text()), PICTURE)


if __name__ == "__main__":
    main()
