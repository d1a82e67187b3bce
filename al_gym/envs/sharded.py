"""One vector environment over several processes, each with a native vector environment of its own."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from al_gym.envs.shard_infos import join_infos
from al_gym.envs.shard_processes import Workers
from al_gym.envs.shard_worker import MakeShard, Rows
from al_gym.errors import ActionError, ParameterError, ShardError

Bools = NDArray[np.bool_]


class ShardedVectorEnv(VectorEnv[NDArray[Any], Any, NDArray[Any]]):
    """`num_envs` environments split over worker processes; steps, seeds and infos as without shards.

    Environment i has the seed, the actions and the results that it has in one native vector environment of `num_envs`:
    trajectories of al_gym's environments depend on nothing but their own streams (promise P5). Observations, rewards
    and flags lie in shared memory, infos go through pipes. Workers are started by `spawn`, so that a script that makes
    this environment needs the guard `if __name__ == "__main__":`, as for every use of `multiprocessing`.

    An exception in a worker is raised here with its type, and the worker's traceback as its cause. A step that
    failed or was interrupted (Ctrl-C) may have moved some environments and not others: `reset` them all before the next
    step. Workers ignore Ctrl-C, and end with `close`, with this object, or with the process that made it.

    Args:
        make: id of a registered environment with a native vector environment, or a picklable `make(num_envs)` that
            returns one. All shards must have the same spaces.
        num_envs: environments, at least one a shard.
        shards: worker processes, at least 1; one a core is best.
        start_method: of `multiprocessing`: `spawn`, `forkserver` or `fork` (unsafe once torch has started threads).
        **settings: keyword arguments of the environment, `autoreset_mode` among them, if `make` is an id.

    Raises:
        ParameterError: a number is out of range, `make` cannot be pickled, observations are no `Box`.
        ShardError: a worker died.
    """

    def __init__(
        self, make: str | MakeShard, num_envs: int, *, shards: int = 2, start_method: str = "spawn", **settings: Any
    ) -> None:
        _check_counts(num_envs, shards, start_method)
        self.num_envs = num_envs
        self.shards = shards
        self._start_method = start_method
        self._make = pickle_make(make, settings)
        self._sizes = [len(part) for part in np.array_split(np.arange(num_envs), shards)]
        starts = np.cumsum([0, *self._sizes])
        self._parts = [slice(int(a), int(b)) for a, b in pairwise(starts)]
        self._number = 0
        self._started = False
        self._ended = np.zeros(num_envs, np.bool_)
        self._workers = Workers(start_method, self._make, self._sizes)
        try:
            self._open()
        except BaseException:
            self._workers.stop()
            raise

    def _open(self) -> None:
        """Learn the spaces from the shards, and give them the shared arrays."""
        facts = self._ask("spaces", [()] * self.shards)
        self.single_observation_space, self.single_action_space, self.metadata, self.render_mode, self.spec = facts[0]
        if any(other[:2] != facts[0][:2] for other in facts):
            raise ParameterError("the shards have different spaces; make(num_envs) must not depend on num_envs.")
        if not isinstance(self.single_observation_space, spaces.Box):
            raise ParameterError(f"shards share observations of a Box, got {self.single_observation_space}.")
        self.autoreset_mode: AutoresetMode = self.metadata["autoreset_mode"]
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        shape, dtype = self.single_observation_space.shape, self.single_observation_space.dtype
        memory = SharedMemory(create=True, size=Rows.size(self.num_envs, shape, dtype))
        try:
            self._rows = Rows(memory, self.num_envs, shape, dtype)
            calls = [(memory.name, self.num_envs, part.start, shape, dtype) for part in self._parts]
            self._ask("attach", calls)
        finally:
            memory.unlink()  # everybody has it open; so no crash can leave it behind

    # --- the protocol with the workers ---------------------------------------------------------------------
    def _ask(self, method: str, calls: Sequence[tuple[Any, ...] | None]) -> list[Any]:
        """One request a shard (None: none), all at work at once; the results, None where nothing was asked."""
        if self._workers.stopped:
            raise ShardError("the environment is closed, or a worker has died; make a new one.")
        self._number += 1
        return self._workers.ask(self._number, method, calls)

    def _spread(self, values: Sequence[Any] | NDArray[Any]) -> list[Any]:
        """The share of each shard."""
        return [values[part] for part in self._parts]

    # --- Gymnasium -------------------------------------------------------------------------------------------
    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """As of the native vector environment: `options["reset_mask"]` restarts some of the environments."""
        if isinstance(seed, int | np.integer):
            seed = [int(seed) + i for i in range(self.num_envs)]
        if seed is not None and len(seed) != self.num_envs:
            raise ParameterError(f"seed has {len(seed)} entries for {self.num_envs} environments.")
        seeds = [None] * self.shards if seed is None else self._spread(list(seed))
        options = dict(options or {})
        mask = options.get("reset_mask")
        chosen = np.ones(self.num_envs, np.bool_)
        if mask is not None:
            chosen = _checked_mask(mask, self.num_envs)
            if not self._started:
                raise ResetNeeded("reset all environments before some of them, and after a step that failed.")
        calls: list[tuple[Any, ...] | None] = []
        for own, shard in zip(seeds, self._spread(chosen), strict=True):
            some = {**options, "reset_mask": shard} if mask is not None else options
            calls.append((own, some) if shard.any() else None)
        self._started = False
        infos = self._ask("reset", calls)
        self._started = True
        self._ended[chosen] = False
        return self._rows.observation.copy(), join_infos(infos, self._sizes)

    def step(self, actions: Any) -> tuple[NDArray[Any], NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """One step of every environment, all shards at once.

        Raises:
            ActionError: an action is outside the space; nothing has changed.
        """
        if not self._started:
            raise ResetNeeded("call reset() before step(); also after a step that failed or was interrupted.")
        actions = (
            np.stack([np.asarray(a) for a in actions]) if isinstance(actions, list | tuple) else np.asarray(actions)
        )
        if len(actions) != self.num_envs:
            raise ParameterError(f"{len(actions)} actions for {self.num_envs} environments.")
        if self._ended.any() and self.autoreset_mode == AutoresetMode.DISABLED:
            over = np.nonzero(self._ended)[0].tolist()
            raise ResetNeeded(f"environments {over} are over; reset them with options['reset_mask'].")
        waiting = self._ended if self.autoreset_mode == AutoresetMode.NEXT_STEP else np.zeros_like(self._ended)
        check_actions(self.single_action_space, actions, ~waiting)
        self._started = False
        infos = self._ask("step", [(part,) for part in self._spread(actions)])
        self._started = True
        rows = self._rows
        terminated, truncated = rows.terminated.copy(), rows.truncated.copy()
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            self._ended = terminated | truncated
        return rows.observation.copy(), rows.reward.copy(), terminated, truncated, join_infos(infos, self._sizes)

    def close_extras(self, **kwargs: Any) -> None:
        """End the workers: asked first, terminated if they do not answer."""
        self._workers.stop()

    def render(self) -> tuple[Any, ...] | None:
        """One text or picture an environment; None without a render mode."""
        return None if self.render_mode is None else self.call("render")

    # --- attributes and methods of the shards ------------------------------------------------------------------
    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """One result an environment, as the native environment's `call` gives it."""
        answers = self._ask("call", [("call", (name, *args), kwargs)] * self.shards)
        return tuple(value for answer in answers for value in answer)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """One value an environment."""
        return self.call(name)

    def set_attr(self, name: str, value: Any) -> None:
        """Set an attribute of the native environment in every shard."""
        self._ask("set", [(name, value)] * self.shards)

    def apply(self, function: Callable[..., Any], args: Sequence[tuple[Any, ...]] | None = None) -> list[Any]:
        """`function(env, *args[shard])` of each shard's native environment; the function and results are pickled."""
        each = [()] * self.shards if args is None else args
        return self._ask("apply", [(function, own) for own in each])

    def replace(self, function: Callable[..., Any], args: Sequence[tuple[Any, ...]]) -> None:
        """Each shard goes on with the environment `function(env, *args[shard])`, which has been reset already."""
        self._ask("replace", [(function, own) for own in args])
        self._started = True
        self._ended = np.concatenate(self.apply(_ended_rows))

    @property
    def observation_names(self) -> list[str]:
        """One name a component of the observation, in order."""
        return list(self._first("observation_names"))

    @property
    def action_names(self) -> list[str]:
        """What each choice is, component by component, or each number of a continuous action."""
        return list(self._first("action_names"))

    @property  # type: ignore[misc]
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each environment's generator."""
        return self.call("np_random_seed")

    def action_masks(self) -> Bools:
        """(num_envs, sum of the components' sizes) bool: what is valid, as MaskablePPO wants it."""
        return np.concatenate(self._ask("call", [("action_masks", (), {})] * self.shards))

    def sample_tasks(self, n: int) -> list[Any]:
        """`n` tasks drawn with the generator of the first environment."""
        return list(self._first("sample_tasks", n))

    def set_task(self, task: Any) -> None:
        """As of the native vector environment: one task for all, or a list with one for each."""
        each = list(task) if isinstance(task, list | tuple) else [task] * self.num_envs
        if len(each) != self.num_envs:
            raise ParameterError(f"set_task got {len(each)} tasks for {self.num_envs} environments; one for each.")
        self._ask("call", [("set_task", (part,), {}) for part in self._spread(each)])

    def get_task(self) -> tuple[Any, ...]:
        """For each environment the task that was set, else that of its last reset."""
        return self.call("get_task")

    def _first(self, name: str, *args: Any) -> Any:
        return self._ask("call", [(name, args, {}), *[None] * (self.shards - 1)])[0]

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds each shard's environment; unpickling starts workers of its own."""
        rows = [a.copy() for a in (self._rows.observation, self._rows.reward)]
        state = (self.apply(_dump), rows, self._started, self._ended)
        return _restore, (self._make, self.num_envs, self.shards, self._start_method, state)


def make_shard(env_id: str, settings: dict[str, Any], num_envs: int) -> VectorEnv[Any, Any, Any]:
    """The native vector environment of a registered id."""
    return gym.make_vec(env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", **settings)


def pickle_make(make: str | MakeShard, settings: dict[str, Any]) -> bytes:
    """What a worker calls with its number of environments, pickled."""
    if not isinstance(make, str) and settings:
        raise ParameterError(f"settings {sorted(settings)} belong to an environment id; bind them in make.")
    function = partial(make_shard, make, settings) if isinstance(make, str) else make
    try:
        return pickle.dumps(function)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ParameterError(
            f"the shards' environment cannot be sent to a process: {error}; use functions and classes of a module."
        ) from error


def check_actions(space: spaces.Space[Any], actions: NDArray[Any], rows: Bools) -> None:
    """ActionError for an action outside a Discrete, MultiDiscrete or Box space, before any shard has moved."""
    chosen = actions[rows]
    if isinstance(space, spaces.Discrete):
        low, high = np.asarray(space.start), np.asarray(space.start + space.n - 1)
    elif isinstance(space, spaces.MultiDiscrete):
        low, high = np.asarray(space.start), np.asarray(space.start + space.nvec - 1)
    else:
        return  # what a shard refuses comes back as its error
    fits = chosen.shape[1:] == space.shape and chosen.dtype.kind in "iu"
    wrong = ~((chosen >= low) & (chosen <= high)) if fits else np.ones(1, np.bool_)
    if wrong.any():
        bad = chosen[np.nonzero(wrong)[0][0]] if len(chosen) else chosen
        raise ActionError(f"action {bad.tolist()} (dtype {chosen.dtype}) is outside {space}; nothing has changed.")


def _checked_mask(mask: Any, num_envs: int) -> Bools:
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,) or not mask.any():
        raise ParameterError(
            f"options['reset_mask'] must be a ({num_envs},) bool array with at least one True, got {mask!r}."
        )
    return mask


def _check_counts(num_envs: int, shards: int, start_method: str) -> None:
    if shards < 1:
        raise ParameterError(f"shards must be at least 1, got {shards}.")
    if num_envs < shards:
        raise ParameterError(f"{num_envs} environments cannot be split over {shards} shards; use fewer shards.")
    methods = multiprocessing.get_all_start_methods()
    if start_method not in methods:
        raise ParameterError(f"start_method {start_method!r} is not one of {', '.join(methods)}.")


def _dump(env: VectorEnv[Any, Any, Any]) -> bytes:
    return pickle.dumps(env)


def _load(env: VectorEnv[Any, Any, Any], data: bytes) -> VectorEnv[Any, Any, Any]:
    loaded: VectorEnv[Any, Any, Any] = pickle.loads(data)
    return loaded


def _ended_rows(env: VectorEnv[Any, Any, Any]) -> Bools:
    """(num_envs,) bool: over, and not reset yet; none in mode SAME_STEP or if the environment does not tell."""
    if env.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP:
        return np.zeros(env.num_envs, np.bool_)
    done: Bools = getattr(env.unwrapped, "_done", np.zeros(env.num_envs, np.bool_))
    return done.copy()


def _restore(make: bytes, num_envs: int, shards: int, start_method: str, state: tuple[Any, ...]) -> ShardedVectorEnv:
    """The environment of a pickle."""
    dumps, (observation, reward), started, ended = state
    env = ShardedVectorEnv(pickle.loads(make), num_envs, shards=shards, start_method=start_method)
    env.replace(_load, [(dump,) for dump in dumps])
    env._rows.observation[:], env._rows.reward[:] = observation, reward
    env._started, env._ended = started, ended
    return env
