"""The environments that agents train on."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from al_gym.envs.engine import Engine
from al_gym.envs.sharded import ShardedVectorEnv
from al_gym.errors import ParameterError
from al_gym.integrations.sb3 import SB3VecEnv, make_sb3_vec_env, spawn_seeds
from al_gym.policies.agent import AgentSpec


class ScaleReward(VecEnvWrapper):
    """Multiplies rewards by a constant; what a `VecMonitor` below it records keeps the environment's unit."""

    def __init__(self, venv: VecEnv, scale: float) -> None:
        super().__init__(venv)
        self.scale = np.float32(scale)

    def reset(self) -> VecEnvObs:
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        return observations, rewards * self.scale, dones, infos


class GroupBaseline(VecEnvWrapper):
    """Subtracts from each reward the mean reward of the other campaigns of its group in the same round.

    A group is `size` neighbouring environments on the same task: dataset, split, seed set and tie streams
    (`seed_streams` sees to it). The others' rewards do not depend on a campaign's own actions, so that the policy
    gradient keeps its mean, and what differs between tasks drops out of its variance (Kool et al. 2019, "Buy 4
    REINFORCE samples, get a baseline for free!"). What a `VecMonitor` below records stays the environment's.

    Args:
        venv: the environments. size: campaigns a group, at least 2, a divisor of `venv.num_envs`.

    Raises:
        ParameterError: a `size` that is no such number; from `step_wait`: campaigns of a group ended in different
            rounds.
    """

    def __init__(self, venv: VecEnv, size: int) -> None:
        if not isinstance(size, int) or isinstance(size, bool) or size < 2 or venv.num_envs % size:
            raise ParameterError(
                f"group_size must be 1 or a divisor of the {venv.num_envs} campaigns side by side, got {size!r}."
            )
        super().__init__(venv)
        self.size = size

    def reset(self) -> VecEnvObs:
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        ends = dones.reshape(-1, self.size)
        if (ends != ends[:, :1]).any():
            raise ParameterError(
                f"group_size={self.size} compares campaigns round by round, but those of a group ended in different "
                "rounds; use group_size 1 where the agent chooses batches or stops, and with target_accuracy."
            )
        groups = rewards.reshape(-1, self.size)
        others = (groups.sum(axis=1, keepdims=True) - groups) / (self.size - 1)
        return observations, (groups - others).reshape(-1), dones, infos


def make_training_env(
    env_id: str, num_envs: int, *, reward_scale: float = 1.0, group_size: int = 1, shards: int = 1, **kwargs: Any
) -> VecEnv:
    """The native vector environment behind stable-baselines3's interface, not yet seeded.

    Args:
        env_id: a registered id. num_envs: at least 1. reward_scale: factor of the rewards.
        group_size: neighbouring environments that share their tasks and are paid relative to each other
            (`GroupBaseline`); a divisor of `num_envs`, 1 for none.
        shards: worker processes that share the environments, 1 for none.
        **kwargs: arguments of the environment.

    Raises:
        ParameterError: `group_size` is no such number, or fewer environments than shards.
    """
    venv = make_sb3_vec_env(env_id, num_envs, monitor=True, shards=shards, **kwargs)
    scaled = ScaleReward(venv, reward_scale)
    return scaled if group_size == 1 else GroupBaseline(scaled, group_size)


def seed_streams(venv: VecEnv, seed: int) -> None:
    """Give each environment, or each group, a stream spawned from `SeedSequence(seed)`, used at the next reset.

    To be called after the algorithm is built: it seeds environment i with seed + i, so that the training seeds 0 and
    1 would share all environments but one.
    """
    size = venv.size if isinstance(venv, GroupBaseline) else 1
    layers(venv)[0].seed_each([each for each in spawn_seeds(seed, venv.num_envs // size) for _ in range(size)])


def layers(venv: VecEnv) -> tuple[SB3VecEnv, VecMonitor]:
    """The adapter at the bottom of a training environment, and its monitor."""
    monitor: VecMonitor | None = None
    while isinstance(venv, VecEnvWrapper):
        monitor = venv if isinstance(venv, VecMonitor) else monitor
        venv = venv.venv
    if not isinstance(venv, SB3VecEnv) or monitor is None:
        raise TypeError(f"expected an environment of make_training_env, got {type(venv).__name__}.")
    return venv, monitor


def shards_of(venv: VecEnv) -> int:
    """The worker processes of a training environment, 1 for none."""
    env = layers(venv)[0].vector_env
    return env.shards if isinstance(env, ShardedVectorEnv) else 1


def engine_of(adapter: SB3VecEnv) -> Engine:
    """The engine of the native environment behind an adapter.

    Raises:
        ParameterError: the environments are in worker processes.
    """
    if isinstance(adapter.vector_env, ShardedVectorEnv):
        raise ParameterError(
            f"the engines of {adapter.vector_env.shards} shards are in worker processes; use shards=1, or "
            "`vector_env.apply(function)`, which runs there."
        )
    engine: Engine = adapter.vector_env.unwrapped.engine  # type: ignore[attr-defined]
    return engine


def agent_spec(adapter: SB3VecEnv, env_id: str) -> AgentSpec:
    """What a policy has to know of the environments behind an adapter, in this process or in shards."""
    env = adapter.vector_env
    if isinstance(env, ShardedVectorEnv):
        spec: AgentSpec = env.apply(_spec_of, [(env_id,)] * env.shards)[0]
        return spec
    return _spec_of(env, env_id)


def _spec_of(env: VectorEnv[Any, Any, Any], env_id: str) -> AgentSpec:
    return AgentSpec.of_settings(env_id, env.unwrapped.engine.settings)  # type: ignore[attr-defined]
