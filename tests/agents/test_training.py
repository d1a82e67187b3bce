"""Training runs: what they leave behind, and that a policy acts as the model that it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from runs import arguments, write_config

import al_gym
from agents.algorithms import make_model
from agents.config import load_config
from agents.environment import engine_of, layers, make_training_env, seed_streams
from agents.export import export_policy
from agents.tasks import training_tasks
from al_gym.errors import ParameterError, ResumeError, UnknownNameError
from al_gym.policies.learned import LearnedPolicy
from train_policy import Arguments, command, main, parse

ENVIRONMENTS = {
    "ppo": "al_gym/StrategyBudget-v0",
    "recurrent-ppo": "al_gym/Strategy-v0",
    "dqn": "al_gym/Budget-v0",
}


def build(tmp_path: Path, algo: str, env: str, n_envs: int = 3, **algorithm: Any):
    config = load_config(write_config(tmp_path, algo))
    arguments = {**config.environment, **({"strategies": ["blend"]} if env == "al_gym/Blend-v0" else {})}
    config.algorithm.update(algorithm)
    venv = make_training_env(env, n_envs, tasks="synthetic-small", reward="advantage", **arguments)
    model = make_model(algo, venv, config, seed=1, device="cpu")
    seed_streams(venv, 1)
    return model


@pytest.mark.parametrize(
    ("algo", "env", "algorithm"),
    [
        *((algo, env, {}) for algo, env in ENVIRONMENTS.items()),
        ("ppo", "al_gym/Blend-v0", {}),
        ("ppo", "al_gym/Blend-v0", {"use_sde": True, "sde_sample_freq": -1, "log_std_init": -1.7}),
        ("ppo", "al_gym/Candidate-v0", {}),
    ],
)
def test_a_policy_acts_as_its_model(algo: str, env: str, algorithm: dict[str, Any], tmp_path: Path) -> None:
    model = build(tmp_path, algo, env, **algorithm)
    assert getattr(model, "use_sde", False) == algorithm.get("use_sde", False)
    model.learn(24)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():  # so that its answers differ between observations
        for weights in model.policy.parameters():
            weights += torch.randn(weights.shape, generator=noise)
    export_policy(model, tmp_path, env, {"note": "test"})
    policy = al_gym.load_policy(tmp_path)
    assert isinstance(policy, LearnedPolicy)
    assert policy.agent.training == {"note": "test", "timesteps": model.num_timesteps}
    rng = np.random.default_rng(0)
    n, shape = 50, model.observation_space.shape
    state = policy.network.start(n)
    model_state, starts = None, np.ones(n, bool)
    chosen = []
    for _ in range(4):
        observation = rng.uniform(-1, 1, (n, *shape)).astype(np.float32)
        expected, model_state = model.predict(observation, model_state, starts, deterministic=True)
        ones = [np.ones((n, size), bool) for size in policy.agent.action_dims]
        scores, state = policy._scores(observation, state)
        np.testing.assert_allclose(policy.actions.best(scores, ones), expected, atol=1e-5)
        starts = np.zeros(n, bool)
        chosen.append(expected)
    assert len(np.unique(np.concatenate(chosen), axis=0)) > 1  # a network that always answers the same would agree too


def test_a_run_leaves_its_files(tmp_path: Path) -> None:
    folder = main(Arguments(**arguments(tmp_path, "run")))
    assert sorted(p.name for p in folder.iterdir()) == [
        "args.json", "checkpoints", "policy.json", "policy.safetensors", "progress.csv", "tensorboard", "versions.json",
    ]  # fmt: skip
    saved = json.loads((folder / "args.json").read_text())
    assert saved["seed"] == 5
    assert saved["algo"] == "ppo"
    versions = json.loads((folder / "versions.json").read_text())
    assert {"python", "al-gym", "torch", "stable-baselines3"} <= set(versions)
    progress = pd.read_csv(folder / "progress.csv")
    assert progress["time/total_timesteps"].tolist() == [24, 48, 72, 96, 120, 144]
    assert progress["rollout/ep_len_mean"].iloc[-1] == 4  # 12 labels in batches of 3
    assert [p.name for p in sorted((folder / "checkpoints").iterdir())] == ["000000000120.pt", "000000000144.pt"]
    assert list((folder / "tensorboard").glob("events.*"))
    policy = json.loads((folder / "policy.json").read_text())
    assert policy["training"]["timesteps"] == 144
    assert policy["training"]["algorithm"]["n_steps"] == 6


def test_the_reward_is_logged_in_its_own_unit(tmp_path: Path) -> None:
    """The agent's scale is 100; an `advantage` lies in [-1, 1]."""
    config = load_config(write_config(tmp_path, "ppo"))
    pair = [
        make_training_env("al_gym/Strategy-v0", 3, reward_scale=scale, tasks="synthetic-small", **config.environment)
        for scale in (1.0, 100.0)
    ]
    for venv in pair:
        seed_streams(venv, 1)
        venv.reset()
    for step in range(4):
        (_, plain, _, infos), (_, scaled, _, others) = (venv.step(np.full(3, step % 3)) for venv in pair)
        np.testing.assert_array_equal(scaled, plain * np.float32(100))
        assert np.abs(plain).max() > 0
    assert [info["episode"]["r"] for info in infos] == [info["episode"]["r"] for info in others]


def test_seeds_share_no_environment_stream(tmp_path: Path) -> None:
    drawn = {}
    for seed in (0, 1, 2):
        config = load_config(write_config(tmp_path, "ppo"))
        venv = make_training_env("al_gym/Strategy-v0", 8, tasks="synthetic-small", **config.environment)
        make_model("ppo", venv, config, seed=seed, device="cpu")
        seed_streams(venv, seed)
        venv.reset()
        adapter = layers(venv)[0]
        drawn[seed] = {task.seed for task in engine_of(adapter).campaign.tasks if task is not None}
        assert len(drawn[seed]) == 8
    assert not drawn[0] & drawn[1]
    assert not drawn[0] & drawn[2]
    assert not drawn[1] & drawn[2]


def test_dqn_needs_a_discrete_action_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = arguments(tmp_path, "run", "dqn", env="al_gym/StrategyBudget-v0")
    with pytest.raises(ParameterError, match=r"dqn needs a Discrete action space, got MultiDiscrete.*--algo ppo"):
        main(Arguments(**given))
    flags = ["--algo", "dqn", "--env", "al_gym/StrategyBudget-v0", "--tasks", "synthetic-small"]
    assert command([*flags, "--config", given["config"], "--out", str(tmp_path / "other")]) == 2
    assert "dqn needs a Discrete action space" in capsys.readouterr().err


def test_a_wrong_hyper_parameter_is_named(tmp_path: Path) -> None:
    path = Path(write_config(tmp_path, "ppo"))
    path.write_text(path.read_text().replace("n_epochs", "n_epoch"))
    venv = make_training_env("al_gym/Strategy-v0", 2, tasks="synthetic-small")
    with pytest.raises(UnknownNameError, match="n_epochs"):
        make_model("ppo", venv, load_config(path), seed=0, device="cpu")
    path.write_text("enviroment: {}")
    with pytest.raises(UnknownNameError, match="environment"):
        load_config(path)


def test_a_folder_adds_tasks_and_judges_stay_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    data = tmp_path / "data"
    data.mkdir()
    for name in ("mine", "other"):
        y = rng.integers(0, 3, 90)
        np.savez(data / f"{name}.npz", X=rng.normal(size=(90, 4)) + y[:, None], y=y)
    digits = al_gym.load_tasks("bundled").get("digits")
    np.savez(data / "pens.npz", X=digits.X[:300], y=digits.y[:300])
    np.savez(data / "bad.npz", X=np.zeros((90, 2)), y=np.zeros(90))
    names = tmp_path / "names.txt"
    names.write_text("mine\npens\nbad\n")
    folder = main(Arguments(**arguments(tmp_path, "run", data=str(data), datasets=str(names), total_timesteps=24)))
    out = " ".join(capsys.readouterr().out.split())
    assert "Not trained on: pens (shares 299 rows" in out
    assert "Not trained on: bad" in out
    assert (folder / "policy.json").exists()
    with pytest.raises(ParameterError, match="--data"):
        main(Arguments(**arguments(tmp_path, "second", datasets=str(names))))


def test_a_folder_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    np.savez(tmp_path / "mine.npz", X=rng.normal(size=(90, 4)) + y[:, None], y=y)
    assert training_tasks("none", str(tmp_path), None, "bundled").arguments["tasks"].names == ("mine",)
    both = training_tasks("synthetic-small", str(tmp_path), None, "bundled").arguments["tasks"].names
    assert "mine" in both
    assert len(both) == 25
    with pytest.raises(ParameterError, match="add --data"):
        training_tasks("none", None, None, "bundled")


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    given = arguments(tmp_path, "run", total_timesteps=24)
    folder = main(Arguments(**given))
    before = (folder / "policy.safetensors").read_bytes()
    with pytest.raises(ResumeError, match="already holds a run"):
        main(Arguments(**given))
    with pytest.raises(ResumeError, match=r"seed=5, got 6"):
        main(Arguments(**{**given, "seed": 6, "resume": True}))
    with pytest.raises(ResumeError, match="no run in"):
        main(Arguments(**{**given, "out": str(tmp_path / "nowhere"), "resume": True}))
    assert (folder / "policy.safetensors").read_bytes() == before


def test_the_command_line_of_the_contract(tmp_path: Path) -> None:
    assert parse([]) == Arguments()
    flags = "--env e --tasks t --total-timesteps 7 --n-envs 2 --seed 3 --out o --algo dqn --no-eval --device cpu"
    assert parse([*flags.split(), "--data", "D", "--datasets", "F"]) == Arguments(
        env="e",
        tasks="t",
        total_timesteps=7,
        n_envs=2,
        seed=3,
        out="o",
        algo="dqn",
        no_eval=True,
        data="D",
        datasets="F",
    )
    main(Arguments(**arguments(tmp_path, "run", total_timesteps=24)))
    resumed = parse(["--out", str(tmp_path / "run"), "--resume", "--total-timesteps", "48"])
    assert (resumed.seed, resumed.tasks, resumed.total_timesteps, resumed.no_eval) == (5, "synthetic-small", 48, False)
