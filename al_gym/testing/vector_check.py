"""`check_vector_env`: a native vector environment must equal `SyncVectorEnv` of single ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from al_gym.errors import ParameterError
from al_gym.testing.batching import ActionSampler, Seeds, SoloBatch
from al_gym.testing.compare import difference
from al_gym.testing.failure import VectorEnvError
from al_gym.testing.lockstep import Lockstep

MakeVector = Callable[[int, AutoresetMode], VectorEnv[Any, Any, Any]]
MakeSingle = Callable[[], gym.Env[Any, Any]]

CHECKS = (
    "spaces",
    "autoreset_mode",
    "seed_int",
    "seed_list",
    "seed_none",
    "batch_independence",
    "reset_mask",
    "dtypes",
    "observation_space",
    "observation",
    "reward",
    "terminated",
    "truncated",
    "next_step_autoreset",
    "same_step_autoreset",
    "final_obs",
    "final_info",
    "info_keys",
    "info_masks",
    "info_dtypes",
    "info_values",
    "episodes",
    "shared_buffers",
    "seeds_differ",
    "close",
)
"""Names of all checks, in the order of `check_vector_env`'s docstring."""


def check_vector_env(
    make: MakeVector | str,
    make_single: MakeSingle | None = None,
    *,
    num_envs: int = 3,
    episodes: int = 3,
    seed: int = 0,
    modes: Iterable[str | AutoresetMode] = ("NextStep", "SameStep", "Disabled"),
    atol: float = 1e-6,
    max_steps: int = 1000,
    use_action_mask: bool = True,
    stochastic: bool = True,
    env_kwargs: Mapping[str, Any] | None = None,
) -> list[str]:
    """Check that a native vector environment equals, call by call, `SyncVectorEnv` of single ones.

    Works for any Gymnasium environment, not only for al_gym's. Both sides get the same seeds and the same random
    actions (drawn by `info["action_mask"]` of the single environments, if there is one), in every autoreset mode.
    Floats must agree within `atol` (absolute below 1, relative above), everything else exactly.

    Checks, by the name that the error carries:

    - `spaces`: `num_envs`, both single spaces and both batched spaces.
    - `autoreset_mode`: `metadata["autoreset_mode"]` and the attribute `autoreset_mode` are the mode asked for.
    - `seed_int`: `reset(seed=s)` gives row i the seed s + i.
    - `seed_list`: `reset(seed=[...])` gives every row its own; a None in the list continues that row's stream.
    - `seed_none`: `reset()` continues every row's own stream.
    - `batch_independence`: row i equals a native environment with `num_envs=1` and the same seed, through an autoreset.
    - `reset_mask`: (mode Disabled) `reset(options={"reset_mask": ...})` restarts the masked rows, with their seeds,
      reports infos for them alone, and neither returns changed rows for the others nor changes their future.
    - `dtypes`: types, dtypes and shapes of observations, rewards (float64) and flags (bool).
    - `observation_space`: every returned batch lies in `observation_space`.
    - `observation`, `reward`, `terminated`, `truncated`: equal to the single environment's.
    - `next_step_autoreset`: the step after an end ignores the action, resets, and has reward 0 and no flag.
    - `same_step_autoreset`: the step of an end returns the first observation of the next episode.
    - `final_obs`, `final_info`: (mode SameStep) present exactly for the ended rows, with the last state of the episode.
    - `info_keys`, `info_masks`, `info_dtypes`, `info_values`: infos have the structure of `VectorEnv._add_info`: the
      same keys, a bool mask `_key` for each, the same dtypes, and equal values where the mask is True.
    - `episodes`: every row ends `episodes` episodes within `max_steps` steps.
    - `shared_buffers`: returned arrays are never changed by later calls, and writing into them changes nothing.
    - `seeds_differ`: another seed gives other episodes (left out with `stochastic=False`).
    - `close`: `close()` may be called twice.

    Args:
        make: `make(num_envs, autoreset_mode)` returns the native vector environment; or the id of a registered
            environment that has a `vector_entry_point`.
        make_single: returns a new single environment; not needed when `make` is an id.
        num_envs: rows, at least 1. `reset_mask` can see untouched rows only with 2 or more.
        episodes: episodes that every row plays in every mode.
        seed: seed of the first row and of the actions.
        modes: autoreset modes to check, by name or enum.
        atol: tolerance of floats.
        max_steps: limit of steps for `episodes` episodes.
        use_action_mask: draw only actions that the mask allows; False draws from the whole action space.
        stochastic: the environment's episodes depend on its seed.
        env_kwargs: keyword arguments for the environment when `make` is an id.

    Returns:
        The names of the checks that ran and passed, in the order above.

    Raises:
        VectorEnvError: the first difference: check, mode, row and step.
        ParameterError: `make_single` is missing, a count is below 1, or a mode does not exist.
    """
    if num_envs < 1 or episodes < 1:
        raise ParameterError(f"num_envs={num_envs} and episodes={episodes} must be at least 1.")
    make_vector, make_one = _constructors(make, make_single, dict(env_kwargs or {}))
    passed: set[str] = set()
    for mode in _modes(modes):
        session = _Session(make_vector, make_one, mode, num_envs, seed, atol, use_action_mask)
        try:
            session.run(episodes, max_steps, stochastic)
        finally:
            session.close()
        passed |= session.passed
    return [name for name in CHECKS if name in passed]


def _modes(modes: Iterable[str | AutoresetMode]) -> list[AutoresetMode]:
    known = {mode.value: mode for mode in AutoresetMode}
    asked = [modes] if isinstance(modes, str) else list(modes)
    unknown = [mode for mode in asked if not isinstance(mode, AutoresetMode) and mode not in known]
    if unknown or not asked:
        raise ParameterError(f"modes={asked!r} must hold one or more of {', '.join(known)}.")
    return [mode if isinstance(mode, AutoresetMode) else known[mode] for mode in asked]


def _constructors(
    make: MakeVector | str, make_single: MakeSingle | None, kwargs: dict[str, Any]
) -> tuple[MakeVector, MakeSingle]:
    if callable(make):
        if make_single is None:
            raise ParameterError("make_single=None: give a function that returns the single environment.")
        if kwargs:
            raise ParameterError(f"env_kwargs={kwargs} are read only when make is an id; bind them in make.")
        return make, make_single

    def make_vector(num_envs: int, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
        return gym.make_vec(
            make, num_envs=num_envs, vectorization_mode="vector_entry_point", autoreset_mode=mode, **kwargs
        )

    return make_vector, make_single or partial(gym.make, make, **kwargs)


class _Session:
    """All checks in one autoreset mode."""

    def __init__(
        self,
        make: MakeVector,
        make_single: MakeSingle,
        mode: AutoresetMode,
        num_envs: int,
        seed: int,
        atol: float,
        use_action_mask: bool,
    ) -> None:
        self.mode = mode
        self.seed = seed
        self.atol = atol
        self.num_envs = num_envs
        self.use_action_mask = use_action_mask
        self.passed: set[str] = set()
        self._make = make
        self._native_closed = False
        self.native = make(num_envs, mode)
        self.reference = SyncVectorEnv([make_single] * num_envs, autoreset_mode=mode)

    def run(self, episodes: int, max_steps: int, stochastic: bool) -> None:
        """Run every check; the order makes the first failing name the most telling one."""
        self._check_spaces()
        self._check_seeding()
        self._check_batch_independence(max_steps)
        if self.mode is AutoresetMode.DISABLED:
            self._check_reset_mask()
        self._check_lockstep(episodes, max_steps)
        self._check_shared_buffers(max_steps)
        if stochastic:
            self._check_seeds_differ()
        self._check_close()

    def close(self) -> None:
        """Close what is open."""
        self.reference.close()
        if not self._native_closed:
            self.native.close()

    def _require(self, check: str, holds: bool, message: str) -> None:
        if not holds:
            raise VectorEnvError(check, message, mode=self.mode.value)
        self.passed.add(check)

    def _lockstep(self, rename: str | None = None, reference: VectorEnv[Any, Any, Any] | None = None) -> Lockstep:
        sampler = ActionSampler(self.reference.single_action_space, self.num_envs, self.seed, self.use_action_mask)
        return Lockstep(self.native, reference or self.reference, self.mode, self.atol, sampler, rename)

    def _check_spaces(self) -> None:
        for name in (
            "num_envs",
            "single_observation_space",
            "single_action_space",
            "observation_space",
            "action_space",
        ):
            wanted, received = getattr(self.reference, name), getattr(self.native, name, None)
            self._require("spaces", wanted == received, f"{name}: expected {wanted}, got {received}")
        stated = {
            "metadata['autoreset_mode']": (self.native.metadata or {}).get("autoreset_mode"),
            "autoreset_mode": getattr(self.native, "autoreset_mode", None),
        }
        for name, value in stated.items():
            self._require("autoreset_mode", value is self.mode, f"{name}: expected {self.mode}, got {value!r}")

    def _check_seeding(self) -> None:
        own = [self.seed + 1000 + 7 * row for row in range(self.num_envs)]
        some: list[int | None] = [None if row % 2 else seed + 1 for row, seed in enumerate(own)]
        calls: tuple[tuple[str, Seeds], ...] = (
            ("seed_int", self.seed),
            ("seed_list", list[int | None](own)),
            ("seed_list", some),
            ("seed_none", None),
            ("seed_none", None),
            ("seed_int", self.seed + self.num_envs),
        )
        for check, seed in calls:
            self._lockstep(check).reset(seed)
            self.passed.add(check)

    def _check_batch_independence(self, max_steps: int) -> None:
        solos = SoloBatch([self._make(1, self.mode) for _ in range(self.num_envs)])
        try:
            pair = self._lockstep("batch_independence", solos)
            pair.reset(self.seed)
            extra = 2  # calls after the last row's first end: the autoreset and a step of the next episode
            while extra > 0 and pair.step_count < max_steps:
                pair.advance()
                extra -= bool(pair.episodes.all())
        finally:
            solos.close()
        self.passed.add("batch_independence")

    def _check_reset_mask(self) -> None:
        pair = self._lockstep()
        pair.reset(self.seed)
        pair.step()
        mask = (np.arange(self.num_envs) % 2 == 0) | pair.ended
        pair.rename = "reset_mask"
        pair.reset([self.seed + 50 + row for row in range(self.num_envs)], mask)
        for _ in range(3):
            if pair.ended.any():
                break
            pair.step()
        self.passed.add("reset_mask")

    def _check_lockstep(self, episodes: int, max_steps: int) -> None:
        pair = self._lockstep()
        pair.reset(self.seed)
        while pair.episodes.min() < episodes:
            if pair.step_count >= max_steps:
                row = int(np.argmin(pair.episodes))
                few = f"only {pair.episodes[row]} of {episodes} episodes ended in {max_steps} steps"
                pair.fail("episodes", few, row)
            pair.advance()
        pair.advance()
        self.passed |= pair.passed | {"episodes"}

    def _check_shared_buffers(self, max_steps: int) -> None:
        for overwrite in (False, True):
            pair = self._lockstep("shared_buffers")
            kept = deque[tuple[Any, Any]](maxlen=4)
            answer = pair.reset(self.seed)
            while not pair.episodes.all() and pair.step_count < max_steps:
                if overwrite:
                    _overwrite(answer)
                kept.append((answer, deepcopy(answer)))
                answer = pair.advance()
                for age, (old, copy) in enumerate(reversed(kept), start=1):
                    message = difference(tuple(copy), tuple(old), 0.0, "answer")
                    if message is not None:
                        pair.fail("shared_buffers", f"the answer of {age} calls ago was changed: {message}")
        self.passed.add("shared_buffers")

    def _check_seeds_differ(self) -> None:
        first, second = self._opening(self.seed), self._opening(self.seed + 7919)
        differs = difference(first, second, 0.0) is not None
        self._require("seeds_differ", differs, f"seeds {self.seed} and {self.seed + 7919} give the same episodes")

    def _opening(self, seed: int) -> list[Any]:
        """The native environment's first answers after `reset(seed=seed)`, up to the first end."""
        sampler = ActionSampler(self.native.single_action_space, self.num_envs, self.seed, self.use_action_mask)
        observations, infos = self.native.reset(seed=seed)
        answers: list[Any] = [deepcopy(observations)]
        for _ in range(10):
            sampler.observe(infos)
            *answer, infos = self.native.step(sampler.sample())
            answers.append(deepcopy(answer))
            if (answer[2] | answer[3]).any():
                break
        return answers

    def _check_close(self) -> None:
        self._native_closed = True
        for time in ("first", "second"):
            try:
                self.native.close()
            except Exception as error:
                raise VectorEnvError("close", f"the {time} close() raised {error!r}", mode=self.mode.value) from error
        self._require("close", self.native.closed, "closed is not True after close()")


def _overwrite(value: Any) -> None:
    """Write other values into every array of an answer, as careless user code might."""
    if isinstance(value, Mapping):
        for item in value.values():
            _overwrite(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            _overwrite(item)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        _overwrite(value.tolist())
    elif isinstance(value, np.ndarray) and value.flags.writeable:
        value[...] = ~value if value.dtype == np.bool_ else value.dtype.type(1) - value
