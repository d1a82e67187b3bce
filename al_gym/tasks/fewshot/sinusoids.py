"""Sinusoid regression, the check that every implementation of MAML starts with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import ParameterError

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class SinusoidTasks:
    """Regression tasks y = amplitude * sin(x - phase), amplitude and phase uniform, x uniform.

    **Source:** Finn, Abbeel & Levine 2017, *Model-agnostic meta-learning*, section 5.1, whose ranges are the defaults.

    Attributes:
        amplitude: (low, high). phase: (low, high) in radians. inputs: (low, high) of x.

    Raises:
        ParameterError: a range is empty.
    """

    amplitude: tuple[float, float] = (0.1, 5.0)
    phase: tuple[float, float] = (0.0, float(np.pi))
    inputs: tuple[float, float] = (-5.0, 5.0)

    def __post_init__(self) -> None:
        for name, (low, high) in vars(self).items():
            if not low < high:
                raise ParameterError(f"{name} must be (low, high) with low < high, got {low, high}.")

    def sample(self, rng: np.random.Generator, tasks: int) -> NDArray[np.float64]:
        """(tasks, 2) float64: amplitude and phase of each task."""
        if tasks < 1:
            raise ParameterError(f"tasks must be at least 1, got {tasks}.")
        return np.stack([rng.uniform(*self.amplitude, size=tasks), rng.uniform(*self.phase, size=tasks)], axis=1)

    def points(self, rng: np.random.Generator, tasks: NDArray[np.float64], items: int) -> tuple[Floats, Floats]:
        """X (tasks, items, 1) float32 at random, and y (tasks, items) float32 of each task."""
        x = rng.uniform(*self.inputs, size=(len(tasks), items))
        return x[:, :, None].astype(np.float32), curve(tasks, x)


def curve(tasks: NDArray[np.float64], x: NDArray[np.float64]) -> Floats:
    """(tasks, items) float32, the sinusoid of each task at `x` (tasks, items)."""
    return (tasks[:, :1] * np.sin(x - tasks[:, 1:])).astype(np.float32)
