"""The command `al-gym`: what there is, and held-out evaluation."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from al_gym.errors import AlGymError

if TYPE_CHECKING:
    from al_gym.evaluation.api import EvaluationResult

KINDS = ("environments", "strategies", "learners", "suites", "policies", "rewards", "image-encoders", "text-encoders")
BAD_INPUT = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0; 2 on bad input, with one message on standard error; 130 after Ctrl-C or SIGTERM.
    """
    options = _parser().parse_args(arguments)
    try:
        with _terminated_as_interrupted():
            return _list(options) if options.command == "list" else _evaluate(options)
    except AlGymError as error:
        _complain(f"error: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        _complain("interrupted.")
        return INTERRUPTED


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the body as Ctrl-C does, so that worker processes end too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _complain(text: str) -> None:
    sys.stderr.write(text + "\n")


# --- list --------------------------------------------------------------------------------------------------------
def _list(options: argparse.Namespace) -> int:
    """Names and one-line descriptions."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for kind in KINDS if options.kind is None else (options.kind,):
        table = Table(title=kind, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 2))
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        for name, line in _describe(kind).items():
            table.add_row(name, escape(line))
        console.print(table, "")
    return 0


def _describe(kind: str) -> Mapping[str, str]:
    import al_gym
    from al_gym.envs.rewards import REWARDS
    from al_gym.tasks.encoders import IMAGE_ENCODERS, TEXT_ENCODERS

    known: dict[str, Callable[[], Mapping[str, str]]] = {
        "environments": _environments,
        "strategies": al_gym.list_strategies,
        "learners": al_gym.list_learners,
        "suites": al_gym.list_suites,
        "policies": al_gym.list_policies,
        "rewards": REWARDS.describe,
        "image-encoders": IMAGE_ENCODERS.describe,
        "text-encoders": TEXT_ENCODERS.describe,
    }
    return known[kind]()


def _environments() -> dict[str, str]:
    from inspect import getdoc

    from gymnasium.envs.registration import load_env_creator

    from al_gym.envs.registration import ENVIRONMENTS, NAMESPACE

    entries = {f"{NAMESPACE}/{name}": entry for name, (entry, _) in ENVIRONMENTS.items()}
    return {name: (getdoc(load_env_creator(entry)) or "").split("\n")[0] for name, entry in entries.items()}


# --- evaluate ----------------------------------------------------------------------------------------------------
def _evaluate(options: argparse.Namespace) -> int:
    """Evaluate, and print the table and what was left out."""
    sys.path.insert(0, os.getcwd())  # for policies written as module:attribute
    from al_gym.evaluation.api import evaluate

    given = vars(options)
    out = given.pop("out") or Path("runs") / f"evaluate-{datetime.now():%Y%m%d-%H%M%S}"
    keywords = {key: value for key, value in given.items() if key not in ("command", "policies", "against")}
    _check_against(options)
    try:
        result = evaluate(options.policies, out=out, progress=True, **keywords)
    except KeyboardInterrupt:
        _complain(f"interrupted; what is finished stays in {out}, and the same command with --out {out} goes on.")
        return INTERRUPTED
    _show(result, options.against)
    return 0


def _check_against(options: argparse.Namespace) -> None:
    """Say at once, not after the run, that --against names nobody."""
    from al_gym.errors import UnknownNameError
    from al_gym.policies import resolve_policies

    if options.against is not None:
        names = resolve_policies(options.policies, trusted=options.trusted)
        if options.against not in names:
            raise UnknownNameError("policy of --against", options.against, names)


def _show(result: EvaluationResult, against: str | None) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(result.table())
    if against is not None:
        console.print(result.paired(against))
    summary = result.summary
    if summary["exhausted"]:
        names = ", ".join(summary["exhausted"])
        console.print(f"Pools that ran out before the budget: {names}.", markup=False)
    for name, columns in result.left_out.items():
        console.print(f"{name}: columns beside the text, not used: {', '.join(columns)}.", markup=False)
    if summary["skipped"]:
        console.print(f"{len(summary['skipped'])} skipped:", markup=False)
        for name, reason in summary["skipped"].items():
            console.print(f"  {name}: {reason}", markup=False, soft_wrap=True)
    console.print(f"results.csv and summary.json are in {result.out}.", markup=False, soft_wrap=True)


# --- arguments ---------------------------------------------------------------------------------------------------
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="al-gym", description="Pool-based active learning: what there is, and held-out evaluation."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="names and one-line descriptions")
    listing.add_argument("kind", nargs="?", choices=KINDS, help="one kind alone")
    evaluation = commands.add_parser("evaluate", help="compare policies on held-out datasets")
    _add_data(evaluation.add_argument_group("data"))
    _add_regime(evaluation.add_argument_group("campaigns"))
    _add_run(evaluation.add_argument_group("run"))
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--policy",
        dest="policies",
        action="append",
        required=True,
        metavar="P",
        help="a strategy (margin), one with parameters (uherding:power=2, margin:batch=10), a policy (shipped), "
        "a run folder or module:attribute; NAME=P names it; may be repeated",
    )
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", metavar="DIR", help="folder of npz, csv and parquet files")
    source.add_argument("--tasks", metavar="SUITE", help="a suite; see al-gym list suites")
    add("--split", help="part of the suite: train, valid or test (default: test)")
    add("--datasets", metavar="FILE", help="restrict to the dataset names in FILE, one a line")
    add("--label-column", metavar="NAME", help="the label's column in csv and parquet files")
    add("--text-column", metavar="NAME", help="a column of texts in csv and parquet files")
    add("--text-encoder", default="auto", metavar="NAME", help="auto, lsa or sentence-transformers (auto)")
    add("--group-column", metavar="NAME", help="a column of sites or patients: none in pool and test set of one task")
    add("--strict", action="store_true", help="stop at a dataset that cannot be used, instead of skipping it")
    add("--trusted", action="store_true", help="load policies from a pickle too (.zip of stable-baselines3)")


def _add_regime(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--seeds", type=int, default=30, metavar="N", help="campaigns a dataset and policy (30)")
    add("--seed", type=int, default=0, metavar="N", help="the first seed (0)")
    add("--rounds", type=int, default=20, metavar="N", help="rounds of the default batch that make the budget (20)")
    add("--batch-size", type=int, default=5, metavar="N", help="labels a round (5)")
    add(
        "--initial",
        type=_initial,
        default="per-class",
        metavar="per-class|N",
        help="seed set: per-class, or N at random",
    )
    add("--pool-size", type=int, default=500, metavar="N", help="items to choose from, at most 60 %% of the data (500)")
    add("--test-size", type=int, default=1500, metavar="N", help="items to test on, or all that are left (1500)")
    add("--scaling", default="auto", help="auto, standardize, center or none (auto)")
    add(
        "--max-budget-share", type=float, default=1.0, metavar="SHARE", help="budget at most this share of the pool (1)"
    )
    add("--label-noise", type=float, default=0.0, metavar="P", help="probability of a wrong label (0)")
    add("--learner", default="softmax", help="see al-gym list learners (softmax)")


def _add_run(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--metric", default="accuracy", help="accuracy, balanced-accuracy, or review-recall with an effort (accuracy)")
    add(
        "--review-effort",
        type=float,
        default=None,
        metavar="SHARE",
        help="share of the test items that a person reviews; adds test_review_recall to results.csv",
    )
    add("--against", metavar="NAME", help="print this policy's paired differences to the others too")
    add("--round-cost", type=float, default=0.0, metavar="COST", help="price of a round in AULC; adds utility (0)")
    add("--jobs", type=int, default=None, metavar="N", help="worker processes (number of cores)")
    add("--backend", default="loky", help="loky or ray (loky)")
    add("--save-queries", action="store_true", help="write queries.npz, to replay every campaign with scikit-learn")
    add("--out", metavar="OUT", help="folder of the files; started again it goes on (runs/evaluate-TIME)")


def _initial(text: str) -> str | int:
    return int(text) if text.lstrip("+-").isdigit() else text


if __name__ == "__main__":
    sys.exit(main())
