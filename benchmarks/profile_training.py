"""Where the CPU time of `train_policy.py` goes: the environment's phases against PPO's own work.

    python benchmarks/profile_training.py     # writes benchmarks/results/profile_training.json

The default run (PPO, 128 campaigns, the default suite's training part, reward `advantage`) over a few rollouts, with
timers around the calls named in `ENGINE` and `CAMPAIGN`; checkpoints and the held-out evaluation are left out. CPU
seconds, one thread. Compilation falls into the first rollout, which is not counted. A phase that calls another one is
charged without it, but the reference campaigns are charged with all that they call.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from one_core import pin

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "benchmarks" / "results" / "profile_training.json"
NUM_ENVS, ROLLOUTS = 128, 10
REFERENCE = "reset: reference campaigns of advantage"
ENGINE = {
    "reset": "reset, the rest", "_round": "round, the rest", "sample_task": "reset: draw tasks",
    "_run_reference": REFERENCE,
}  # fmt: skip
CAMPAIGN = {"load": "reset: load and first fit", "select": "round: select", "reveal": "round: labels and fit"}
OBSERVE = "observations"
ACCURACY = "validation accuracy"
ADAPTER = "vector env and SB3 adapter"
UPDATE, COLLECT = "PPO: update", "PPO: actions and buffer"


class Phases:
    """CPU seconds by phase, each without the phases that it calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside: list[float] = []
        self._in_reference = False

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, charged to `name`."""

        def run(*args: Any, **kwargs: Any) -> Any:
            if self._in_reference:
                return call(*args, **kwargs)
            self._inside.append(0.0)
            self._in_reference = name == REFERENCE
            start = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                self._in_reference = False
                spent = time.process_time() - start
                self.seconds[name] += spent - self._inside.pop()
                if self._inside:
                    self._inside[-1] += spent

        return run


def instrument(phases: Phases, model: Any, venv: Any) -> None:
    """Put timers around the calls of one training environment and its model."""
    from agents.environment import engine_of, layers

    engine = engine_of(layers(venv)[0])
    campaign = engine.campaign
    calls = [(engine, method, name) for method, name in ENGINE.items()]
    calls += [(campaign, method, name) for method, name in CAMPAIGN.items()]
    calls += [(campaign, "accuracy", ACCURACY), (engine.observer, "observe", OBSERVE)]
    calls += [(venv, "step", ADAPTER), (model, "train", UPDATE), (model, "collect_rollouts", COLLECT)]
    for owner, method, name in calls:
        setattr(owner, method, phases.timed(name, getattr(owner, method)))


def measure(rollouts: int) -> dict[str, Any]:
    """CPU seconds by phase over `rollouts` rollouts after the first."""
    from throughput import compile_float64

    import al_gym  # noqa: F401
    from agents.algorithms import default_config, make_model
    from agents.config import load_config
    from agents.environment import make_training_env, seed_streams

    compile_float64()
    config = load_config(default_config("ppo"))
    venv = make_training_env(
        "al_gym/Strategy-v0", NUM_ENVS, reward_scale=config.reward_scale, reward="advantage", tasks="default",
        split="train", **config.environment,
    )  # fmt: skip
    model = make_model("ppo", venv, config, seed=0, device="cpu")
    seed_streams(venv, 0)
    steps = NUM_ENVS * config.algorithm["n_steps"]
    model.learn(steps)  # compiles
    phases = Phases()
    instrument(phases, model, venv)
    start = time.process_time()
    model.learn(rollouts * steps, reset_num_timesteps=False)
    total = time.process_time() - start
    venv.close()
    return {
        "num_envs": NUM_ENVS, "rollouts": rollouts, "steps": rollouts * steps, "cpu_seconds": total,
        "phases": dict(phases.seconds),
    }  # fmt: skip


def environment_share(content: dict[str, Any]) -> float:
    """The share in [0, 1] of the CPU time that is not PPO's; what no timer saw counts as PPO's."""
    spent = sum(seconds for name, seconds in content["phases"].items() if name not in (UPDATE, COLLECT))
    return spent / content["cpu_seconds"]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=ROLLOUTS, help=f"after the first one ({ROLLOUTS})")
    parser.add_argument("--json", type=Path, default=RAW, help="where to write")
    args = parser.parse_args()
    pin()
    sys.path.insert(0, str(ROOT))  # agents/ is not installed with the package
    content = measure(args.rollouts)
    args.json.write_text(json.dumps(content, indent=1) + "\n")
    for name, seconds in sorted(content["phases"].items(), key=lambda item: -item[1]):
        print(f"{name:<42} {seconds:7.2f} s {100 * seconds / content['cpu_seconds']:5.1f} %")
    print(f"environment: {100 * environment_share(content):.1f} % of {content['cpu_seconds']:.1f} CPU seconds")


if __name__ == "__main__":
    main()
