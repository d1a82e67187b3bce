"""`check_vector_env` passes a correct environment and names the fault of every broken one."""

from __future__ import annotations

import pickle
import random
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from al_gym.errors import ParameterError
from al_gym.testing import CHECKS, VectorEnvError, check_vector_env
from testing.broken_envs import BROKEN
from testing.toy_envs import ToyEnv, ToyVectorEnv

MODES = [mode.value for mode in AutoresetMode]


def make_with(cls, **kwargs):
    return lambda num_envs, mode: cls(num_envs, autoreset_mode=mode, **kwargs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_envs", [1, 3, 5])
@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("use_action_mask", [False, True])
def test_correct_env_passes(mode, num_envs, multi, use_action_mask):
    passed = check_vector_env(
        make_with(ToyVectorEnv, multi=multi),
        partial(ToyEnv, multi=multi),
        num_envs=num_envs,
        modes=[mode],
        use_action_mask=use_action_mask,
    )
    absent = {
        "NextStep": {"reset_mask", "same_step_autoreset", "final_obs", "final_info"},
        "SameStep": {"reset_mask", "next_step_autoreset"},
        "Disabled": {"next_step_autoreset", "same_step_autoreset", "final_obs", "final_info"},
    }[mode]
    assert passed == [name for name in CHECKS if name not in absent]


def test_all_modes_run_every_check():
    assert check_vector_env(make_with(ToyVectorEnv), ToyEnv) == list(CHECKS)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sync_vector_env_passes_against_itself(seed):
    def make(num_envs, mode):
        env = SyncVectorEnv([ToyEnv] * num_envs, autoreset_mode=mode)
        assert env.autoreset_mode is mode
        return env

    assert check_vector_env(make, ToyEnv, seed=seed) == list(CHECKS)


@pytest.mark.parametrize(("broken", "check"), BROKEN.items(), ids=[cls.__name__ for cls in BROKEN])
@pytest.mark.parametrize("seed", [0, 17])
def test_broken_env_fails_with_the_name_of_its_fault(broken, check, seed):
    assert check in CHECKS
    with pytest.raises(VectorEnvError) as caught:
        check_vector_env(make_with(broken), ToyEnv, seed=seed)
    assert caught.value.check == check, caught.value
    assert f"[{check}]" in str(caught.value)
    assert caught.value.mode in MODES


def test_error_names_row_and_step_and_survives_pickling():
    class WrongThirdRow(ToyVectorEnv):
        def advance(self, actions, rows):
            rewards, terminated, truncated = super().advance(actions, rows)
            rewards[2:] += 1e-3 * (self.clock[2:] >= 2)
            return rewards, terminated, truncated

    with pytest.raises(VectorEnvError, match=r"\[batch_independence\].*env 2, step 2") as caught:
        check_vector_env(make_with(WrongThirdRow), ToyEnv, modes=["SameStep"])
    error = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(error, AssertionError)
    assert (error.check, error.env_index, error.step, error.mode) == ("batch_independence", 2, 2, "SameStep")
    assert str(error) == str(caught.value)


def test_tolerance_of_floats():
    class Rounded(ToyVectorEnv):
        def advance(self, actions, rows):
            rewards, terminated, truncated = super().advance(actions, rows)
            return rewards + 1e-4 * (rewards != 0), terminated, truncated

    with pytest.raises(VectorEnvError) as caught:
        check_vector_env(make_with(Rounded), ToyEnv)
    assert caught.value.check == "reward"
    assert "reward" in check_vector_env(make_with(Rounded), ToyEnv, atol=1e-3)


def test_episodes_that_never_end_are_reported():
    with pytest.raises(VectorEnvError, match=r"\[episodes\] only 0 of 3 episodes ended in 5 steps"):
        check_vector_env(make_with(ToyVectorEnv, length=50), partial(ToyEnv, length=50), max_steps=5)


def test_an_environment_that_ignores_its_seed_is_reported():
    class Fixed(ToyEnv):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=0)

    def make(num_envs, mode):
        return SyncVectorEnv([Fixed] * num_envs, autoreset_mode=mode)

    with pytest.raises(VectorEnvError) as caught:
        check_vector_env(make, Fixed)
    assert caught.value.check == "seeds_differ"
    assert "seeds_differ" not in check_vector_env(make, Fixed, stochastic=False)


def test_dict_observations():
    class DictEnv(gym.ObservationWrapper):
        def __init__(self, env):
            super().__init__(env)
            self.observation_space = gym.spaces.Dict(walk=env.observation_space, odd=gym.spaces.Discrete(2))

        def observation(self, observation):
            return {"walk": observation, "odd": int(observation[0]) % 2}

    def single():
        return DictEnv(ToyEnv())

    def make(num_envs, mode):
        return SyncVectorEnv([single] * num_envs, autoreset_mode=mode)

    assert check_vector_env(make, single) == list(CHECKS)


def test_gymnasiums_own_native_cartpole_is_found_to_differ():
    """It draws all rows from one generator, so row i with seed s is not the single environment with seed s + i."""

    class CartPole(CartPoleVectorEnv):
        autoreset_mode = AutoresetMode.NEXT_STEP

    with pytest.raises(VectorEnvError) as caught:
        check_vector_env(lambda num_envs, mode: CartPole(num_envs), CartPoleEnv, modes=["NextStep"])
    assert caught.value.check == "seed_int", caught.value


def test_id_of_a_registered_environment():
    gym.register("ToyForCheck-v0", ToyEnv, vector_entry_point=ToyVectorEnv)
    try:
        passed = check_vector_env("ToyForCheck-v0", env_kwargs={"multi": True, "length": 3})
    finally:
        del gym.registry["ToyForCheck-v0"]
    assert passed == list(CHECKS)


def test_bad_arguments():
    with pytest.raises(ParameterError, match="make_single"):
        check_vector_env(make_with(ToyVectorEnv))
    with pytest.raises(ParameterError, match="num_envs=0"):
        check_vector_env(make_with(ToyVectorEnv), ToyEnv, num_envs=0)
    for modes in ([], ["Nextstep"]):
        with pytest.raises(ParameterError, match="NextStep, SameStep, Disabled"):
            check_vector_env(make_with(ToyVectorEnv), ToyEnv, modes=modes)
    with pytest.raises(ParameterError, match="env_kwargs"):
        check_vector_env(make_with(ToyVectorEnv), ToyEnv, env_kwargs={"length": 3})


def test_every_check_is_documented():
    documentation = check_vector_env.__doc__
    assert [name for name in CHECKS if f"`{name}`" not in documentation] == []


def test_global_generators_are_untouched():
    def state():
        return random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - it is what must not move

    before = state()
    check_vector_env(make_with(ToyVectorEnv), ToyEnv)
    assert state() == before
