"""The suite that policies are trained on."""

from functools import cache, partial

from al_gym.tasks.distribution import Entry, TaskDistribution
from al_gym.tasks.suites import SUITES
from al_gym.tasks.synthetic import synthetic_dataset

#: First index of each part and the end.
TRAIN, VALID, TEST, END = 0, 896, 960, 1024


@SUITES.register("default")
@cache
def default() -> TaskDistribution:
    """1,024 datasets of the synthetic prior: 896 to train on, 64 to validate, 64 to test."""
    names = [f"synthetic-{index:06d}" for index in range(END)]
    entries = [Entry(name, name, partial(synthetic_dataset, index)) for index, name in enumerate(names)]
    splits = {"train": names[TRAIN:VALID], "valid": names[VALID:TEST], "test": names[TEST:END]}
    return TaskDistribution(entries, splits=splits)
