"""Fill the tables of docs/performance.md from the raw files of the measurements.

    python benchmarks/performance.py

Raw: benchmarks/results/{throughput,growth,profile_training,floor,tiles,distances,counts}.json; see the scripts of
these names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import exp, log
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from floor import floor_seconds
from growth import AXES, SERIES
from page_tables import fill, table
from profile_training import environment_share

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
SIMPLE, GREEDY = ("random", "entropy", "margin"), ("kcenter", "badge")
PEERS = ("scikit-learn", "modAL", "scikit-activeml")
OURS = "al_gym (light)"
SUITE, KEPT = "al_gym (training suite, advantage)", "al_gym (training suite, advantage, datasets kept)"


def raw(name: str) -> Any:
    """One raw file."""
    return json.loads((RESULTS / f"{name}.json").read_text())


class Throughput:
    """throughput.json: rows by (system, task, strategy, envs), paired accuracies by (peer, task, strategy)."""

    def __init__(self, content: dict[str, Any]) -> None:
        rows = content["rows"]
        self.rows = {(r["system"], r["task"], r["strategy"], r["num_envs"]): r for r in rows}
        self.pairs = {(p["peer"], p["task"], p["strategy"]): p for p in content["accuracy"]}
        self.tasks = list(dict.fromkeys(r["task"] for r in rows if r["system"] == OURS))

    def rate(self, system: str, task: str, strategy: str, num_envs: int = 1) -> float | None:
        """Rounds a CPU second, or None."""
        row = self.rows.get((system, task, strategy, num_envs))
        return None if row is None else row["steps_per_second"]

    def ratios(self, peer: str, strategies: Sequence[str], num_envs: int = 64) -> list[float]:
        """al_gym over a peer in every cell."""
        cells = [(task, strategy) for task in self.tasks for strategy in strategies]
        return [self.rate(OURS, *cell, num_envs) / self.rate(peer, *cell) for cell in cells]  # type: ignore[operator]

    def lead(self, peer: str, task: str, strategy: str) -> tuple[float, float] | None:
        """al_gym's final accuracy minus that of a peer over the same campaigns, and its standard error, in points."""
        pair = self.pairs.get((peer, task, strategy))
        if pair is None:
            return None
        leads = [100 * (own - other) for own, other in zip(pair["ours"], pair["theirs"], strict=True)]
        return fmean(leads), stdev(leads) / len(leads) ** 0.5

    def gap(self) -> tuple[float, float]:
        """The furthest that a peer is ahead in the mean, in points, with its standard error."""
        return max((-lead, error) for lead, error in (self.lead(*key) or (0.0, 0.0) for key in self.pairs))


def mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return exp(sum(log(value) for value in values) / len(values))


def times(value: float) -> str:
    """A ratio as text."""
    return f"{value:.1f} x"


def points(value: float, error: float) -> str:
    """A difference in points with its 95 % interval."""
    return f"{value:.1f} ± {1.96 * error:.1f} points"


def target_rows(t: Throughput, share: float) -> list[tuple[str, str, str, bool]]:
    """What was asked, the target, what was measured, and whether it was met."""
    modal, loop = t.ratios("modAL", SIMPLE), t.ratios("scikit-learn", SIMPLE)
    greedy, single = t.ratios("scikit-activeml", GREEDY), t.ratios("scikit-learn", SIMPLE, 1)
    suite = t.rate(SUITE, "default", "random actions", 256) or 0.0
    behind, error = t.gap()
    return [
        ("random, entropy, margin over modAL, geometric mean", "25 x", times(mean(modal)), mean(modal) >= 25),
        ("the same, least cell", "12 x", times(min(modal)), min(modal) >= 12),
        ("random, entropy, margin over the plain loop, geometric mean", "18 x", times(mean(loop)), mean(loop) >= 18),
        ("kcenter, badge over scikit-activeml, geometric mean", "50 x", times(mean(greedy)), mean(greedy) >= 50),
        ("the same, least cell", "50 x", times(min(greedy)), min(greedy) >= 50),
        ("one environment over the plain loop, least cell", "1 x", times(min(single)), min(single) >= 1),
        ("training suite with `advantage`, 256 environments", "8,000/s", f"{suite:,.0f}/s", suite >= 8000),
        ("share of the environment in `train_policy.py`", "at most 50 %", f"{100 * share:.0f} %", share <= 0.5),
        ("final accuracy, furthest behind a peer", "1 point", points(behind, error), behind <= 1),
    ]  # fmt: skip


def rates(t: Throughput) -> str:
    """Rounds a CPU second of every system."""
    columns = [(peer, 1) for peer in PEERS] + [(OURS, n) for n in (1, 8, 64, 256)] + [("al_gym (default)", 64)]
    heads = ["task, strategy", *PEERS, *(f"al_gym, {n}" for n in (1, 8, 64, 256)), "al_gym, 64, default observation"]
    rows = []
    for task in t.tasks:
        for strategy in SIMPLE + GREEDY:
            found = [t.rate(system, task, strategy, n) for system, n in columns]
            rows.append([f"{task}, `{strategy}`", *("-" if v is None else f"{v:,.0f}" for v in found)])
    return table(heads, rows)


def accuracy(t: Throughput) -> str:
    """Final accuracies beside those of the peers on the same splits and seed sets."""
    rows = []
    for task in t.tasks:
        for strategy in SIMPLE + GREEDY:
            own = next(p["ours"] for key, p in t.pairs.items() if key[1:] == (task, strategy))
            leads = [t.lead(peer, task, strategy) for peer in PEERS]
            cells = ["-" if lead is None else f"{lead[0]:+.2f} ± {1.96 * lead[1]:.2f}" for lead in leads]
            rows.append([f"{task}, `{strategy}`", f"{100 * fmean(own):.1f}", *cells])
    return table(["task, strategy", "al_gym, %", *(f"minus {peer}" for peer in PEERS)], rows)


def vector(t: Throughput) -> str:
    """The native vector env beside Gymnasium's synchronous one."""
    rows = []
    for task in t.tasks:
        native = t.rate(OURS, task, "margin", 64) or 0.0
        sync = t.rate("al_gym (SyncVectorEnv, light)", task, "margin", 64) or 0.0
        rows.append([task, f"{native:,.0f}", f"{sync:,.0f}", times(native / sync)])
    return table(["`margin`, 64 environments", "native", "`SyncVectorEnv`", "ratio"], rows)


def suite(t: Throughput) -> str:
    """The training suite."""
    rows = [
        [str(key[3]), f"{row['steps_per_second']:,.0f}", f"{t.rate(KEPT, *key[1:]):,.0f}"]
        for key, row in t.rows.items() if key[0] == SUITE
    ]  # fmt: skip
    return table(["environments", "steps a CPU second", "with all datasets generated before"], rows)


def profile(content: dict[str, Any]) -> str:
    """CPU time by phase."""
    total = content["cpu_seconds"]
    parts = sorted(content["phases"].items(), key=lambda item: -item[1])
    parts.append(("what no timer saw", total - sum(content["phases"].values())))
    rows = [[name, f"{1e6 * s / content['steps']:.0f}", f"{100 * s / total:.1f} %"] for name, s in parts]
    rows.append(["**all**", f"{1e6 * total / content['steps']:.0f}", "100 %"])
    text = table(["phase", "microseconds a step", "share"], rows)
    share = 100 * environment_share(content)
    return (
        f"{text}\nThe environment takes {share:.0f} % ({content['steps']:,} steps, {content['num_envs']} campaigns).\n"
    )


def growth(content: dict[str, Any]) -> str:
    """Exponents and the ends of each axis."""
    rows = []
    for series in SERIES:
        for axis, (_, values) in AXES.items():
            found = [r["rounds_per_second"] for r in content["rows"] if (r["series"], r["axis"]) == (series, axis)]
            e = content["exponents"][series][axis]
            cells = [f"{values[0]:,} to {values[-1]:,}", f"{found[0]:,.0f} to {found[-1]:,.0f}"]
            rows.append([f"{series}: {axis}", *cells, f"{e['exponent']:.2f}", f"{e['steepest']:.2f}"])
    return table(["series: axis", "range", "rounds a CPU second", "exponent", "steepest"], rows)


def floors(content: dict[str, Any]) -> str:
    """CPU time of each phase beside what it must cost at the measured rates."""
    rows = []
    for name, found in content["scenarios"].items():
        rounds, spent, needed = found["rounds"], 0.0, 0.0
        for phase, work in found["phases"].items():
            least, cause = floor_seconds(work, content["rates"])
            spent, needed = spent + work["seconds"], needed + least
            if least:
                cells = [f"{1e6 * v / rounds:.1f}" for v in (work["seconds"], least)]
                rows.append([f"{name}: {phase}", *cells, times(work["seconds"] / least), cause])
        rows.append([f"{name}: all else", f"{1e6 * (found['seconds'] - spent) / rounds:.1f}", "-", "-", "-"])
        cells = [f"{1e6 * v / rounds:.1f}" for v in (found["seconds"], needed)]
        rows.append([f"{name}: **all**", *cells, times(found["seconds"] / needed), "-"])
    heads = ["where: phase", "microseconds a round", "floor", "over the floor", "what sets the floor"]
    speeds = content["rates"]
    means = ", ".join(f"{v['iterations'] / v['fits']:.1f} ({name})" for name, v in content["scenarios"].items())
    return (
        f"{table(heads, rows)}\nMeasured: {speeds['product'] / 1e9:.0f} GFLOP/s by the project's products (16 x 64 by "
        f"64 x 64), {speeds['sgemm'] / 1e9:.0f} by BLAS (1,024 x 1,024), {speeds['copy'] / 1e9:.0f} GB/s by a copy.\n"
        f"Mean iterations of a fit: {means}.\n"
    )


def counts(content: dict[str, Any]) -> str:
    """Operator calls and bytes."""
    heads = ["64 environments: reward, call", *(name.replace("_", " ") for name in next(iter(content.values())))]
    return table(heads, [[cell, *(f"{v:,}" for v in values.values())] for cell, values in content.items()])


def tiles(content: list[dict[str, Any]]) -> str:
    """Scores and hits from rows and from tiles."""
    heads = [
        "pool: items x features, classes",
        "scores from rows",
        "from tiles",
        "ratio",
        "hits from rows",
        "from tiles",
        "ratio",
    ]
    lines = []
    for row in content:
        cells = [f"{row['items']:,} x {row['features']}, {row['classes']}"]
        for call in ("scores", "hits"):
            plain, tiled = (row["microseconds"][f"{call}, {layout}"] for layout in ("rows", "tiles"))
            cells += [f"{plain:.1f}", f"{tiled:.1f}", times(plain / tiled)]
        lines.append(cells)
    return table(heads, lines) + "\nMicroseconds a pool; hits are the right predictions, which validation counts.\n"


def distances(content: list[dict[str, Any]]) -> str:
    """Distances beside SciPy and numpy."""
    calls = {"kernel": "kernel and bandwidth", "nearest": "5 new labels", "k-center": "k-center, 10 picks"}
    heads = [
        "pool: items x features",
        *(f"{text}: {who}" for text in calls.values() for who in ("plain", "al_gym", "ratio")),
    ]
    lines = []
    for row in content:
        cells = [f"{row['items']:,} x {row['features']}"]
        for call in calls:
            plain, ours = (row["microseconds"][f"{call}, {who}"] for who in ("scipy", "al_gym"))
            cells += [f"{plain:,.0f}", f"{ours:,.0f}", times(plain / ours)]
        lines.append(cells)
    return table(heads, lines) + "\nMicroseconds a pool.\n"


def blocks() -> dict[str, str]:
    """Name of a table -> Markdown."""
    t, training = Throughput(raw("throughput")), raw("profile_training")
    met = [[*row[:3], "yes" if row[3] else "**no**"] for row in target_rows(t, environment_share(training))]
    made = raw("throughput")["machine"]
    where = f"\nMeasured on one core of {made['cpu']}, Python {made['python']}, scikit-learn {made['scikit-learn']}.\n"
    return {
        "targets": table(["what", "target", "measured", "met"], met) + where,
        "rates": rates(t), "accuracy": accuracy(t), "vector": vector(t), "suite": suite(t),
        "profile": profile(training), "floor": floors(raw("floor")),
        "growth": growth(raw("growth")), "counts": counts(raw("counts")), "tiles": tiles(raw("tiles")),
        "distances": distances(raw("distances")),
    }  # fmt: skip


def main() -> None:
    """Fill the page."""
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), blocks()), encoding="utf-8")
    print(f"filled {PAGE}")


if __name__ == "__main__":
    main()
