"""Fill the tables of docs/performance.md from the raw files of the four measurements.

    python benchmarks/performance.py

Raw: benchmarks/results/{throughput,growth,profile_training,counts}.json; see the scripts of these names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import exp, log
from pathlib import Path
from typing import Any

from growth import AXES, SERIES
from page_tables import fill, table
from profile_training import environment_share

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
SIMPLE, GREEDY = ("random", "entropy", "margin"), ("kcenter", "badge")
PEERS = ("scikit-learn", "modAL", "scikit-activeml")
OURS = "al_gym (light)"
SUITE = "al_gym (training suite, advantage)"


def raw(name: str) -> Any:
    """One raw file."""
    return json.loads((RESULTS / f"{name}.json").read_text())


class Throughput:
    """The rows of throughput.json by (system, task, strategy, envs)."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = {(r["system"], r["task"], r["strategy"], r["num_envs"]): r for r in rows}
        self.tasks = list(dict.fromkeys(r["task"] for r in rows if r["system"] == OURS))

    def rate(self, system: str, task: str, strategy: str, num_envs: int = 1) -> float | None:
        """Rounds a CPU second, or None."""
        row = self.rows.get((system, task, strategy, num_envs))
        return None if row is None else row["steps_per_second"]

    def ratios(self, peer: str, strategies: Sequence[str], num_envs: int = 64) -> list[float]:
        """al_gym over a peer in every cell."""
        cells = [(task, strategy) for task in self.tasks for strategy in strategies]
        return [self.rate(OURS, *cell, num_envs) / self.rate(peer, *cell) for cell in cells]  # type: ignore[operator]

    def gap(self) -> float:
        """The largest lack of final accuracy at 64 envs behind a peer, in points."""
        peers = [row for key, row in self.rows.items() if key[0] in PEERS]
        ours = {key[1:3]: row for key, row in self.rows.items() if key[0] == OURS and key[3] == 64}
        return max(
            100 * (row["final_accuracy"] - ours[row["task"], row["strategy"]]["final_accuracy"]) for row in peers
        )


def mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return exp(sum(log(value) for value in values) / len(values))


def times(value: float) -> str:
    """A ratio as text."""
    return f"{value:.1f} x"


def target_rows(t: Throughput, share: float) -> list[tuple[str, str, str, bool]]:
    """What was asked, the target, what was measured, and whether it was met."""
    modal, loop = t.ratios("modAL", SIMPLE), t.ratios("scikit-learn", SIMPLE)
    greedy, single = t.ratios("scikit-activeml", GREEDY), t.ratios("scikit-learn", SIMPLE, 1)
    suite = t.rate(SUITE, "default", "random actions", 256) or 0.0
    return [
        ("random, entropy, margin over modAL, geometric mean", "25 x", times(mean(modal)), mean(modal) >= 25),
        ("the same, least cell", "12 x", times(min(modal)), min(modal) >= 12),
        ("random, entropy, margin over the plain loop, geometric mean", "18 x", times(mean(loop)), mean(loop) >= 18),
        ("kcenter, badge over scikit-activeml, geometric mean", "50 x", times(mean(greedy)), mean(greedy) >= 50),
        ("the same, least cell", "50 x", times(min(greedy)), min(greedy) >= 50),
        ("one environment over the plain loop, least cell", "1 x", times(min(single)), min(single) >= 1),
        ("training suite with `advantage`, 256 environments", "8,000/s", f"{suite:,.0f}/s", suite >= 8000),
        ("share of the environment in `train_policy.py`", "at most 50 %", f"{100 * share:.0f} %", share <= 0.5),
        ("final accuracy, furthest behind a peer", "1 point", f"{t.gap():.1f} points", t.gap() <= 1),
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


def vector(t: Throughput) -> str:
    """The native vector env beside Gymnasium's synchronous one."""
    rows = []
    for task in t.tasks:
        native = t.rate(OURS, task, "margin", 64) or 0.0
        sync = t.rate("al_gym (SyncVectorEnv, light)", task, "margin", 64) or 0.0
        rows.append([task, f"{native:,.0f}", f"{sync:,.0f}", times(native / sync)])
    return table(["`margin`, 64 environments", "native", "`SyncVectorEnv`", "ratio"], rows)


ALONE = """
These rows were measured alone, later than the others (`throughput.py --only-suite`). In the run of the others the fit
in float64, which a few hard tasks need, was compiled while the clock ran, and the row of 256 environments came out
several times too low.
"""


def suite(t: Throughput, alone: bool) -> str:
    """The training suite; `alone` if it was not measured in one run with the peers."""
    rows = [[str(key[3]), f"{row['steps_per_second']:,.0f}"] for key, row in t.rows.items() if key[0] == SUITE]
    return table(["environments", "steps a CPU second"], rows) + (ALONE if alone else "")


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


def counts(content: dict[str, Any]) -> str:
    """Operator calls and bytes."""
    heads = ["64 environments: reward, call", *(name.replace("_", " ") for name in next(iter(content.values())))]
    return table(heads, [[cell, *(f"{v:,}" for v in values.values())] for cell, values in content.items()])


def blocks() -> dict[str, str]:
    """Name of a table -> Markdown."""
    throughput, training = raw("throughput"), raw("profile_training")
    t, alone = Throughput(throughput["rows"]), SUITE in throughput.get("measured_alone", [])
    met = [[*row[:3], "yes" if row[3] else "**no**"] for row in target_rows(t, environment_share(training))]
    return {
        "targets": table(["what", "target", "measured", "met"], met),
        "rates": rates(t), "vector": vector(t), "suite": suite(t, alone), "profile": profile(training),
        "growth": growth(raw("growth")), "counts": counts(raw("counts")),
    }  # fmt: skip


def main() -> None:
    """Fill the page."""
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), blocks()), encoding="utf-8")
    print(f"filled {PAGE}")


if __name__ == "__main__":
    main()
