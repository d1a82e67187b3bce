"""Two vector environments driven by the same calls, every answer compared."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import iterate

from al_gym.testing.batching import ActionSampler, Seeds, iterate_rows
from al_gym.testing.compare import difference, info_difference, layout
from al_gym.testing.failure import VectorEnvError


class Lockstep:
    """Sends every call to a native environment and to its reference, and compares the answers.

    Args:
        native: the environment under test.
        reference: what it must equal.
        mode: the autoreset mode of both.
        atol: tolerance of floats.
        sampler: the source of actions.
        rename: a check name that replaces the names of the single differences, None to keep them.
    """

    def __init__(
        self,
        native: VectorEnv[Any, Any, Any],
        reference: VectorEnv[Any, Any, Any],
        mode: AutoresetMode,
        atol: float,
        sampler: ActionSampler,
        rename: str | None = None,
    ) -> None:
        self.native = native
        self.reference = reference
        self.num_envs = native.num_envs
        self.mode = mode
        self.rename = rename
        self.passed: set[str] = set()
        self.ended = np.zeros(self.num_envs, dtype=np.bool_)
        self.episodes = np.zeros(self.num_envs, dtype=np.int64)
        self.step_count: int = 0
        self._atol = atol
        self._sampler = sampler

    def reset(self, seed: Seeds = None, mask: np.ndarray | None = None) -> Any:
        """Reset both, compare, and return the native answer (observations, infos)."""

        def options() -> dict[str, Any] | None:
            return None if mask is None else {"reset_mask": mask.copy()}  # Sync pops it: each gets its own

        expected = self.reference.reset(seed=deepcopy(seed), options=options())  # type: ignore[arg-type]
        actual = self.native.reset(seed=deepcopy(seed), options=options())  # type: ignore[arg-type]
        if mask is None:
            self.ended[:] = False
            self.episodes[:] = 0
            self.step_count = 0
        else:
            self.ended[mask] = False
        self._judge_layout(layout(expected[0]), layout(actual[0]))
        self._judge_observations(expected[0], actual[0], ["observation"] * self.num_envs)
        self._judge_infos(expected[1], actual[1])
        self._sampler.observe(expected[1])
        return actual

    def advance(self) -> Any:
        """One call: in DISABLED mode a masked reset of the ended rows if there are some, else a step."""
        if self.mode is AutoresetMode.DISABLED and self.ended.any():
            return self.reset(mask=self.ended.copy())
        return self.step()

    def step(self) -> Any:
        """Step both with the same random actions, compare, and return the native answer."""
        actions = self._sampler.sample()
        expected: Any = self.reference.step(deepcopy(actions))
        actual: Any = self.native.step(actions)
        self.step_count += 1
        next_step = self.mode is AutoresetMode.NEXT_STEP
        names = ["next_step_autoreset" if next_step and ended else "" for ended in self.ended]
        self._judge_layout(layout(expected[:4]), layout(tuple(actual[:4])))
        for part, name in ((2, "terminated"), (3, "truncated"), (1, "reward")):
            for row in range(self.num_envs):
                message = difference(expected[part][row], actual[part][row], self._atol, f"{name}[{row}]")
                self._judge(names[row] or name, message, row)
        ended = expected[2] | expected[3]
        if self.mode is AutoresetMode.SAME_STEP:
            names = ["same_step_autoreset" if end else "" for end in ended]
        self._judge_observations(expected[0], actual[0], [name or "observation" for name in names])
        self._judge_infos(expected[4], actual[4])
        self._sampler.observe(expected[4])
        self.ended = ended.copy()
        self.episodes += ended
        return actual

    def fail(self, check: str, message: str, row: int | None = None) -> None:
        """Raise the error of a check, at the present step."""
        raise VectorEnvError(self.rename or check, message, row, self.step_count, self.mode.value)

    def _judge(self, check: str, message: str | None, row: int | None = None) -> None:
        if message is not None:
            self.fail(check, message, row)
        self.passed.add(self.rename or check)

    def _judge_layout(self, expected: Any, actual: Any) -> None:
        self._judge("dtypes", None if expected == actual else f"answer: expected {expected}, got {actual}")

    def _judge_observations(self, expected: Any, actual: Any, names: list[str]) -> None:
        space = self.native.observation_space
        rows = zip(
            iterate_rows(self.native.single_observation_space, expected, self.num_envs),
            iterate(space, actual),
            names,
            strict=True,
        )
        for row, (wanted, received, name) in enumerate(rows):
            self._judge(name, difference(wanted, received, self._atol, f"observation[{row}]"), row)
        inside = space.contains(actual)
        self._judge("observation_space", None if inside else f"observations {actual!r} lie outside {space}")

    def _judge_infos(self, expected: dict[str, Any], actual: dict[str, Any]) -> None:
        for key in ("final_obs", "final_info"):
            wanted, received = ({k: infos[k] for k in (key, f"_{key}") if k in infos} for infos in (expected, actual))
            found = info_difference(wanted, received, self.num_envs, self._atol)
            if found is not None:
                self.fail(key, found.message, found.row)
            if wanted:
                self.passed.add(self.rename or key)
        found = info_difference(expected, actual, self.num_envs, self._atol)
        if found is not None:
            self.fail(found.check, found.message, found.row)
        self.passed.update([self.rename] if self.rename else ["info_keys", "info_masks", "info_dtypes", "info_values"])
