"""What shuffling its observations across datasets costs a policy: the ablation beside a finished evaluation.

    al-gym evaluate --policy shipped --policy uherding ... --out OUT
    python benchmarks/shuffle_ablation.py OUT [--policy shipped] [--donor-seeds 10] [--jobs 1]

Data and regime are those of OUT. First the policy runs as it is, in this process, and its observations are kept; then
it runs again and is shown those of another dataset's campaign in the same round (`al_gym.evaluation.shuffling`).
Writes OUT/shuffled (an evaluation of the one policy `shuffled`); `benchmarks/model_card.py` compares it with OUT.
"""

from __future__ import annotations

import argparse
import json
import sys
from inspect import signature
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import al_gym  # noqa: E402
from al_gym.errors import ParameterError  # noqa: E402
from al_gym.evaluation.runner import Regime  # noqa: E402
from al_gym.evaluation.shuffling import Recording, Shuffled, draw_donors  # noqa: E402
from al_gym.evaluation.source import read_source  # noqa: E402
from al_gym.policies import Policy, load_policy  # noqa: E402
from al_gym.policies.agent import AgentPolicy  # noqa: E402

DEFAULTS = {name: p.default for name, p in signature(al_gym.evaluate).parameters.items() if p.default is not p.empty}
SOURCE = [name for name in signature(read_source).parameters if name in DEFAULTS]
KEPT = {*SOURCE, *Regime.__dataclass_fields__, "metric", "round_cost", "strict"}


def arguments_of(folder: Path) -> dict[str, Any]:
    """What `al_gym.evaluate` was called with to make `folder`, without policies."""
    stored = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["arguments"]
    known = {key: value for key, value in stored.items() if key in KEPT}
    learner = dict(stored["learner"])
    name = learner.pop("name")
    settings = ",".join(f"{key}={value}" for key, value in learner.items())
    return known | {"learner": f"{name}:{settings}" if settings else name}


def ablate(policy: Policy, folder: Path, *, donor_seeds: int, jobs: int, seed: int = 0) -> Path:
    """Record, shuffle, evaluate; returns the folder of the shuffled evaluation."""
    arguments = arguments_of(folder)
    first, count = arguments["seed"], arguments["seeds"]
    recorded = list(range(first, first + min(donor_seeds, count)))
    recording = Recording(policy)
    found = al_gym.evaluate({"recorded": recording}, jobs=1, **arguments | {"seeds": len(recorded)})
    names = sorted(found.results["dataset"].unique())
    source = read_source(**{key: arguments.get(key, DEFAULTS[key]) for key in SOURCE})
    datasets = [source.tasks.get(name) for name in names]
    donors = draw_donors(datasets, range(first, first + count), recorded, seed=seed)
    shuffled = Shuffled(policy, recording.recorded, donors)
    out = folder / "shuffled"
    al_gym.evaluate({"shuffled": shuffled}, jobs=jobs, out=out, progress=True, **arguments)
    return out


def main() -> None:
    """Read the arguments, do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="OUT of an evaluation")
    parser.add_argument("--policy", default="shipped", help="a policy that reads an observation (shipped)")
    parser.add_argument("--donor-seeds", type=int, default=10, help="seeds a dataset that are recorded (10)")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes of the second run (1)")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffling (0)")
    arguments = parser.parse_args()
    policy = load_policy(arguments.policy)
    if not isinstance(policy, AgentPolicy):
        raise ParameterError(f"{arguments.policy!r} reads no observation; there is nothing to shuffle.")
    out = ablate(policy, arguments.folder, donor_seeds=arguments.donor_seeds, jobs=arguments.jobs, seed=arguments.seed)
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
