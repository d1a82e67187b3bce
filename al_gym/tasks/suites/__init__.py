"""Named task distributions: one module of this package is one suite.

A suite is a function without required arguments that returns a `TaskDistribution`, registered under its name; the first
line of its docstring is its description in `al_gym.list_suites()`. Put `functools.cache` under the decorator, so
that every environment of a process shares the loaded datasets.
"""

from __future__ import annotations

from al_gym.registry import Registry
from al_gym.tasks.distribution import TaskDistribution

SUITES: Registry[TaskDistribution] = Registry("task suite", "al_gym.tasks.suites")


def list_suites() -> dict[str, str]:
    """Name and one-line description of every suite."""
    return SUITES.describe()
