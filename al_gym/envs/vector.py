"""The native vector environment: many slots of the engine behind Gymnasium's `VectorEnv`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from al_gym.envs.actions import Actions
from al_gym.envs.engine import Engine, make_settings
from al_gym.envs.meta import MetaTask, check_task, draw_tasks
from al_gym.envs.rendering import render_ansi, render_rgb
from al_gym.envs.single import RENDER_MODES, observation_space
from al_gym.errors import ParameterError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class CampaignVectorEnv(VectorEnv[NDArray[np.float32], Any, NDArray[Any]]):
    """Many campaigns at once, equal step by step to `SyncVectorEnv` of the single environment.

    Args:
        num_envs: number of campaigns.
        autoreset_mode: `NextStep`, `SameStep` or `Disabled`, or the enum.
        render_mode: `ansi`, `rgb_array` or None.
        **settings: see `al_gym.envs.engine.Settings`.
    """

    kind: ClassVar[type[Actions]]
    defaults: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        if num_envs < 1:
            raise ParameterError(f"num_envs must be at least 1, got {num_envs}.")
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ParameterError(f"render_mode {render_mode!r} is not one of {', '.join(RENDER_MODES)} or None.")
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.autoreset_mode = _mode(autoreset_mode)
        self.metadata = {"render_modes": list(RENDER_MODES), "render_fps": 4, "autoreset_mode": self.autoreset_mode}
        self.engine = Engine(num_envs, make_settings(self.defaults | settings), self.kind)
        self.single_action_space = self.engine.actions.space()
        self.single_observation_space = observation_space(self.engine)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._rngs: list[np.random.Generator | None] = [None] * num_envs
        self._seeds: list[int] = [-1] * num_envs
        self._observation = np.zeros((num_envs, *self.engine.observer.shape), np.float32)
        self._done = np.ones(num_envs, np.bool_)
        self._started = False

    # --- what wrappers ask for -----------------------------------------------------------------------------
    @property
    def observation_names(self) -> list[str]:
        """One name a component of the observation, in order."""
        return self.engine.observer.names

    @property
    def action_names(self) -> list[str]:
        """What each choice is, component by component, or each number of a continuous action."""
        return self.engine.actions.names

    @property  # type: ignore[misc]
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each campaign's generator."""
        return tuple(self._seeds)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each campaign."""
        return tuple(self._rng(i) for i in range(self.num_envs))

    def action_masks(self) -> Bools:
        """(num_envs, sum of the components' sizes) bool: what is valid, as MaskablePPO wants it."""
        return np.concatenate(self.engine.masks(self._all()), axis=1)

    def _all(self) -> Ints:
        return np.arange(self.num_envs)

    def _rng(self, slot: int) -> np.random.Generator:
        rng = self._rngs[slot]
        if rng is None:
            rng, self._seeds[slot] = seeding.np_random(None)
            self._rngs[slot] = rng
        return rng

    # --- the MetaEnv protocol ------------------------------------------------------------------------------
    def sample_tasks(self, n: int) -> list[MetaTask]:
        """`n` tasks drawn with the generator of the first campaign; see the single environment."""
        return draw_tasks(self.engine.tasks, n, self._rng(0))

    def set_task(self, task: Any) -> None:
        """Start every later campaign on `task`, autoresets included, until another one is set; None ends that.

        Args:
            task: one for all campaigns, as in the single environment, or a list with one (or None) for each.
        """
        each = list(task) if isinstance(task, list | tuple) else [task] * self.num_envs
        if len(each) != self.num_envs:
            raise ParameterError(f"set_task got {len(each)} tasks for {self.num_envs} campaigns; give one for each.")
        self.engine.fixed = [check_task(one, self.engine.tasks) for one in each]

    def get_task(self) -> tuple[MetaTask | None, ...]:
        """For each campaign the task that was set, else that of its last reset."""
        return tuple(fixed or last for fixed, last in zip(self.engine.fixed, self.engine.current, strict=True))

    # --- reset ---------------------------------------------------------------------------------------------
    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start campaigns: all of them, or those of `options["reset_mask"]` ((num_envs,) bool).

        Args:
            seed: None, one integer (campaign i gets seed + i), or one a campaign.
            options: besides `reset_mask`, `task` and `task_seed` as in the single environment.
        """
        seeds = self._spread(seed)
        options = dict(options or {})
        slots = np.nonzero(_reset_mask(options.pop("reset_mask", None), self.num_envs))[0]
        for slot in slots.tolist():
            if seeds[slot] is not None:
                self._rngs[slot], self._seeds[slot] = seeding.np_random(seeds[slot])
        infos: dict[str, Any] = {}
        self._reset(slots, options, infos)
        self._started = True
        return self._observation.copy(), infos

    def _spread(self, seed: int | list[int | None] | None) -> list[int | None]:
        if seed is None or isinstance(seed, int | np.integer):
            return [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ParameterError(f"seed has {len(seed)} entries for {self.num_envs} campaigns.")
        return list(seed)

    def _reset(self, slots: Ints, options: dict[str, Any] | None, infos: dict[str, Any]) -> None:
        self._observation[slots] = self.engine.reset(slots, [self._rng(s) for s in slots.tolist()], options)
        self._done[slots] = False
        self._write(infos, slots, self.engine.reset_columns(slots))

    # --- step ----------------------------------------------------------------------------------------------
    def step(self, actions: Any) -> tuple[NDArray[np.float32], NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """One round of every campaign; see Gymnasium's `AutoresetMode` for what happens at an end."""
        if not self._started:
            raise ResetNeeded("call reset() before step().")
        actions = (
            np.stack([np.asarray(a) for a in actions]) if isinstance(actions, list | tuple) else np.asarray(actions)
        )
        if len(actions) != self.num_envs:
            raise ParameterError(f"{len(actions)} actions for {self.num_envs} campaigns.")
        waiting = self._done.copy()
        if waiting.any() and self.autoreset_mode != AutoresetMode.NEXT_STEP:
            raise ResetNeeded(
                f"campaigns {np.nonzero(waiting)[0].tolist()} are over; reset them with options['reset_mask']."
            )
        infos: dict[str, Any] = {}
        reward, ended = np.zeros(self.num_envs), np.zeros(self.num_envs, np.bool_)
        running = np.nonzero(~waiting)[0]
        if len(running):
            observation, reward[running], ended[running], columns = self.engine.step(running, actions[running])
            self._observation[running] = observation
            self._close_round(running, ended[running], columns, infos)
        if waiting.any():
            self._reset(np.nonzero(waiting)[0], None, infos)
        return self._observation.copy(), reward, ended.copy(), np.zeros(self.num_envs, np.bool_), infos

    def _close_round(self, running: Ints, ended: Bools, columns: dict[str, Any], infos: dict[str, Any]) -> None:
        if self.autoreset_mode != AutoresetMode.SAME_STEP or not ended.any():
            self._done[running] = ended
            self._write(infos, running, columns)
            return
        over, going = running[ended], running[~ended]
        final_obs = np.full(self.num_envs, None, dtype=object)
        for slot in over.tolist():
            final_obs[slot] = self._observation[slot].copy()
        mask = np.zeros(self.num_envs, np.bool_)
        mask[over] = True
        final: dict[str, Any] = {}
        self._write(final, over, {key: column[ended] for key, column in columns.items()})
        infos |= {"final_obs": final_obs, "_final_obs": mask, "final_info": final, "_final_info": mask.copy()}
        if len(going):
            self._write(infos, going, {key: column[~ended] for key, column in columns.items()})
        self._reset(over, None, infos)

    # --- infos ---------------------------------------------------------------------------------------------
    def _write(self, infos: dict[str, Any], slots: Ints, columns: dict[str, Any]) -> None:
        """Add info columns of some campaigns, in the layout of `VectorEnv._add_info`."""
        masks = [mask.astype(np.int8) for mask in self.engine.masks(slots)]
        if len(masks) == 1:
            columns = columns | {"action_mask": masks[0]}
        else:
            rows = np.empty(len(slots), dtype=object)
            rows[:] = list(zip(*masks, strict=True))
            columns = columns | {"action_mask": rows}
        for key, column in columns.items():
            if key not in infos:
                missing = None if column.dtype == object else 0
                infos[key] = np.full((self.num_envs, *column.shape[1:]), missing, dtype=column.dtype)
                infos[f"_{key}"] = np.zeros(self.num_envs, np.bool_)
            infos[key][slots] = column
            infos[f"_{key}"][slots] = True

    # --- the rest --------------------------------------------------------------------------------------------
    def render(self) -> tuple[Any, ...] | None:
        """One text or picture a campaign; None without a render mode."""
        if self.render_mode is None:
            return None
        draw = render_ansi if self.render_mode == "ansi" else render_rgb
        return tuple(draw(self.engine, slot) for slot in range(self.num_envs))

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """One result a campaign of an attribute or method; `action_masks` gives each campaign its own row."""
        value = getattr(self, name)
        value = value(*args, **kwargs) if callable(value) else value
        per_campaign = name in ("action_masks", "get_task", "np_random", "np_random_seed", "render")
        return tuple(value) if per_campaign else (value,) * self.num_envs

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """One value a campaign."""
        return self.call(name)


def _mode(mode: str | AutoresetMode) -> AutoresetMode:
    names = {m.value: m for m in AutoresetMode} | {m.name: m for m in AutoresetMode}
    if isinstance(mode, AutoresetMode):
        return mode
    if mode not in names:
        raise ParameterError(f"autoreset_mode {mode!r} is not one of {', '.join(m.value for m in AutoresetMode)}.")
    return names[mode]


def _reset_mask(mask: Any, num_envs: int) -> Bools:
    if mask is None:
        return np.ones(num_envs, np.bool_)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,) or not mask.any():
        raise ParameterError(
            f"options['reset_mask'] must be a ({num_envs},) bool array with at least one True, got {mask!r}."
        )
    return mask
