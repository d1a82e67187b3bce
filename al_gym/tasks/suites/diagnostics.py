"""The suite of tasks with a known right answer."""

from functools import cache, partial

from al_gym.tasks.diagnostic import DIAGNOSES, diagnostic_dataset
from al_gym.tasks.distribution import Entry, TaskDistribution
from al_gym.tasks.suites import SUITES

VARIANTS = 4


@SUITES.register("diagnostics")
@cache
def diagnostics() -> TaskDistribution:
    """Five traps with a known right answer, four datasets each, all for testing (see `al_gym.tasks.diagnostic`)."""
    entries = [
        Entry(f"{d.name}-{number}", d.name, partial(diagnostic_dataset, number, d.name))
        for d in DIAGNOSES
        for number in range(VARIANTS)
    ]
    return TaskDistribution(entries, splits={"train": [], "valid": [], "test": [entry.name for entry in entries]})
