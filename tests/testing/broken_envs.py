"""Vector environments with one deliberate fault each; `check_vector_env` must name the check of every one.

The first eight are the faults that native vector environments are known to have; the rest cover other checks.
"""

from __future__ import annotations

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode

from testing.toy_envs import ToyVectorEnv


class StaleFinalObs(ToyVectorEnv):
    """`final_obs` is the observation before the last step."""

    def step(self, actions):
        self.before = self.observe()
        return super().step(actions)

    def final(self, rows):
        infos = super().final(rows)
        for row in np.flatnonzero(rows):
            infos["final_obs"][row] = self.before[row]
        return infos


class SharedBuffers(ToyVectorEnv):
    """Every call returns the same observation array, written anew."""

    def observe(self):
        if not hasattr(self, "buffer"):
            self.buffer = np.zeros((self.num_envs, 3), np.float32)
        self.buffer[:] = super().observe()
        return self.buffer

    def final(self, rows):
        infos = super().final(rows)
        infos["final_obs"] = np.array([None if obs is None else obs.copy() for obs in infos["final_obs"]], dtype=object)
        for row in np.flatnonzero(rows):
            infos["final_obs"][row] = ToyVectorEnv.observe(self)[row]
        return infos


class WrongSeeds(ToyVectorEnv):
    """`reset(seed=s)` seeds every row with s."""

    def row_seeds(self, seed):
        return [seed] * self.num_envs if isinstance(seed, int) else super().row_seeds(seed)


class ResetTouchesOthers(ToyVectorEnv):
    """A masked reset also restarts the clock of the rows outside the mask."""

    def reset(self, *, seed=None, options=None):
        answer = super().reset(seed=seed, options=options)
        self.clock[:] = 0  # after the observation was made: it shows only in later steps
        return answer


class NextStepTakesAction(ToyVectorEnv):
    """In mode NextStep the resetting row also consumes the action."""

    def step(self, actions):
        if self.autoreset_mode is AutoresetMode.NEXT_STEP and self.ended.any():
            self.restart(self.ended)
            self.ended = np.zeros(self.num_envs, bool)
        return super().step(actions)


class WrongInfoMasks(ToyVectorEnv):
    """Info masks claim every row, also those that only reset."""

    def info(self, rows, stepped):
        everyone = np.ones(self.num_envs, bool)
        return super().info(everyone, everyone if stepped.any() else stepped)


class WrongDtypes(ToyVectorEnv):
    """Rewards are float32 and flags are int8."""

    def step(self, actions):
        observations, rewards, terminated, truncated, infos = super().step(actions)
        return observations, rewards.astype(np.float32), terminated.astype(np.int8), truncated.astype(np.int8), infos


class DependsOnBatchMates(ToyVectorEnv):
    """All rows draw their tolls from the generator of row 0."""

    def draw(self, rows):
        return np.array([self.generators[0].random() if use else 1.0 for use in rows])


class NoFinalInfo(ToyVectorEnv):
    """Mode SameStep gives `final_obs` but no `final_info`."""

    def final(self, rows):
        infos = super().final(rows)
        del infos["final_info"], infos["_final_info"]
        return infos


class SwappedFlags(ToyVectorEnv):
    """A time limit is reported as `terminated`."""

    def advance(self, actions, rows):
        rewards, terminated, truncated = super().advance(actions, rows)
        return rewards, terminated | truncated, truncated & False


class FreshSeedOnReset(ToyVectorEnv):
    """`reset()` draws new entropy instead of going on with the rows' own streams."""

    def row_seeds(self, seed):
        return [seeding.np_random()[1] for _ in range(self.num_envs)] if seed is None else super().row_seeds(seed)


class IgnoresSeedList(ToyVectorEnv):
    """A list of seeds counts from its first entry."""

    def row_seeds(self, seed):
        return super().row_seeds(seed[0] if isinstance(seed, list) else seed)


class ReadsReturnedArrays(ToyVectorEnv):
    """The clock of the next step is read back from the observation that the caller holds."""

    def observe(self):
        self.held = super().observe()
        return self.held

    def advance(self, actions, rows):
        self.clock = self.held[:, 2].astype(np.int64)
        return super().advance(actions, rows)


class ObservationOutside(ToyVectorEnv):
    """The batched space has other bounds than the single one."""

    def __init__(self, num_envs=1, **kwargs):
        super().__init__(num_envs, **kwargs)
        self.observation_space = type(self.observation_space)(-9, 9, self.observation_space.shape, np.float32)


class WrongMode(ToyVectorEnv):
    """The metadata name the mode, the attribute does not."""

    def __init__(self, num_envs=1, **kwargs):
        super().__init__(num_envs, **kwargs)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode.value}


class CannotCloseTwice(ToyVectorEnv):
    """The second `close` raises."""

    def close(self, **kwargs):
        if self.closed:
            raise RuntimeError("already closed")
        super().close(**kwargs)


BROKEN = {
    StaleFinalObs: "final_obs",
    SharedBuffers: "shared_buffers",
    WrongSeeds: "seed_int",
    ResetTouchesOthers: "reset_mask",
    NextStepTakesAction: "next_step_autoreset",
    WrongInfoMasks: "info_masks",
    WrongDtypes: "dtypes",
    DependsOnBatchMates: "batch_independence",
    NoFinalInfo: "final_info",
    SwappedFlags: "terminated",
    FreshSeedOnReset: "seed_none",
    IgnoresSeedList: "seed_list",
    ReadsReturnedArrays: "shared_buffers",
    ObservationOutside: "spaces",
    WrongMode: "autoreset_mode",
    CannotCloseTwice: "close",
}
"""Broken environment -> the check that must fail first."""
