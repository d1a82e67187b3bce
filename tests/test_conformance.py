"""What every registered environment owes to Gymnasium and to the RL libraries; new ids are picked up by themselves."""

from __future__ import annotations

import pickle
import random
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import DummyVecEnv

import al_gym
from al_gym.errors import ActionError
from al_gym.testing import CHECKS, check_vector_env
from al_gym.testing.batching import ActionSampler
from al_gym.testing.compare import difference

IDS = sorted(name for name in gym.registry if name.startswith("al_gym/"))
SMALL = {
    "tasks": "synthetic-small",
    "pool_size": 60,
    "validation_size": 40,
    "budget": 15,
    "batch_size": 5,
    "batch_choices": [2, 5, 10],
}
VARIANTS = {
    "stop": {"allow_stop": True, "round_cost": 0.01},
    "advantage": {"reward": "advantage", "initial": 6},
    "target": {"reward": "steps_to_target", "target_accuracy": 0.7, "label_noise": 0.1},
    "exhausted": {"pool_size": 30, "budget": 60, "batch_size": 10, "reward": "aulc"},
}

every_id = pytest.mark.parametrize("env_id", IDS)


def make(env_id, **kwargs):
    return gym.make(env_id, **(SMALL | kwargs))


def make_vec(env_id, num_envs, mode="SameStep", **kwargs):
    return gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=mode, **(SMALL | kwargs))


def sampler_of(env, num_envs=1, seed=0):
    """Random actions within the masks, one stream a row."""
    space = env.single_action_space if num_envs > 1 or hasattr(env, "num_envs") else env.action_space
    return ActionSampler(space, num_envs, seed, use_action_mask=True)


def play(env, action_space, steps, seed=None):
    """(observation, reward, terminated, truncated, info) of `steps` unmasked random steps; resets at an end."""
    action_space.seed(0)
    answers = [] if seed is None else [env.reset(seed=seed)]
    for _ in range(steps):
        answers.append(env.step(action_space.sample()))
        if not hasattr(env, "num_envs") and (answers[-1][2] or answers[-1][3]):
            answers.append(env.reset())
    return answers


def assert_equal(expected, actual):
    message = difference(expected, actual, atol=0.0)
    assert message is None, message


def global_generators():
    return (
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002 - the global state is what must not move
        torch.get_rng_state().tolist(),
    )


def test_the_suite_is_registered():
    assert {"al_gym/Strategy-v0", "al_gym/Budget-v0", "al_gym/StrategyBudget-v0"} <= set(IDS)
    for env_id in IDS:
        spec = gym.spec(env_id)
        assert isinstance(spec.entry_point, str), f"{env_id}: entry points are strings, so that the spec is JSON-able"
        assert isinstance(spec.vector_entry_point, str), env_id


# --- single environment ------------------------------------------------------------------------------------------


@every_id
@pytest.mark.parametrize("kwargs", [{}, SMALL], ids=["defaults", "small"])
def test_gymnasium_check_env(env_id, kwargs):
    env = gym.make(env_id, **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


@every_id
@pytest.mark.parametrize("kwargs", [{}, SMALL], ids=["defaults", "small"])
def test_sb3_check_env(env_id, kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if env_id == "al_gym/Candidate-v0":  # (M, F) rows are asked for; SB3's policies flatten them
            warnings.filterwarnings("ignore", message="Your observation .* has an unconventional shape")
        sb3_check_env(gym.make(env_id, **kwargs).unwrapped)


@every_id
def test_spec_survives_json(env_id):
    env = make(env_id)
    text = env.spec.to_json()
    again = gym.make(EnvSpec.from_json(text))
    assert again.spec.to_json() == text
    assert_equal(play(env, env.action_space, 6, seed=3), play(again, again.action_space, 6, seed=3))
    vector_env = make_vec(env_id, 2)
    copy = gym.make_vec(EnvSpec.from_json(vector_env.spec.to_json()))
    assert (copy.num_envs, copy.autoreset_mode) == (2, AutoresetMode.SAME_STEP)
    assert_equal(vector_env.reset(seed=3), copy.reset(seed=3))


@every_id
def test_pickle_in_mid_episode(env_id):
    env = make(env_id).unwrapped
    env.reset(seed=1)
    env.step(env.action_space.sample())
    twin = pickle.loads(pickle.dumps(env))
    assert_equal(play(env, env.action_space, 10), play(twin, twin.action_space, 10))


@every_id
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_vector_pickle_in_mid_episode(env_id, mode):
    env = make_vec(env_id, 3, mode)
    env.reset(seed=1)
    env.step(env.action_space.sample())
    twin = pickle.loads(pickle.dumps(env))
    assert_equal(play(env, env.action_space, 10), play(twin, twin.action_space, 10))


@every_id
def test_same_seed_same_episode(env_id):
    first, second = make(env_id), make(env_id)
    assert_equal(play(first, first.action_space, 8, seed=5), play(second, second.action_space, 8, seed=5))
    other = play(second, second.action_space, 8, seed=6)
    assert difference(play(first, first.action_space, 8, seed=5), other, 0.0) is not None


@every_id
def test_global_generators_are_untouched(env_id):
    before = global_generators()
    env = make(env_id, render_mode="rgb_array", **VARIANTS["stop"])
    play(env, env.action_space, 6, seed=0)
    env.render()
    vector_env = make_vec(env_id, 3, **VARIANTS["advantage"])
    play(vector_env, vector_env.action_space, 6, seed=0)
    vector_env.reset()
    assert global_generators() == before


@every_id
def test_results_do_not_depend_on_global_seeds(env_id):
    answers = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global state is what must not matter
        torch.manual_seed(seed)
        env = make(env_id)
        answers.append(play(env, env.action_space, 8, seed=5))
    assert_equal(*answers)


@every_id
def test_action_outside_the_space_changes_nothing(env_id):
    env, twin = make(env_id).unwrapped, make(env_id).unwrapped
    if isinstance(env.action_space, gym.spaces.Box):
        outside = [np.full(env.action_space.shape, np.nan, np.float32), np.zeros(env.action_space.shape[0] + 1)]
    else:
        sizes = np.asarray(getattr(env.action_space, "nvec", getattr(env.action_space, "n", None)))
        outside = [sizes.copy() if sizes.ndim else int(sizes), -np.ones_like(sizes) if sizes.ndim else -1]
    env.reset(seed=2)
    twin.reset(seed=2)
    for action in outside:
        with pytest.raises(ActionError):
            env.step(action)
    assert_equal(play(twin, twin.action_space, 4), play(env, env.action_space, 4))


@every_id
def test_masks_agree(env_id):
    env = make(env_id, allow_stop=True)
    sampler = sampler_of(env)
    _, info = env.reset(seed=0)
    ended = False
    while not ended:
        mask = info["action_mask"]
        parts = mask if isinstance(mask, tuple) else (mask,)
        assert all(part.dtype == np.int8 for part in parts)
        flat = env.get_wrapper_attr("action_masks")()
        assert flat.dtype == np.bool_
        np.testing.assert_array_equal(np.concatenate(parts), flat)
        sampler.observe({"action_mask": [mask], "_action_mask": np.ones(1, bool)})
        action = next(iter(sampler.sample()))
        _, _, ended, truncated, info = env.step(action)
        assert not truncated
        assert not info.get("invalid_action", False)


# --- native vector environment -----------------------------------------------------------------------------------


@every_id
@pytest.mark.parametrize(
    ("num_envs", "episodes"),
    [(1, 3), (3, 1), pytest.param(3, 3, marks=pytest.mark.slow), pytest.param(5, 3, marks=pytest.mark.slow)],
)
def test_vector_env_equals_single_envs(env_id, num_envs, episodes):
    assert check_vector_env(env_id, num_envs=num_envs, episodes=episodes, env_kwargs=SMALL) == list(CHECKS)


@every_id
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_vector_env_equals_single_envs_with_other_arguments(env_id, variant):
    """Actions of the whole space: masked ones must not part the two either."""
    passed = check_vector_env(
        env_id,
        num_envs=2,
        episodes=1,
        seed=7,
        modes=["SameStep"],
        env_kwargs=SMALL | variant,
        use_action_mask=False,
    )
    absent = {"reset_mask", "next_step_autoreset"}
    assert passed == [name for name in CHECKS if name not in absent]


@every_id
@pytest.mark.slow
def test_vector_env_equals_single_envs_by_default(env_id):
    assert check_vector_env(env_id, num_envs=3, episodes=2) == list(CHECKS)


@every_id
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_autoreset_mode_by_name_and_by_enum(env_id, mode):
    for value in (mode, mode.value):
        env = make_vec(env_id, 2, value)
        assert env.autoreset_mode is mode
        assert env.metadata["autoreset_mode"] is mode


@every_id
def test_vector_action_outside_the_space_changes_nothing(env_id):
    env, twin = make_vec(env_id, 3), make_vec(env_id, 3)
    outside = env.action_space.sample()
    if isinstance(env.single_action_space, gym.spaces.Box):
        outside[1] = np.nan
    else:
        outside[1] = 999
    env.reset(seed=2)
    twin.reset(seed=2)
    with pytest.raises(ActionError):
        env.step(outside)
    assert_equal(play(twin, twin.action_space, 4), play(env, env.action_space, 4))


# --- RL libraries ------------------------------------------------------------------------------------------------


@every_id
def test_sb3_ppo(env_id):
    venv = al_gym.make_sb3_vec_env(env_id, num_envs=4, seed=0, **SMALL)
    model = PPO("MlpPolicy", venv, n_steps=16, batch_size=32, n_epochs=2, seed=0, device="cpu")
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(128)
    assert len(model.ep_info_buffer) >= 4
    assert all(np.isfinite(episode["r"]) for episode in model.ep_info_buffer)
    after = list(model.policy.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@every_id
def test_sb3_stream_equals_dummy_vec_env(env_id):
    native = al_gym.make_sb3_vec_env(env_id, num_envs=3, monitor=False, **SMALL)
    dummy = DummyVecEnv([lambda: make(env_id)] * 3)
    assert native.seed(11) == dummy.seed(11)
    np.testing.assert_allclose(native.reset(), dummy.reset(), atol=1e-6)
    space, ends = dummy.action_space, 0
    space.seed(0)
    for _ in range(12):
        np.testing.assert_array_equal(native.env_method("action_masks"), dummy.env_method("action_masks"))
        actions = np.array([space.sample() for _ in range(3)])
        ours, theirs = native.step(actions), dummy.step(actions)
        for a, b in zip(ours[:3], theirs[:3], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
        for i in np.flatnonzero(ours[2]):
            assert difference(theirs[3][i], ours[3][i], 1e-6) is None
        ends += int(ours[2].sum())
    assert ends >= 3


@every_id
def test_maskable_ppo(env_id):
    contrib = pytest.importorskip("sb3_contrib", reason="needs sb3-contrib, part of the extra [test]")
    venv = al_gym.make_sb3_vec_env(env_id, num_envs=4, seed=0, **(SMALL | {"allow_stop": True}))
    if isinstance(venv.action_space, gym.spaces.Box):
        pytest.skip("a continuous action has no mask")
    model = contrib.MaskablePPO("MlpPolicy", venv, n_steps=16, batch_size=32, n_epochs=2, seed=0, device="cpu")
    model.learn(64)
    assert model.num_timesteps == 64
    assert all(torch.isfinite(parameter).all() for parameter in model.policy.parameters())


@every_id
def test_torchrl(env_id):
    pytest.importorskip("torchrl", reason="needs torchrl, part of the extra [test]")
    from torchrl.envs import GymWrapper
    from torchrl.envs.utils import check_env_specs

    env = GymWrapper(make_vec(env_id, 3, "Disabled"))
    check_env_specs(env, seed=0)
    env.set_seed(0)
    rollout = env.rollout(8, break_when_any_done=False)
    assert rollout.batch_size == torch.Size([3, 8])
    assert rollout["next", "done"].any()
    done = rollout["next", "done"][:, :-1].squeeze(-1)
    restarted = rollout["observation"][:, 1:][done]
    assert not torch.equal(restarted, rollout["next", "observation"][:, :-1][done])
