"""The single environment: one slot of the engine behind Gymnasium's `Env`."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from al_gym.envs.actions import Actions
from al_gym.envs.engine import Engine, make_settings
from al_gym.envs.meta import MetaTask, check_task, draw_tasks
from al_gym.envs.rendering import render_ansi, render_rgb
from al_gym.errors import ParameterError

RENDER_MODES = ("ansi", "rgb_array")
_SLOT = np.zeros(1, np.int64)


class CampaignEnv(gym.Env[NDArray[np.float32], Any]):
    """One labelling campaign an episode; the base of the registered environments.

    Args:
        render_mode: `ansi`, `rgb_array` or None.
        **settings: see `al_gym.envs.engine.Settings`.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 4}  # noqa: RUF012 (Gymnasium's)
    kind: ClassVar[type[Actions]]
    defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, *, render_mode: str | None = None, **settings: Any) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ParameterError(f"render_mode {render_mode!r} is not one of {', '.join(RENDER_MODES)} or None.")
        self.render_mode = render_mode
        self.engine = Engine(1, make_settings(self.defaults | settings), self.kind)
        self.action_space = self.engine.actions.space()
        self.observation_space = observation_space(self.engine)  # type: ignore[assignment]
        self._running = False

    @property
    def observation_names(self) -> list[str]:
        """One name a component of the observation, in order."""
        return self.engine.observer.names

    @property
    def action_names(self) -> list[str]:
        """What each choice is, component by component, or each number of a continuous action."""
        return self.engine.actions.names

    @property
    def observation_documentation(self) -> dict[str, str]:
        """What each component of the observation is."""
        return dict(self.engine.observer.documentation)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start a campaign on a new task; `options={"task": ..., "task_seed": ...}` fixes it."""
        super().reset(seed=seed)
        observation = self.engine.reset(_SLOT, [self.np_random], options)
        self._running = True
        return observation[0], self._info(self.engine.reset_columns(_SLOT))

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One round: query, reveal, refit; see the class for the action's meaning."""
        if not self._running:
            raise ResetNeeded("the campaign is over or has not begun; call reset() first.")
        observation, reward, ended, columns = self.engine.step(_SLOT, np.asarray(action)[None])
        self._running = not bool(ended[0])
        return observation[0], float(reward[0]), bool(ended[0]), False, self._info(columns)

    # --- the MetaEnv protocol ------------------------------------------------------------------------------
    def sample_tasks(self, n: int) -> list[MetaTask]:
        """`n` tasks drawn with the environment's generator: plain dicts, for `set_task` here or in another process."""
        return draw_tasks(self.engine.tasks, n, self.np_random)

    def set_task(self, task: Any) -> None:
        """Start every later campaign on `task`, until another one is set; None draws a new task in each reset again.

        Takes what `sample_tasks` and `get_task` give, or a dataset's name, a `Dataset` or a `Task`. The campaign that
        runs goes on. `reset(options={"task": ...})` goes before it, for that one reset. A reset with a task that has
        its seed draws nothing from the environment's generator.
        """
        self.engine.fixed[0] = check_task(task, self.engine.tasks)

    def get_task(self) -> MetaTask | None:
        """The task that was set; without one, that of the last reset; None before any."""
        return self.engine.fixed[0] or self.engine.current[0]

    def action_masks(self) -> NDArray[np.bool_]:
        """(sum of the components' sizes,) bool: what is valid, flat, as MaskablePPO wants it."""
        return np.concatenate([mask[0] for mask in self.engine.masks(_SLOT)])

    def render(self) -> Any:
        """The learning curve so far as text or as an (height, width, 3) uint8 picture; None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn("render() without a render_mode; pass render_mode='ansi' or 'rgb_array' to gym.make().")
            return None
        return render_ansi(self.engine, 0) if self.render_mode == "ansi" else render_rgb(self.engine, 0)

    def _info(self, columns: dict[str, Any]) -> dict[str, Any]:
        info = {key: _scalar(column[0]) for key, column in columns.items()}
        masks = [mask[0].astype(np.int8) for mask in self.engine.masks(_SLOT)]
        return info | {"action_mask": masks[0] if len(masks) == 1 else tuple(masks)}


def observation_space(engine: Engine) -> spaces.Box:
    """The observation space of one campaign."""
    return spaces.Box(engine.observer.low, engine.observer.high, engine.observer.shape, np.float32)


def _scalar(value: Any) -> Any:
    """Plain Python for numpy scalars; arrays and text as they are."""
    return value.item() if isinstance(value, np.generic) else value
