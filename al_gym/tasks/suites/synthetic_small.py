"""The suite for tests and quick trials."""

from functools import cache, partial

from al_gym.tasks.distribution import Entry, TaskDistribution
from al_gym.tasks.suites import SUITES
from al_gym.tasks.synthetic import SMALL_PRIOR, synthetic_dataset

PREFIX = "synthetic-small"


@SUITES.register("synthetic-small")
@cache
def synthetic_small() -> TaskDistribution:
    """32 small synthetic datasets (200 to 300 rows, at most 4 classes) for tests and quick trials: 24 / 4 / 4."""
    names = [f"{PREFIX}-{index:06d}" for index in range(32)]
    entries = [
        Entry(name, name, partial(synthetic_dataset, index, prior=SMALL_PRIOR, prefix=PREFIX))
        for index, name in enumerate(names)
    ]
    return TaskDistribution(entries, splits={"train": names[:24], "valid": names[24:28], "test": names[28:]})
