"""Driving perception: near-duplicate crops, a long tail, another domain in the test. SYNTHETIC data.

    python examples/driving_perception.py [--pool-size 3000] [--seeds 3]

No package index carries labelled frames of drives, so this runs on the suite `driving-perception`, which is generated.
For crops of your own: `load_images("crops/day", test_folder="crops/night")` makes the pool of the one folder and tests
on the other, and `group_of=` keeps the frames of one drive together where there is one domain.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from rich.console import Console

import al_gym
from al_gym.tasks import load_tasks

POLICIES = ["random", "margin", "kcenter", "uherding", "shipped"]
REGIME = {"rounds": 20, "batch_size": 10, "test_size": 1500}


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare policies by balanced accuracy, so that rare road users count as much as cars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool-size", type=int, default=3000, help="crops to choose from (3000)")
    parser.add_argument("--seeds", type=int, default=3, help="campaigns a dataset and policy (3)")
    parser.add_argument("--datasets", type=int, default=4, help="datasets of the suite's test part (4)")
    options = parser.parse_args(arguments)
    names = load_tasks("driving-perception", "test").names[: options.datasets]
    sizes = np.bincount(load_tasks("driving-perception").get(names[0]).y)
    print(f"{names[0]} (synthetic): {sizes.max()} crops of the most frequent class, {sizes.min()} of the rarest")
    result = al_gym.evaluate(
        POLICIES,
        tasks="driving-perception",
        datasets=names,
        pool_size=options.pool_size,
        seeds=options.seeds,
        metric="balanced-accuracy",
        **REGIME,
    )
    Console().print(result.table())


if __name__ == "__main__":
    main()
