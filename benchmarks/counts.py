"""Operator calls and bytes allocated by a step and a reset: counts that a busy machine cannot change, for CI.

    python benchmarks/counts.py            # print them
    python benchmarks/counts.py --check    # fail if one has grown by more than a tenth over the committed ones
    python benchmarks/counts.py --write    # commit new ones: benchmarks/results/counts.json

For 64 environments of the default suite under fixed actions, the mean over five steps and one reset of

- torch operators (what reaches the dispatcher),
- bytes of the tensors that they create,
- Python and C function calls, and
- the largest number of bytes that Python and numpy hold over what they held before.

The compiled kernels are one call each and allocate little: what grows here is the work around them.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import al_gym  # noqa: F401

COMMITTED = Path(__file__).parent / "results" / "counts.json"
SLACK = 1.1
NUM_ENVS, STEPS = 64, 5
Counts = dict[str, int]


class TorchCounts(TorchDispatchMode):
    """Counts operators and the bytes of the tensors that they create."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.created = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        results = out if isinstance(out, tuple | list) else (out,)
        for result, declared in zip(results, func._schema.returns, strict=False):
            if isinstance(result, torch.Tensor) and declared.alias_info is None:
                self.created += result.numel() * result.element_size()
        return out


def function_calls(run: Callable[[], Any]) -> int:
    """Calls of Python and C functions in `run()`."""
    calls = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return calls


def held_bytes(run: Callable[[], Any]) -> int:
    """Peak of the bytes of Python and numpy in `run()` over those before."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def count(run: Callable[[], Any], times: int) -> Counts:
    """The four counts of `run()`, each the mean of `times` calls of it."""
    with TorchCounts() as torch_counts:
        for _ in range(times):
            run()
    return {
        "torch_operators": torch_counts.calls // times,
        "torch_bytes": torch_counts.created // times,
        "function_calls": sum(function_calls(run) for _ in range(times)) // times,
        "held_bytes": sum(held_bytes(run) for _ in range(times)) // times,
    }


def measure() -> dict[str, Counts]:
    """Counts of a step and of a reset, by reward."""
    found: dict[str, Counts] = {}
    for reward in ("gain_per_label", "advantage"):
        env = gym.make_vec("al_gym/Strategy-v0", num_envs=NUM_ENVS, reward=reward, autoreset_mode="Disabled")
        actions = np.arange(NUM_ENVS) % 8

        def reset(env: Any = env) -> None:
            env.reset(seed=0)

        def step(env: Any = env, actions: Any = actions) -> None:
            env.step(actions)

        reset()
        step()  # compiles, fills caches
        reset()
        found[f"{reward}, step"] = count(step, STEPS)  # 15 of 20 rounds
        found[f"{reward}, reset"] = count(reset, 1)
        env.close()
    return found


def grown(found: dict[str, Counts], committed: dict[str, Counts]) -> list[str]:
    """A line for each count that is more than a tenth larger than the committed one, or that was not committed."""
    lines = []
    for cell, counts in found.items():
        for name, value in counts.items():
            bound = committed.get(cell, {}).get(name)
            if bound is None or value > SLACK * bound:
                lines.append(f"{cell}: {name} is {value:,}, committed {'none' if bound is None else f'{bound:,}'}")
    return lines


def main() -> None:
    """Measure, and check or write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail if a count has grown by more than a tenth")
    parser.add_argument("--write", action="store_true", help="write the committed file")
    args = parser.parse_args()
    found = measure()
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if args.write:
        COMMITTED.write_text(json.dumps(found, indent=1) + "\n")
    if args.check:
        lines = grown(found, json.loads(COMMITTED.read_text()))
        if lines:
            raise SystemExit("Steps cost more than committed; make them cheaper or run --write:\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
