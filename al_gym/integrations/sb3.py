"""Native Gymnasium vector environments for stable-baselines3, which has a `VecEnv` interface of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from al_gym.envs.sharded import ShardedVectorEnv, make_shard
from al_gym.errors import ParameterError


class SB3VecEnv(VecEnv):
    """A Gymnasium `VectorEnv` in mode SAME_STEP as an SB3 `VecEnv`.

    Infos are a list of `num_envs` dicts. An environment whose episode ended in this step has its final info, with
    `terminal_observation` and `TimeLimit.truncated` as SB3 defines them; the info of the new episode is in
    `reset_infos`. The others have an EMPTY dict: PPO, MaskablePPO, DQN and VecMonitor read nothing there, and
    building 64 dicts a step costs more than the bookkeeping around it. Pass `full_infos=True` to get what
    `DummyVecEnv` gives at every step.

    `seed(s)` seeds environment i with s + i, as every `VecEnv` does; see `seed_each` for streams of one's own.

    Args:
        vector_env: the environment; SB3 needs the first observation of the next episode in the step that ends one.
        full_infos: give every environment its info at every step.

    Raises:
        ParameterError: the environment has another autoreset mode.
    """

    def __init__(self, vector_env: VectorEnv[Any, Any, Any], full_infos: bool = False) -> None:
        mode = vector_env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ParameterError(
                f"SB3 needs a vector environment in autoreset mode SAME_STEP, got {mode}. "
                'Make it with gymnasium.make_vec(..., autoreset_mode="SameStep").'
            )
        self.vector_env = vector_env
        self.full_infos = full_infos
        self._actions: np.ndarray | None = None
        super().__init__(vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space)

    @property
    def spec(self) -> Any:
        """The `EnvSpec` that the vector environment was made from, None if there is none."""
        return self.vector_env.spec

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed environment i with `seed + i` at the next reset; None draws the seed from fresh entropy."""
        # The base class draws from numpy's global generator.
        return super().seed(_fresh_seed() if seed is None else seed)

    def seed_each(self, seeds: Sequence[int]) -> None:
        """Give each environment its own seed at the next reset.

        Args:
            seeds: one non-negative seed per environment, such as `spawn_seeds(seed, num_envs)`.
        """
        if len(seeds) != self.num_envs:
            raise ParameterError(f"Got {len(seeds)} seeds for {self.num_envs} environments: give one for each.")
        self._seeds = [int(seed) for seed in seeds]

    def reset(self) -> VecEnvObs:
        """Reset all environments with the seeds and options set before, which are used once."""
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        if any(options != self._options[0] for options in self._options):
            raise ParameterError(f"set_options got different options per environment, {self._options}: give one dict.")
        options = self._options[0] or None
        observations, infos = self.vector_env.reset(seed=seeds, options=options)  # type: ignore[arg-type]
        self.reset_infos = self._split(infos)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions, (num_envs,) or (num_envs, dims), for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step: observations, rewards (num_envs,) float32, dones (num_envs,) bool, infos."""
        observations, rewards, terminated, truncated, infos = self.vector_env.step(self._actions)
        dones = terminated | truncated
        rows = self._split(infos, skip=dones) if self.full_infos else [{} for _ in range(self.num_envs)]
        if self.full_infos:
            for row in rows:
                row["TimeLimit.truncated"] = False
        for i in np.flatnonzero(dones).tolist():
            rows[i] = _take(infos["final_info"], i)
            rows[i]["terminal_observation"] = infos["final_obs"][i]
            rows[i]["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
            self.reset_infos[i] = _take(infos, i)
            for key in ("final_obs", "final_info"):
                self.reset_infos[i].pop(key)
        return observations, rewards.astype(np.float32), dones, rows

    def close(self) -> None:
        """Close the vector environment."""
        self.vector_env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """One frame per environment; SB3 tiles them."""
        frames: Any = self.vector_env.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of the vector environment, once per index: its environments have none of their own."""
        value = self._find(attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the vector environment, which holds for all its environments."""
        if sorted(self._get_indices(indices)) != list(range(self.num_envs)):
            raise ParameterError(
                f"set_attr({attr_name!r}, indices={indices!r}): the environments of a native vector environment share "
                "their attributes; leave out indices."
            )
        if isinstance(self.vector_env, ShardedVectorEnv):
            self.vector_env.set_attr(attr_name, value)
        else:
            setattr(self.vector_env.unwrapped, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector environment that answers with one entry per environment.

        `env_method("action_masks")`, which MaskablePPO calls, gives a (sum of action dims,) bool array per index.
        """
        answer = self._find(method_name)(*method_args, **method_kwargs)
        if not isinstance(answer, (np.ndarray, Sequence)) or isinstance(answer, str) or len(answer) != self.num_envs:
            raise ParameterError(
                f"env_method({method_name!r}) must give one entry for each of {self.num_envs} environments, "
                f"got {answer!r}."
            )
        return [answer[i] for i in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """False for every index: the environments of a native vector environment have no wrappers."""
        return [False for _ in self._get_indices(indices)]

    def _find(self, name: str) -> Any:
        """An attribute of the vector environment or, behind Gymnasium's vector wrappers, of what they wrap."""
        env = self.vector_env
        return getattr(env if hasattr(env, name) else env.unwrapped, name)

    def _split(self, infos: Mapping[str, Any], skip: np.ndarray | None = None) -> list[dict[str, Any]]:
        """One info dict per environment; the rows of `skip`, (num_envs,) bool, stay empty."""
        return [{} if skip is not None and skip[i] else _take(infos, i) for i in range(self.num_envs)]


def _take(infos: Mapping[str, Any], row: int) -> dict[str, Any]:
    """The info of one environment out of a vector info (arrays with `_key` masks)."""
    out: dict[str, Any] = {}
    for key, value in infos.items():
        mask = infos.get(f"_{key}")
        if mask is not None and mask[row]:
            item = _take(value, row) if isinstance(value, Mapping) else value[row]
            out[key] = item.item() if isinstance(item, np.generic) else item
    return out


def _fresh_seed() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])


def spawn_seeds(seed: int, num_envs: int) -> list[int]:
    """One seed per environment, spawned from `SeedSequence(seed)`.

    Counting up from `seed` would let training seeds 0 and 1 share all environments but one.
    """
    children = np.random.SeedSequence(seed).spawn(num_envs)
    return [int(child.generate_state(1, np.uint64)[0]) for child in children]


def make_sb3_vec_env(
    env_id: str, num_envs: int, seed: int | None = None, monitor: bool = True, shards: int = 1, **kwargs: Any
) -> VecEnv:
    """Make a native vector environment and adapt it to stable-baselines3.

    Args:
        env_id: a registered id with a native vector environment, such as "al_gym/Strategy-v0".
        num_envs: number of environments, at least 1.
        seed: each environment gets a seed spawned from it (`spawn_seeds`) at the first reset; an algorithm that is
            itself given a seed replaces them by its seed + i.
        monitor: record episode returns and lengths (`VecMonitor`), which SB3 logs.
        shards: worker processes that share the environments (`al_gym.envs.sharded.ShardedVectorEnv`), with the same
            trajectories; 1 for none: everything runs in this process.
        **kwargs: arguments of the environment, as for `gymnasium.make_vec`.

    Returns:
        The `VecEnv`, ready for PPO, MaskablePPO or DQN.
    """
    if shards == 1:
        vector_env = make_shard(env_id, {"autoreset_mode": "SameStep", **kwargs}, num_envs)
    else:
        vector_env = ShardedVectorEnv(env_id, num_envs, shards=shards, autoreset_mode="SameStep", **kwargs)
    venv = SB3VecEnv(vector_env)
    if seed is not None:
        venv.seed_each(spawn_seeds(seed, num_envs))
    return VecMonitor(venv) if monitor else venv
