"""A learning rate that falls during a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.utils import LinearSchedule

from al_gym.errors import ParameterError

FINAL = "final_learning_rate"


def with_schedule(algorithm: Mapping[str, Any]) -> dict[str, Any]:
    """An algorithm's arguments with `final_learning_rate` turned into a schedule of `learning_rate`.

    The rate falls along a line from `learning_rate` at the start to `final_learning_rate` at `--total-timesteps`. It
    depends on the share of the steps that is left alone, which a checkpoint holds: a resumed run goes on along the
    same line, one that --resume lengthens along the line to its new end.

    Args:
        algorithm: the section of that name of a YAML file; without `final_learning_rate` it comes back as it is.

    Raises:
        ParameterError: `learning_rate` is missing or not above 0, or `final_learning_rate` is not in
            [0, learning_rate].
    """
    arguments = dict(algorithm)
    if FINAL not in arguments:
        return arguments
    start: Any = arguments.get("learning_rate")
    end: Any = arguments.pop(FINAL)
    if not _is_number(start) or start <= 0:
        raise ParameterError(f"{FINAL} needs a learning_rate above 0 to fall from, got learning_rate={start!r}.")
    if not _is_number(end) or not 0 <= end <= start:
        raise ParameterError(
            f"{FINAL} must be a number from 0 to learning_rate={start!r}, got {end!r}; without it the rate is constant."
        )
    arguments["learning_rate"] = LinearSchedule(float(start), float(end), 1.0)
    return arguments


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
