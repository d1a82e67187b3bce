"""Batches made of single rows: actions for each row, and native environments of one row side by side."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from al_gym.testing.compare import info_row

Seeds = int | list[int | None] | None


class ActionSampler:
    """Random actions for each row, from the row's last `info["action_mask"]` if the environment gives one.

    Args:
        space: the single action space.
        num_envs: rows of a batch.
        seed: seed of the row streams.
        use_action_mask: ignore the masks if False, and for a `Box`, whose `sample` takes none.
    """

    def __init__(self, space: Space[Any], num_envs: int, seed: int, use_action_mask: bool) -> None:
        self._space = space
        self._rows = [deepcopy(space) for _ in range(num_envs)]
        for row, single in enumerate(self._rows):
            single.seed(seed + row)
        self._use_action_mask = use_action_mask and not isinstance(space, Box)
        self._masks: list[Any] = [None] * num_envs

    def observe(self, infos: dict[str, Any]) -> None:
        """Keep the masks of the rows that `infos` speaks of."""
        if self._use_action_mask and "action_mask" in infos:
            for row in np.flatnonzero(infos["_action_mask"]):
                self._masks[row] = _as_int8(infos["action_mask"][row])

    def sample(self) -> Any:
        """A batch of the batched action space."""
        rows = [single.sample(mask=mask) for single, mask in zip(self._rows, self._masks, strict=True)]
        return batch_rows(self._space, rows)


def _as_int8(mask: Any) -> Any:
    return tuple(_as_int8(part) for part in mask) if isinstance(mask, tuple) else np.array(mask, dtype=np.int8)


def batch_rows(space: Space[Any], rows: list[Any]) -> Any:
    """A batch of a space made of single samples."""
    out: Any = create_empty_array(space, n=len(rows), fn=np.zeros)
    return deepcopy(concatenate(space, rows, out))


class SoloBatch(VectorEnv[Any, Any, Any]):
    """Native vector environments of ONE row each, side by side: no row can see another.

    Args:
        envs: the environments, each with `num_envs == 1` and the same autoreset mode.
    """

    def __init__(self, envs: list[VectorEnv[Any, Any, Any]]) -> None:
        self.envs = envs
        self.num_envs = len(envs)
        first = envs[0]
        self.single_observation_space = first.single_observation_space
        self.single_action_space = first.single_action_space
        self._observations: list[Any] = [None] * self.num_envs

    def reset(self, *, seed: Seeds = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:  # type: ignore[override]
        """Reset the rows of `options["reset_mask"]`, all if there is none; rows keep their last observation else."""
        mask = np.ones(self.num_envs, dtype=np.bool_) if options is None else options["reset_mask"]
        seeds = [seed + row for row in range(self.num_envs)] if isinstance(seed, int) else seed
        infos: dict[str, Any] = {}
        for row in np.flatnonzero(mask):
            row_seed = None if seeds is None else [seeds[row]]
            row_options = None if options is None else {"reset_mask": np.ones(1, dtype=np.bool_)}
            observation, info = self.envs[row].reset(seed=row_seed, options=row_options)  # type: ignore[arg-type]
            self._observations[row] = self._only_row(self.envs[row], observation)
            infos = self._add_info(infos, info_row(info, 0), int(row))
        return batch_rows(self.single_observation_space, self._observations), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every environment with its row of the batched actions."""
        answers = []
        infos: dict[str, Any] = {}
        for row, action in enumerate(iterate_rows(self.single_action_space, actions, self.num_envs)):
            answer = self.envs[row].step(batch_rows(self.single_action_space, [action]))
            self._observations[row] = self._only_row(self.envs[row], answer[0])
            infos = self._add_info(infos, info_row(answer[4], 0), row)
            answers.append(answer)
        rewards, terminated, truncated = (np.concatenate([answer[part] for answer in answers]) for part in (1, 2, 3))
        return batch_rows(self.single_observation_space, self._observations), rewards, terminated, truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment."""
        for env in self.envs:
            env.close(**kwargs)

    @staticmethod
    def _only_row(env: VectorEnv[Any, Any, Any], observation: Any) -> Any:
        return deepcopy(next(iter(iterate(env.observation_space, observation))))


def iterate_rows(space: Space[Any], batch: Any, num_envs: int) -> Iterator[Any]:
    """The rows of a batch of a single space."""
    return iter(iterate(batch_space(space, num_envs), batch))
