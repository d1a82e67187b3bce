"""The environments that agents train on."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from al_gym.envs.engine import Engine
from al_gym.integrations.sb3 import SB3VecEnv, make_sb3_vec_env, spawn_seeds


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


def make_training_env(env_id: str, num_envs: int, *, reward_scale: float = 1.0, **kwargs: Any) -> VecEnv:
    """The native vector environment behind stable-baselines3's interface, not yet seeded.

    Args:
        env_id: a registered id. num_envs: at least 1. reward_scale: factor of the rewards.
        **kwargs: arguments of the environment.
    """
    return ScaleReward(make_sb3_vec_env(env_id, num_envs, monitor=True, **kwargs), reward_scale)


def seed_streams(venv: VecEnv, seed: int) -> None:
    """Give each environment a stream spawned from `SeedSequence(seed)`, used at the next reset.

    To be called after the algorithm is built: it seeds environment i with seed + i, so that the training seeds 0 and
    1 would share all environments but one.
    """
    layers(venv)[0].seed_each(spawn_seeds(seed, venv.num_envs))


def layers(venv: VecEnv) -> tuple[SB3VecEnv, VecMonitor]:
    """The adapter at the bottom of a training environment, and its monitor."""
    monitor: VecMonitor | None = None
    while isinstance(venv, VecEnvWrapper):
        monitor = venv if isinstance(venv, VecMonitor) else monitor
        venv = venv.venv
    if not isinstance(venv, SB3VecEnv) or monitor is None:
        raise TypeError(f"expected an environment of make_training_env, got {type(venv).__name__}.")
    return venv, monitor


def engine_of(adapter: SB3VecEnv) -> Engine:
    """The engine of the native environment behind an adapter."""
    engine: Engine = adapter.vector_env.unwrapped.engine  # type: ignore[attr-defined]
    return engine
