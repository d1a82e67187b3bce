"""What a round must cost on this machine, beside what it costs: operations and bytes against the measured rates.

    python benchmarks/floor.py    # writes benchmarks/results/floor.json

Digits, breast cancer and the made-up set of `throughput.py` (64 environments, `margin`, the observation without
distances), and the default training suite (128 environments, random actions over the eight default strategies, default
observation, reward `advantage`, resets and reference campaigns counted in). For each phase: CPU seconds, and the
floating-point operations and bytes that its method cannot do without, at the true sizes:

- fit: from m labels, n features, k classes and the iterations that the fit took. With d = min(m, n): the curvature
  d m n and its inverse d^3 once; each iteration multiplies k rows by the inverse (2 k d^2), makes logits (2 k m d) and,
  over features, a gradient (2 k m n), and takes k m exponentials of 16 operations. Bytes: features of labels, weights.
  Two classes are one logit (k = 1).
- scores: 2 k n operations an item of the pool and k exponentials; its features are read, and k probabilities and four
  numbers written.
- validation: 2 k n operations an item of the holdout; its features are read.
- distances: 2 n operations for each pair of items that was asked for; the pool's features are read once a call, and
  kernels written.

The floor of a phase is the larger of operations over the fastest measured matrix rate and bytes over the measured
bandwidth of a copy. Everything else (the picks of strategies, summaries for the observation, Python) has no floor.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from one_core import pin

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "benchmarks" / "results" / "floor.json"
ROUNDS, EPISODES, REPEATS = 20, 2, 5
EXPONENTIAL = 16
FIT, SCORES, VALIDATION, DISTANCES = "fit", "scores", "validation", "distances"
PHASES = (FIT, SCORES, VALIDATION, DISTANCES)


class Work:
    """Operations, bytes and CPU seconds of each phase, and the iterations of the fits."""

    def __init__(self) -> None:
        self.phases = {name: {"operations": 0.0, "bytes": 0.0, "seconds": 0.0} for name in PHASES}
        self.fits = self.iterations = 0

    def add(self, phase: str, operations: Any, read: Any, seconds: float) -> None:
        """Sums over tasks of `operations` and `read` (arrays, one entry a task) count for a phase."""
        here = self.phases[phase]
        here["operations"] += float(operations.sum())
        here["bytes"] += float(read.sum())
        here["seconds"] += seconds


def fit_work(m: Any, n: Any, k: Any, iterations: Any) -> tuple[Any, Any]:
    """Operations and bytes of fits: labels, features, classes seen, iterations; one entry a fit."""
    d, span, k = (m < n) * m + (m >= n) * n, m <= n, k - (k == 2) * 1
    once = d * m * n + d**3 + 2 * k * m * n + span * 2 * k * m * n
    each = 2 * k * d**2 + 2 * k * m * d + ~span * 2 * k * m * n + EXPONENTIAL * k * m
    return once + iterations * each, 4 * (m * n + 2 * k * (n + 1))


@contextmanager
def counted(work: Work) -> Iterator[None]:
    """Count and time the four phases while the context lasts."""
    from al_gym.kernels import geometry, softmax_fit
    from al_gym.learners.softmax import Softmax

    solver, fit, score, hits = softmax_fit.fit_softmax, Softmax.fit, Softmax.score_pool, Softmax.class_hits
    found: list[Any] = []

    def solve(*args: Any, **more: Any) -> Any:
        found.append(solver(*args, **more))
        return found[-1]

    def timed(call: Callable[..., Any], *args: Any) -> tuple[Any, float]:
        start = time.process_time()
        result = call(*args)
        return result, time.process_time() - start

    def fit_all(self: Any, state: Any, arrays: Any, rows: Any) -> None:
        seconds = timed(fit, self, state, arrays, rows)[1]
        iterations, k = found.pop(), arrays.seen[rows].sum(1)
        work.add(FIT, *fit_work(arrays.count[rows], arrays.n_features[rows], k, iterations), seconds)
        work.fits += len(rows)
        work.iterations += int(iterations.sum())

    def score_all(self: Any, state: Any, arrays: Any, rows: Any) -> None:
        seconds = timed(score, self, state, arrays, rows)[1]
        items, n, k = arrays.n_items[rows], arrays.n_features[rows], arrays.seen[rows].sum(1)
        work.add(SCORES, items * k * (2 * n + EXPONENTIAL), 4 * items * (n + k + 4), seconds)

    def hit_all(self: Any, state: Any, arrays: Any, rows: Any, X: Any, y: Any, count: Any) -> Any:
        result, seconds = timed(hits, self, state, arrays, rows, X, y, count)
        n, items = arrays.n_features[rows], count[rows]
        work.add(VALIDATION, 2 * items * n * arrays.seen[rows].sum(1), 4 * items * n, seconds)
        return result

    nearest, means, matrices = geometry.update_nearest, geometry.neighbour_means, geometry.kernel_matrices

    def nearest_all(
        tiles: Any, rows: Any, items: Any, features: Any, order: Any, count: Any, done: Any, near: Any
    ) -> None:
        new = count[rows] - done[rows]
        seconds = timed(nearest, tiles, rows, items, features, order, count, done, near)[1]
        size = items[rows] * features[rows]
        work.add(DISTANCES, 2 * new * size, 4 * size, seconds)

    def means_all(tiles: Any, rows: Any, items: Any, features: Any, *rest: Any) -> None:
        seconds = timed(means, tiles, rows, items, features, *rest)[1]
        size = items[rows] * features[rows]
        work.add(DISTANCES, items[rows] * size, 4 * size, seconds)

    def matrices_all(tiles: Any, rows: Any, items: Any, features: Any, *rest: Any) -> None:
        seconds = timed(matrices, tiles, rows, items, features, *rest)[1]
        size = items[rows] * features[rows]
        work.add(DISTANCES, items[rows] * size, 4 * (size + items[rows] ** 2), seconds)

    with (
        patch.object(softmax_fit, "fit_softmax", solve), patch.object(Softmax, "fit", fit_all),
        patch.object(Softmax, "score_pool", score_all), patch.object(Softmax, "class_hits", hit_all),
        patch.object(geometry, "update_nearest", nearest_all), patch.object(geometry, "neighbour_means", means_all),
        patch.object(geometry, "kernel_matrices", matrices_all),
    ):  # fmt: skip
        yield


def measure(env: Any, episodes: int, resets: bool) -> dict[str, Any]:
    """Phases over whole episodes after a first one, which compiles; with `resets`, these count too (SAME_STEP)."""
    import numpy as np

    rng, work, seconds = np.random.default_rng(0), Work(), 0.0
    actions = rng.integers(env.single_action_space.n, size=((episodes + 1) * ROUNDS, env.num_envs))
    env.reset(seed=0)
    for number, action in enumerate(actions):
        if not resets and number and number % ROUNDS == 0:
            env.reset(seed=number)
        if number < ROUNDS:
            env.step(action)
            continue
        with counted(work):
            start = time.process_time()
            env.step(action)
            seconds += time.process_time() - start
    env.close()
    return {
        "num_envs": env.num_envs, "rounds": episodes * ROUNDS * env.num_envs, "seconds": seconds, "fits": work.fits,
        "iterations": work.iterations, "phases": work.phases,
    }  # fmt: skip


def fastest(call: Callable[[], Any], repeats: int = REPEATS) -> float:
    """CPU seconds of the fastest of several calls after a first one."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def rates() -> dict[str, float]:
    """Operations a second of the project's products (16 x 64 by 64 x 64) and of BLAS, and bytes a second of a copy."""
    import numba as nb
    import numpy as np

    from al_gym.kernels.product import product

    loops = 20_000

    @nb.njit(error_model="numpy")
    def multiply(A: Any, B: Any, C: Any) -> None:
        for _ in range(loops):
            product(len(A), len(B), B.shape[1], A, A.shape[1], B, B.shape[1], False, C, C.shape[1])

    rng = np.random.default_rng(0)
    A, B = (rng.normal(size=(rows, 64)).astype(np.float32) for rows in (16, 64))
    C, large = np.zeros_like(A), rng.normal(size=(1024, 1024)).astype(np.float32)
    source = np.ones(1 << 26, np.float32)
    target = np.empty_like(source)
    return {
        "product": loops * 2 * 16 * 64 * 64 / fastest(lambda: multiply(A, B, C)),
        "sgemm": 2 * 1024**3 / fastest(lambda: large @ large),
        "copy": 2 * source.nbytes / fastest(lambda: np.copyto(target, source)),
    }


def scenarios() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and measurement."""
    import gymnasium as gym
    from throughput import LIGHT, compile_float64, datasets, settings

    import al_gym  # noqa: F401

    compile_float64()
    for name, dataset in datasets(quick=False).items():
        arguments = settings(dataset, "margin", LIGHT)
        env = gym.make_vec("al_gym/Strategy-v0", num_envs=64, autoreset_mode="Disabled", **arguments)
        yield f"{name}, `margin`", measure(env, EPISODES, resets=False)
    env = gym.make_vec("al_gym/Strategy-v0", num_envs=128, reward="advantage", autoreset_mode="SameStep")
    yield "training suite", measure(env, EPISODES, resets=True)


def floor_seconds(phase: dict[str, float], machine: dict[str, float]) -> tuple[float, str]:
    """The floor of a phase, and what sets it."""
    operations = phase["operations"] / max(machine["product"], machine["sgemm"])
    memory = phase["bytes"] / machine["copy"]
    return max((operations, "operations"), (memory, "memory"))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=RAW, help="where to write")
    args = parser.parse_args()
    pin()
    content: dict[str, Any] = {"rates": rates(), "scenarios": dict(scenarios())}
    args.json.write_text(json.dumps(content, indent=1) + "\n")
    for name, found in content["scenarios"].items():
        print(f"{name}: {1e6 * found['seconds'] / found['rounds']:.1f} us a round")
        for phase, work in found["phases"].items():
            floor, cause = floor_seconds(work, content["rates"])
            if work["seconds"]:
                measured = 1e6 * work["seconds"] / found["rounds"]
                print(f"  {phase:<10} {measured:8.1f} us, {work['seconds'] / floor:6.1f} x the floor ({cause})")
    print({name: f"{rate / 1e9:.0f} G/s" for name, rate in content["rates"].items()})


if __name__ == "__main__":
    main()
