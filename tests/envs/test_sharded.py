"""Shards in processes: the same trajectories as one process, errors of workers, and their end."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO

import al_gym
from al_gym.envs.shard_infos import join_infos
from al_gym.envs.sharded import ShardedVectorEnv, make_shard
from al_gym.errors import ActionError, ParameterError, ShardError
from al_gym.testing import check_vector_env
from al_gym.testing.compare import difference

SMALL = {"tasks": "synthetic-small", "pool_size": 60, "validation_size": 40, "budget": 15, "batch_size": 5}
ENV = "al_gym/Strategy-v0"

multiprocessing.set_forkserver_preload(["al_gym.envs.strategy", "al_gym.envs.shard_worker"])


def sharded(num_envs, mode="SameStep", shards=2, **kwargs):
    settings = SMALL | {"autoreset_mode": mode} | kwargs
    return ShardedVectorEnv(ENV, num_envs, shards=shards, start_method="forkserver", **settings)


def native(num_envs, mode="SameStep"):
    return make_shard(ENV, SMALL | {"autoreset_mode": mode}, num_envs)


@pytest.fixture(scope="module")
def env():
    env = sharded(5)
    yield env
    env.close()


def play(env, steps, seed=7):
    rng = np.random.default_rng(0)
    answers = [env.reset(seed=seed)]
    for _ in range(steps):
        answers.append(env.step(rng.integers(env.single_action_space.n, size=env.num_envs)))
    return answers


def test_trajectories_are_those_of_one_process(env):
    one = native(5)
    message = difference(play(one, 9), play(env, 9), atol=1e-6)
    assert message is None, message
    assert env.np_random_seed == one.np_random_seed
    assert env.observation_names == one.observation_names
    assert (env.action_masks() == one.action_masks()).all()


@pytest.mark.slow
def test_passes_the_checker_of_vector_environments():
    def make(num_envs: int, mode: AutoresetMode) -> ShardedVectorEnv:
        return sharded(num_envs, mode, shards=min(2, num_envs))

    check_vector_env(make, partial(gym.make, ENV, **SMALL), num_envs=3, episodes=2)


def test_a_bad_action_moves_no_shard(env):
    env.reset(seed=1)
    with pytest.raises(ActionError, match="99"):
        env.step(np.array([0, 0, 0, 0, 99]))
    with pytest.raises(ActionError, match="float64"):
        env.step(np.zeros(5))
    after = env.step(np.zeros(5, np.int64))
    one = native(5)
    one.reset(seed=1)
    assert difference(one.step(np.zeros(5, np.int64)), after, atol=1e-6) is None


def fail_in_last(env, number):
    if number:
        raise ValueError("broken on purpose")
    return number


def test_an_error_of_a_worker_has_its_type_and_traceback(env):
    env.reset(seed=1)
    with pytest.raises(ValueError, match="broken on purpose") as caught:
        env.apply(fail_in_last, [(0,), (1,)])
    cause = caught.value.__cause__
    assert isinstance(cause, ShardError) and "shard 1" in str(cause) and "in fail_in_last" in str(cause)
    assert len(env.step(np.zeros(5, np.int64))[1]) == 5, "the workers are still there"


def test_a_failed_step_asks_for_a_reset(env):
    env.reset(seed=1)
    env.set_attr("step", None)
    try:
        with pytest.raises(TypeError):
            env.step(np.zeros(5, np.int64))
        with pytest.raises(ResetNeeded):
            env.step(np.zeros(5, np.int64))
    finally:
        env.apply(_forget_step)
    env.reset(seed=1)
    env.step(np.zeros(5, np.int64))


def _forget_step(env):
    del env.unwrapped.__dict__["step"]


def test_a_pickle_goes_on_where_it_was(env):
    play(env, 3)
    copy = pickle.loads(pickle.dumps(env))
    try:
        for _ in range(3):
            assert difference(env.step(np.ones(5, np.int64)), copy.step(np.ones(5, np.int64)), atol=0.0) is None
    finally:
        copy.close()


def test_a_killed_worker_is_named_and_the_others_end():
    env = sharded(2)
    env.reset(seed=0)
    pids = env.apply(_pid)
    os.kill(pids[1], signal.SIGKILL)
    with pytest.raises(ShardError, match="shard 1 died"):
        env.step(np.zeros(2, np.int64))
    with pytest.raises(ShardError, match="closed"):
        env.reset()
    env.close()
    assert not _alive(pids[0])


def _pid(env):
    return os.getpid()


def _alive(pid):
    for _ in range(50):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return False
        except (FileNotFoundError, ProcessLookupError):
            return False
        time.sleep(0.1)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_ends_a_step_and_the_workers(tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, time
        import numpy as np
        from al_gym.envs.sharded import ShardedVectorEnv

        def slow(env):
            time.sleep(60)

        def pid(env):
            return os.getpid()

        if __name__ == "__main__":
            env = ShardedVectorEnv({ENV!r}, 2, shards=2, **{SMALL!r})
            env.reset(seed=0)
            print(*env.apply(pid), flush=True)
            env.apply(slow)
        """)
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pids = [int(word) for word in process.stdout.readline().split()]
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors and process.returncode != 0
    assert len(pids) == 2 and not any(map(_alive, pids))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 1}, "fewer shards"),
        ({"num_envs": 2, "shards": 0}, "at least 1"),
        ({"num_envs": 2, "mode": "NoSuchMode"}, "NoSuchMode"),
    ],
)
def test_arguments_that_cannot_be(arguments, message):
    with pytest.raises(ParameterError, match=message):
        sharded(**arguments)


def test_makers_that_cannot_be_sent():
    with pytest.raises(ParameterError, match="cannot be sent"):
        ShardedVectorEnv(lambda n: native(n), 2)
    with pytest.raises(ParameterError, match="bind them in make"):
        ShardedVectorEnv(native, 2, pool_size=60)


def test_infos_of_a_silent_shard_are_empty_rows():
    part = {
        "x": np.array([3]),
        "_x": np.array([True]),
        "final_info": {"y": np.array(["a"], object), "_y": np.array([True])},
    }
    joined = join_infos([None, part], [2, 1])
    assert joined["x"].tolist() == [0, 0, 3] and joined["_x"].tolist() == [False, False, True]
    assert joined["final_info"]["y"].tolist() == [None, None, "a"]


def test_stable_baselines_learns_from_shards_as_without():
    returns = []
    for shards in (1, 2):
        venv = al_gym.make_sb3_vec_env(ENV, num_envs=4, seed=3, shards=shards, **SMALL)
        try:
            model = PPO("MlpPolicy", venv, n_steps=4, batch_size=16, seed=0, device="cpu").learn(16)
            returns.append([info["r"] for info in model.ep_info_buffer])
            venv.set_attr("render_mode", "ansi")
            assert venv.env_method("action_masks")[3].shape == (8,)
        finally:
            venv.close()
    assert len(returns[0]) >= 4 and np.allclose(*returns, atol=1e-6)
