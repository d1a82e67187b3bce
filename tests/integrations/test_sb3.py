"""The stable-baselines3 adapter against `DummyVecEnv` of single environments, and with SB3's algorithms."""

from __future__ import annotations

import pickle
import random

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor
from testing.toy_envs import ToyEnv, ToyVectorEnv

from al_gym.errors import ParameterError
from al_gym.integrations.sb3 import SB3VecEnv, make_sb3_vec_env, spawn_seeds

SAME = AutoresetMode.SAME_STEP
ID = "ToyForSB3-v0"


@pytest.fixture(autouse=True)
def _registered():
    gym.register(ID, ToyEnv, vector_entry_point=ToyVectorEnv)
    yield
    del gym.registry[ID]


def assert_same_info(expected, actual):
    assert set(expected) == set(actual)
    for key, value in expected.items():
        if isinstance(value, dict):
            assert_same_info(value, actual[key])
        else:
            np.testing.assert_allclose(actual[key], value, atol=1e-6)


def actions_from(venv, generator):
    masks = venv.env_method("action_masks")
    assert all(mask.dtype == bool and mask.shape == (3,) for mask in masks)
    return np.array([generator.choice(np.flatnonzero(mask)) for mask in masks])


@pytest.mark.parametrize("num_envs", [1, 3, 6])
@pytest.mark.parametrize("full_infos", [False, True])
def test_stream_equals_dummy_vec_env(num_envs, full_infos):
    native = SB3VecEnv(ToyVectorEnv(num_envs, autoreset_mode=SAME), full_infos=full_infos)
    dummy = DummyVecEnv([ToyEnv] * num_envs)
    assert native.seed(5) == dummy.seed(5)
    np.testing.assert_array_equal(native.reset(), dummy.reset())
    generator, ends, truncations = np.random.default_rng(0), 0, 0
    for _ in range(60):
        actions = actions_from(dummy, generator)
        np.testing.assert_array_equal(native.env_method("action_masks"), dummy.env_method("action_masks"))
        observations, rewards, dones, infos = native.step(actions)
        wanted = dummy.step(actions)
        assert (observations.dtype, rewards.dtype, dones.dtype) == (np.float32, np.float32, np.bool_)
        for ours, theirs in zip((observations, rewards, dones), wanted[:3], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
        for i, (ours, theirs) in enumerate(zip(infos, wanted[3], strict=True)):
            if full_infos or dones[i]:
                assert_same_info(theirs, ours)
            else:
                assert ours == {}
            assert_same_info(dummy.reset_infos[i], native.reset_infos[i])
            truncations += theirs["TimeLimit.truncated"]
        ends += int(dones.sum())
    assert ends > num_envs
    assert truncations < ends


def test_truncation_is_told_from_termination():
    venv = SB3VecEnv(ToyVectorEnv(2, autoreset_mode=SAME, length=50, time_limit=3))
    venv.seed(0)
    venv.reset()
    for step in range(1, 4):
        observations, _, dones, infos = venv.step(np.array([1, 1]))
        assert dones.tolist() == [step == 3] * 2
    assert [info["TimeLimit.truncated"] for info in infos] == [True, True]
    assert [info["terminal_observation"][2] for info in infos] == [3, 3]
    assert observations[:, 2].tolist() == [0, 0]


def test_answers_are_not_shared_between_steps():
    venv = SB3VecEnv(ToyVectorEnv(3, autoreset_mode=SAME))
    venv.seed(0)
    first = venv.reset()
    kept = first.copy()
    _, _, _, infos = venv.step(np.full(3, 2))
    infos[0]["mine"] = 1
    _, _, _, later = venv.step(np.full(3, 2))
    np.testing.assert_array_equal(first, kept)
    assert "mine" not in later[0]
    assert later[0] is not later[1]


def test_seeds_are_used_once_and_may_be_given_one_by_one():
    venv = make_sb3_vec_env(ID, num_envs=3, monitor=False)
    venv.seed_each([7, 7, 9])
    first = venv.reset()
    np.testing.assert_array_equal(first[0], first[1])
    assert not np.array_equal(first[0], first[2])
    second = venv.reset()
    assert not np.array_equal(first, second)
    with pytest.raises(ParameterError, match="2 seeds for 3"):
        venv.seed_each([1, 2])


def test_spawned_seeds_of_two_trainings_share_none():
    assert spawn_seeds(3, 4) == spawn_seeds(3, 8)[:4]
    seeds = [seed for training in range(20) for seed in spawn_seeds(training, 64)]
    assert len(set(seeds)) == len(seeds)
    first, again, other = (make_sb3_vec_env(ID, num_envs=4, seed=seed).reset() for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not (first[:, None, 1] == other[None, :, 1]).any()


def test_seed_none_leaves_the_global_generator_alone():
    before = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002
    venv = make_sb3_vec_env(ID, num_envs=2)
    first = venv.seed()
    assert first[1] == first[0] + 1
    assert first != venv.seed()
    venv.reset()
    venv.step(np.array([1, 1]))
    after = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002
    assert before == after


def test_only_same_step_is_accepted():
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED):
        with pytest.raises(ParameterError, match="SameStep"):
            SB3VecEnv(ToyVectorEnv(2, autoreset_mode=mode))


def test_attributes_and_methods():
    venv = make_sb3_vec_env(ID, num_envs=3, length=7, render_mode="rgb_array")
    assert isinstance(venv, VecMonitor)
    assert venv.get_attr("length") == [7, 7, 7]
    assert venv.get_attr("length", indices=1) == [7]
    assert venv.has_attr("action_masks")
    assert not venv.has_attr("no_such_attribute")
    venv.set_attr("length", 8)
    assert venv.unwrapped.vector_env.length == 8
    with pytest.raises(ParameterError, match="share"):
        venv.set_attr("length", 9, indices=[0])
    assert venv.env_is_wrapped(Monitor) == [False] * 3
    assert venv.env_is_wrapped(Monitor, indices=[2]) == [False]
    assert venv.unwrapped.spec.id == ID
    venv.seed(0)
    venv.reset()
    everyone = venv.env_method("action_masks")
    np.testing.assert_array_equal(venv.env_method("action_masks", indices=[2, 0]), [everyone[2], everyone[0]])
    venv.close()
    assert venv.unwrapped.vector_env.closed


def test_method_must_answer_per_environment():
    venv = SB3VecEnv(ToyVectorEnv(3, autoreset_mode=SAME))
    venv.vector_env.count = lambda: 3
    with pytest.raises(ParameterError, match="one entry for each of 3"):
        venv.env_method("count")
    with pytest.raises(AttributeError, match="nothing"):
        venv.env_method("nothing")


def test_options_reach_the_environment():
    seen = []

    class Listening(ToyVectorEnv):
        def reset(self, *, seed=None, options=None):
            seen.append((seed, options))
            return super().reset(seed=seed, options=options)

    venv = SB3VecEnv(Listening(2, autoreset_mode=SAME))
    venv.set_options({"task": "iris"})
    venv.seed(4)
    venv.reset()
    venv.reset()
    assert seen == [([4, 5], {"task": "iris"}), (None, None)]
    venv.set_options([{"task": "iris"}, {"task": "wine"}])
    with pytest.raises(ParameterError, match="wine"):
        venv.reset()


def test_rendering():
    venv = make_sb3_vec_env(ID, num_envs=4, render_mode="rgb_array")
    venv.seed(0)
    venv.reset()
    assert len(venv.get_images()) == 4
    assert venv.render().shape == (8, 8, 3)
    text = SB3VecEnv(ToyVectorEnv(2, autoreset_mode=SAME, render_mode="ansi"))
    text.reset()
    assert text.env_method("render")[0].endswith("x")


def test_wrapped_vector_env():
    inner = gym.wrappers.vector.RecordEpisodeStatistics(ToyVectorEnv(2, autoreset_mode=SAME))
    venv = SB3VecEnv(inner, full_infos=True)
    venv.seed(0)
    venv.reset()
    ended = False
    while not ended:
        *_, dones, infos = venv.step(np.array([2, 2]))
        assert [set(info) & {"action_mask"} for info in infos] == [{"action_mask"}] * 2
        ended = dones.any()
    assert all(len(mask) == 3 for mask in venv.env_method("action_masks"))


def test_sync_vector_env_works_too():
    venv = SB3VecEnv(SyncVectorEnv([ToyEnv] * 2, autoreset_mode=SAME))
    PPO("MlpPolicy", venv, n_steps=16, batch_size=16, seed=0, device="cpu").learn(32)
    assert venv.reset().shape == (2, 3)


def test_pickle_in_the_middle_goes_on_equally():
    venv = make_sb3_vec_env(ID, num_envs=3, seed=1, monitor=False)  # no VecEnvWrapper of SB3 can be pickled
    venv.reset()
    venv.step(np.array([2, 2, 2]))
    twin = pickle.loads(pickle.dumps(venv))
    for _ in range(20):
        ours, theirs = venv.step(np.array([2, 1, 2])), twin.step(np.array([2, 1, 2]))
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_ppo_learns_the_walk():
    venv = make_sb3_vec_env(ID, num_envs=8)
    model = PPO("MlpPolicy", venv, n_steps=32, batch_size=64, learning_rate=3e-3, seed=0, device="cpu")
    model.learn(4096)
    returns = [episode["r"] for episode in model.ep_info_buffer]
    assert len(returns) == 100
    assert np.mean(returns) > 2.5  # a random walk gets about 1


def test_ppo_equals_ppo_on_dummy_vec_env():
    """Same seeds, same stream: the trained weights are the same."""
    weights = []
    for venv in (make_sb3_vec_env(ID, num_envs=3), VecMonitor(DummyVecEnv([ToyEnv] * 3))):
        model = PPO("MlpPolicy", venv, n_steps=32, batch_size=32, n_epochs=2, seed=3, device="cpu").learn(192)
        weights.append(torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach())
        assert len(model.ep_info_buffer) > 5
    torch.testing.assert_close(weights[0], weights[1], atol=1e-5, rtol=1e-4)


def test_dqn_runs():
    model = DQN(
        "MlpPolicy", make_sb3_vec_env(ID, num_envs=2), learning_starts=20, buffer_size=500, seed=0, device="cpu"
    )
    model.learn(200)
    assert model.num_timesteps == 200
    assert len(model.ep_info_buffer) > 5


@pytest.mark.parametrize("multi", [False, True])
def test_maskable_ppo_never_takes_a_masked_action(multi):
    contrib = pytest.importorskip("sb3_contrib", reason="needs sb3-contrib, part of the extra [test]")
    venv = make_sb3_vec_env(ID, num_envs=4, multi=multi)
    model = contrib.MaskablePPO("MlpPolicy", venv, n_steps=32, batch_size=32, n_epochs=2, seed=0, device="cpu")
    invalid = []
    vector_env = venv.unwrapped.vector_env
    step = vector_env.step

    def spy(actions):
        before = vector_env.position.copy()
        kinds = actions[:, 0] if multi else actions
        invalid.extend((before == 0) & (kinds == 0))
        return step(actions)

    vector_env.step = spy
    model.learn(256)
    assert len(invalid) == 256
    assert not any(invalid)


def test_monitor_can_be_left_out():
    assert isinstance(make_sb3_vec_env(ID, num_envs=1, monitor=False), SB3VecEnv)
