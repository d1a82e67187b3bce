"""Train a query policy with reinforcement learning, then judge it on real datasets that it never saw.

python train_policy.py                                    # the default: at most 10 minutes on 2 cores
python train_policy.py --total-timesteps 1000000 --seed 1 --out runs/long
python train_policy.py --out runs/long --resume           # goes on where a killed run stopped
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from rich.console import Console
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import ProgressBarCallback

import al_gym
from agents.algorithms import ALGORITHMS, default_config, make_model
from agents.callbacks import Checkpoints, Stopped, StopSignals
from agents.checkpoint import Restored, checkpoints, remove_leftovers, restore_checkpoint
from agents.config import Config, load_config
from agents.environment import make_training_env, seed_streams
from agents.export import export_policy
from agents.logs import make_logger
from agents.tasks import TrainingTasks, training_tasks
from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.errors import AlGymError, ResumeError
from al_gym.evaluation.files import read_json, write_json
from al_gym.evaluation.summary import PACKAGES, package_versions
from al_gym.evaluation.table import paired_table, summary_table
from al_gym.threads import pin_threads

JUDGES = "bundled"  # digits, breast cancer, wine and iris; training never sees them
JUDGE_SEEDS = 30
JUDGE_BUDGET_SHARE = 0.4
FREE_ON_RESUME = ("total_timesteps", "no_eval", "device", "checkpoint_every")

console = Console()


def option(default: Any, text: str, **more: Any) -> Any:
    """A field of `Arguments` with its help."""
    return field(default=default, metadata={"help": text, **more})


@dataclass(frozen=True)
class Arguments:
    """Everything that fixes a run."""

    env: str = option("al_gym/Strategy-v0", "registered id of the environment")
    tasks: str = option("default", "task suite to train on, its training part; none: the datasets of --data alone")
    total_timesteps: int = option(150_000, "environment steps; raised to a whole number of rollouts")
    n_envs: int = option(128, "campaigns side by side")
    shards: int = option(1, "worker processes that share the campaigns, one a core; the trajectories stay the same")
    seed: int = option(0, "of the networks, of exploration, and of the environments' streams")
    out: str | None = option(None, "run folder; by default a new one in runs/")
    resume: bool = option(False, "continue the run in --out; other arguments come from its args.json")
    algo: str = option("ppo", "algorithm", choices=tuple(ALGORITHMS))
    no_eval: bool = option(False, "leave the held-out evaluation out")
    device: str = option("cpu", "torch device of the networks and of the environments")
    data: str | None = option(None, "folder of datasets that are added to the training tasks")
    datasets: str | None = option(None, "file with the names of --data to use, one a line")
    config: str | None = option(None, "YAML file of hyper-parameters instead of agents/configs/ALGO.yaml")
    checkpoint_every: int = option(20_000, "environment steps between checkpoints")


def parse(argv: Sequence[str] | None = None) -> Arguments:
    """Read the command line; with --resume, what is not given comes from the run's args.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS
    )
    for f in fields(Arguments):
        more: dict[str, Any] = {"help": f"{f.metadata['help']} (default: {f.default})"}
        if isinstance(f.default, bool):
            more["action"] = "store_true"
        else:
            more |= {"type": int if isinstance(f.default, int) else str, "choices": f.metadata.get("choices")}
        parser.add_argument(f"--{f.name.replace('_', '-')}", **more)
    given = vars(parser.parse_args(argv))
    if given.get("resume") and "out" not in given:
        parser.error("--resume needs --out, the folder of the run to continue")
    saved: dict[str, Any] = {}
    if given.get("resume") and (Path(given["out"]) / "args.json").exists():
        saved = read_json(Path(given["out"]) / "args.json")
        saved = {f.name: saved[f.name] for f in fields(Arguments) if f.name in saved and f.name != "no_eval"}
    return Arguments(**{**saved, **given})


def main(args: Arguments) -> Path:
    """Train, export and judge.

    Returns:
        The run folder.

    Raises:
        Stopped: SIGTERM or Ctrl-C; everything up to the last rollout is in the folder.
        AlGymError: the arguments cannot be used; says which and what to do.
    """
    pin_threads()
    config = load_config(args.config or default_config(args.algo))
    folder = open_run(args)
    console.print(f"Run folder: {folder}")
    tasks = training_tasks(args.tasks, args.data, args.datasets, JUDGES)
    if train(args, config, tasks, folder):
        shutil.rmtree(folder / "heldout", ignore_errors=True)  # it judged an earlier policy
    if not args.no_eval:
        judge(folder)
    for name, reason in tasks.left_out.items():
        console.print(f"Not trained on: {name} ({reason})")
    return folder


def open_run(args: Arguments) -> Path:
    """Make or find the run folder, and write args.json and versions.json."""
    folder = Path(args.out) if args.out is not None else new_folder(args)
    saved = read_json(folder / "args.json") if (folder / "args.json").exists() else None
    if saved is not None and not args.resume:
        raise ResumeError(f"{folder} already holds a run; add --resume to continue it, or choose another --out.")
    if args.resume and not folder.is_dir():
        raise ResumeError(f"there is no run in {folder}; start it without --resume.")
    now = saved_arguments(args)
    for name, value in (saved or {}).items():
        if name in now and name not in FREE_ON_RESUME and now[name] != value:
            raise ResumeError(f"the run in {folder} has {name}={value!r}, got {now[name]!r}; leave it out to continue.")
    versions = package_versions((*PACKAGES, "numba", "sb3-contrib"))
    if saved is not None and read_versions(folder) not in (None, versions):
        console.print("Versions have changed since the run began: its continuation is no longer exact to the bit.")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "args.json", now)
    write_json(folder / "versions.json", versions)
    return folder


def saved_arguments(args: Arguments) -> dict[str, Any]:
    """What args.json holds: all but where the run lies and whether it was continued."""
    return {key: value for key, value in asdict(args).items() if key not in ("out", "resume")}


def new_folder(args: Arguments) -> Path:
    """A folder of runs/ that does not exist yet."""
    stem = f"{args.algo}-{args.env.rpartition('/')[2]}-seed{args.seed}"
    number = 1
    while (folder := Path("runs") / (stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return folder


def read_versions(folder: Path) -> dict[str, Any] | None:
    """The versions that the run began with; None if a kill came before they were written."""
    path = folder / "versions.json"
    return read_json(path) if path.exists() else None


def train(args: Arguments, config: Config, tasks: TrainingTasks, folder: Path) -> bool:
    """Learn until `total_timesteps`, from the newest checkpoint if there is one; False if nothing was left to do."""
    venv = make_training_env(
        args.env,
        args.n_envs,
        reward_scale=config.reward_scale,
        shards=args.shards,
        group_size=config.group_size,
        **{"reward": "advantage", **config.environment, "device": args.device},
        **tasks.arguments,
    )
    try:
        model = make_model(args.algo, venv, config, seed=args.seed, device=args.device)
        seed_streams(venv, args.seed)
        remove_leftovers(folder)
        found = checkpoints(folder)
        model.set_logger(make_logger(folder, int(found[-1].stem) if found else None))
        restored = restore_checkpoint(found[-1], model) if found else None
        if restored is not None:
            console.print(f"Continuing from {restored.timesteps:,} of {args.total_timesteps:,} steps.")
        return learn(args, config, model, folder, restored)
    finally:
        venv.close()


def learn(args: Arguments, config: Config, model: BaseAlgorithm, folder: Path, restored: Restored | None) -> bool:
    """Run the algorithm under checkpoints, a progress bar and a clean stop, and export the policy."""
    fixed = {name: value for name, value in saved_arguments(args).items() if name not in FREE_ON_RESUME}
    training = {"arguments": fixed, **asdict(config)}

    def export(model: BaseAlgorithm) -> None:
        export_policy(model, folder, args.env, training)

    left = args.total_timesteps - model.num_timesteps
    if left > 0:
        bar = ProgressBarCallback()
        with StopSignals() as stop:
            callbacks = [bar, Checkpoints(folder, args.checkpoint_every, stop, export, restored)]
            try:
                model.learn(left, callbacks, reset_num_timesteps=restored is None, progress_bar=False)
            finally:
                if hasattr(bar, "pbar"):
                    bar.pbar.close()
    export(model)
    model.logger.close()
    return left > 0


def judge(folder: Path) -> None:
    """Compare the policy with every fixed strategy, a random one each round, and `switch` on held-out real data."""
    policies: dict[str, Any] = {
        "learned": al_gym.load_policy(folder),
        "random-strategy": "random-strategy",
        "switch": "switch",
    }
    policies |= {name: name for name in DEFAULT_STRATEGIES}
    console.print(f"Judging on {JUDGES} datasets, {JUDGE_SEEDS} seeds:")
    result = al_gym.evaluate(
        policies,
        tasks=JUDGES,
        seeds=JUDGE_SEEDS,
        max_budget_share=JUDGE_BUDGET_SHARE,
        save_queries=True,
        progress=True,
        out=folder / "heldout",
    )
    console.print(summary_table(result.summary), paired_table(result.summary, "learned"))


def command(argv: Sequence[str] | None = None) -> int:
    """`main` as a command; returns the exit code."""
    try:
        main(parse(argv))
    except AlGymError as error:
        print(f"train_policy.py: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print("Stopped after a checkpoint; --resume continues.", file=sys.stderr)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        print("Interrupted; --resume continues from the last checkpoint or finished campaign.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(command())
