"""A noisy walk on a line, as a single environment and as a native vector environment that equals it."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

MOVES = np.array([-1, 0, 1])


def observation_space(length: int, time_limit: int) -> spaces.Box:
    return spaces.Box(np.zeros(3, np.float32), np.array([length, 1, time_limit], np.float32))


def action_space(multi: bool) -> spaces.Discrete | spaces.MultiDiscrete:
    return spaces.MultiDiscrete([3, 2]) if multi else spaces.Discrete(3)


class ToyEnv(gym.Env):
    """Walk from near 0 to `length`; a step may slip.

    Actions: left (masked at 0), stay, right; with `multi`, a second action says whether to hurry (two fields).
    Reward: the way gained minus 0.1 times a random toll. Reaching `length` terminates, `time_limit` steps truncate.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"]}  # noqa: RUF012 - as gymnasium has it

    def __init__(self, length=4, time_limit=9, multi=False, render_mode=None):
        self.length, self.time_limit, self.multi, self.render_mode = length, time_limit, multi, render_mode
        self.observation_space = observation_space(length, time_limit)
        self.action_space = action_space(multi)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.clock, self.moved = int(self.np_random.integers(0, 2)), 0, 0
        self.noise = self.np_random.random()
        return self._observe(), self._info()

    def step(self, action):
        kind, pace = (int(action[0]), 1 + int(action[1])) if self.multi else (int(action), 1)
        invalid = self.position == 0 and kind == 0
        slips = self.np_random.random() < 0.2
        move = 0 if slips or invalid else int(MOVES[kind]) * pace
        before, self.position = self.position, min(max(self.position + move, 0), self.length)
        self.noise = self.np_random.random()
        self.clock += 1
        self.moved += abs(self.position - before)
        terminated = self.position == self.length
        truncated = not terminated and self.clock == self.time_limit
        reward = float(self.position - before) - 0.1 * self.noise
        info = self._info() | {"invalid_action": invalid, "walk": {"moved": self.moved}}
        return self._observe(), reward, terminated, truncated, info

    def action_masks(self):
        parts = self._mask() if self.multi else (self._mask(),)
        return np.concatenate(parts).astype(bool)

    def render(self):
        if self.render_mode == "ansi":
            return "." * self.position + "x"
        return np.full((4, 4, 3), 10 * self.position, np.uint8)

    def _mask(self):
        kinds = np.array([self.position > 0, True, True], dtype=np.int8)
        return (kinds, np.ones(2, np.int8)) if self.multi else kinds

    def _observe(self):
        return np.array([self.position, self.noise, self.clock], np.float32)

    def _info(self):
        return {"action_mask": self._mask(), "distance": (self.length - self.position) / self.length}


class ToyVectorEnv(VectorEnv):
    """The same walk, struct of arrays; every piece that a broken environment replaces is a method."""

    def __init__(
        self,
        num_envs=1,
        autoreset_mode=AutoresetMode.NEXT_STEP,
        length=4,
        time_limit=9,
        multi=False,
        render_mode=None,
    ):
        self.num_envs, self.autoreset_mode = num_envs, AutoresetMode(autoreset_mode)
        self.length, self.time_limit, self.multi, self.render_mode = length, time_limit, multi, render_mode
        self.metadata = {**ToyEnv.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = observation_space(length, time_limit)
        self.single_action_space = action_space(multi)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.generators = [None] * num_envs
        self.position, self.clock, self.moved = (np.zeros(num_envs, np.int64) for _ in range(3))
        self.noise = np.zeros(num_envs)
        self.invalid, self.ended = np.zeros(num_envs, bool), np.zeros(num_envs, bool)

    def reset(self, *, seed=None, options=None):
        rows = np.ones(self.num_envs, bool)
        if options is not None and "reset_mask" in options:
            rows = options["reset_mask"]
        seeds = self.row_seeds(seed)
        for row in np.flatnonzero(rows):
            if seeds[row] is not None or self.generators[row] is None:
                self.generators[row] = seeding.np_random(seeds[row])[0]
        self.restart(rows)
        self.ended = self.ended & ~rows
        return self.observe(), self.info(rows, np.zeros_like(rows))

    def row_seeds(self, seed):
        if seed is None or isinstance(seed, int):
            return [None if seed is None else seed + row for row in range(self.num_envs)]
        return seed

    def restart(self, rows):
        for row in np.flatnonzero(rows):
            generator = self.generators[row]
            self.position[row] = generator.integers(0, 2)
            self.noise[row] = generator.random()
        self.clock[rows] = self.moved[rows] = 0

    def step(self, actions):
        restarting = self.ended & (self.autoreset_mode is AutoresetMode.NEXT_STEP)
        assert not (self.ended.any() and self.autoreset_mode is AutoresetMode.DISABLED), self.ended
        rewards, terminated, truncated = self.advance(actions, ~restarting)
        if restarting.any():
            self.restart(restarting)
        self.ended = terminated | truncated
        infos = {}
        stepped = ~restarting
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self.ended.any():
            infos = self.final(self.ended)
            self.restart(self.ended)
            stepped = ~self.ended
        infos |= self.info(np.ones(self.num_envs, bool), stepped)
        return self.observe(), rewards, terminated, truncated, infos

    def advance(self, actions, rows):
        kinds, pace = (actions[:, 0], 1 + actions[:, 1]) if self.multi else (actions, 1)
        self.invalid = (self.position == 0) & (kinds == 0) & rows
        slips = self.draw(rows) < 0.2
        moves = np.where(slips | self.invalid | ~rows, 0, MOVES[kinds] * pace)
        before, self.position = self.position, np.clip(self.position + moves, 0, self.length)
        self.noise = np.where(rows, self.draw(rows), self.noise)
        self.clock = self.clock + rows
        self.moved = self.moved + np.abs(self.position - before)
        terminated = rows & (self.position == self.length)
        truncated = rows & ~terminated & (self.clock == self.time_limit)
        return np.where(rows, self.position - before - 0.1 * self.noise, 0.0), terminated, truncated

    def draw(self, rows):
        return np.array([self.generators[i].random() if use else 1.0 for i, use in enumerate(rows)])

    def observe(self):
        return np.stack([self.position, self.noise, self.clock], axis=1).astype(np.float32)

    def final(self, rows):
        observations = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(rows):
            observations[row] = self.observe()[row]
        return {
            "final_obs": observations,
            "_final_obs": rows.copy(),
            "final_info": self.info(rows, rows),
            "_final_info": rows.copy(),
        }

    def info(self, rows, stepped):
        infos = {
            "action_mask": self.masks(),
            "_action_mask": rows.copy(),
            "distance": (self.length - self.position) / self.length,
            "_distance": rows.copy(),
        }
        if stepped.any():
            walk = {"moved": self.moved.copy(), "_moved": stepped.copy()}
            infos |= {"invalid_action": self.invalid.copy(), "_invalid_action": stepped.copy()}
            infos |= {"walk": walk, "_walk": stepped.copy()}
        return infos

    def masks(self):
        kinds = np.ones((self.num_envs, 3), np.int8)
        kinds[:, 0] = self.position > 0
        if not self.multi:
            return kinds
        both = np.full(self.num_envs, None, dtype=object)
        for row in range(self.num_envs):
            both[row] = (kinds[row], np.ones(2, np.int8))
        return both

    def action_masks(self):
        kinds = np.ones((self.num_envs, 5 if self.multi else 3), bool)
        kinds[:, 0] = self.position > 0
        return kinds

    def render(self):
        if self.render_mode == "ansi":
            return tuple("." * position + "x" for position in self.position)
        return tuple(np.full((4, 4, 3), 10 * position, np.uint8) for position in self.position)
