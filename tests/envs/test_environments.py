"""What the environments do, beyond the conformance tests that run over every id."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

import al_gym  # noqa: F401 (registers the environments)
from al_gym.errors import ActionError, ParameterError, UnknownNameError
from al_gym.tasks.dataset import Dataset

SMALL: dict[str, Any] = {"tasks": "synthetic-small", "pool_size": 100, "validation_size": 60, "budget": 20}


def tiny(n: int = 40) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset("tiny", rng.normal(size=(n, 2)).astype(np.float32), np.arange(n) % 2, ("a", "b"))


def play(env: gym.Env[Any, Any], action: Any, seed: int = 0, **options: Any) -> tuple[float, list[dict[str, Any]]]:
    _, info = env.reset(seed=seed, options=options or None)
    infos, total, ended = [info], 0.0, False
    while not ended:
        _, reward, ended, truncated, info = env.step(action)
        assert not truncated
        total += float(reward)
        infos.append(info)
    return total, infos


def test_margin_has_no_advantage_over_itself() -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL, reward="advantage")
    margin = env.unwrapped.engine.settings.strategies.index("margin")
    for seed in range(3):
        assert abs(play(env, margin, seed)[0]) < 1e-12
    assert abs(play(env, 0, 1)[0]) > 1e-6


def test_aulc_is_the_area_under_the_validation_curve() -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL, reward="aulc", round_cost=0.01)
    total, infos = play(env, 4)
    accuracy = [info["validation_accuracy"] for info in infos]
    labels = [info["n_labelled"] for info in infos]
    assert np.isclose(total, np.trapezoid(accuracy, labels) / 20 - 0.04)
    assert labels[-1] - labels[0] == 20 and len(infos) == 5


def test_the_last_batch_is_clipped_and_the_budget_ends_the_episode() -> None:
    env = gym.make("al_gym/Budget-v0", **SMALL, batch_choices=[6, 15])
    _, infos = play(env, 1)
    assert [info["batch"] for info in infos[1:]] == [15, 5]
    assert not infos[-1]["exhausted"]
    with pytest.raises(ResetNeeded):
        env.step(0)


def test_an_exhausted_pool_ends_the_episode_and_says_so() -> None:
    env = gym.make("al_gym/Strategy-v0", **(SMALL | {"tasks": tiny(), "budget": 100}), reward="aulc")
    total, infos = play(env, 1)
    assert infos[-1]["exhausted"] and infos[-1]["n_labelled"] == 24
    accuracy, labels = [i["validation_accuracy"] for i in infos], [i["n_labelled"] for i in infos]
    assert np.isclose(total, (np.trapezoid(accuracy, labels) + (100 - 22) * accuracy[-1]) / 100)


def test_a_reached_target_ends_the_episode() -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL, target_accuracy=0.3, reward="steps_to_target")
    total, infos = play(env, 1)
    assert infos[-1]["validation_accuracy"] >= 0.3
    assert total == -(infos[-1]["n_labelled"] - infos[0]["n_labelled"])


def test_stopping_is_masked_at_first_then_ends_the_episode() -> None:
    env = gym.make("al_gym/StrategyBudget-v0", **SMALL, allow_stop=True, reward="aulc")
    _, info = env.reset(seed=3)
    strategy_mask, batch_mask = info["action_mask"]
    assert strategy_mask.all() and batch_mask.tolist() == [1, 1, 1, 1, 1, 0]
    assert env.unwrapped.action_masks().tolist() == [True] * 13 + [False]
    _, _, ended, _, info = env.step(np.array([1, 5]))
    assert info["invalid_action"] and not ended and info["batch"] == 1
    _, reward, ended, _, info = env.step(np.array([1, 5]))
    assert ended and info["strategy"] == -1 and info["batch"] == 0
    assert np.isclose(reward, info["validation_accuracy"] * 19 / 20)


def test_masks_are_fresh_copies() -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL)
    _, info = env.reset(seed=0)
    info["action_mask"][:] = 0
    assert env.step(0)[4]["action_mask"].all()


@pytest.mark.parametrize(
    ("env_id", "action"),
    [
        ("Strategy-v0", 8),
        ("Strategy-v0", -1),
        ("Strategy-v0", 0.5),
        ("StrategyBudget-v0", [0, 9]),
        ("StrategyBudget-v0", [0]),
    ],
)
def test_actions_outside_the_space_change_nothing(env_id: str, action: Any) -> None:
    env = gym.make(f"al_gym/{env_id}", **SMALL, disable_env_checker=True).unwrapped
    env.reset(seed=0)
    with pytest.raises(ActionError):
        env.step(np.asarray(action))
    assert env.engine.campaign.rounds(np.zeros(1, int))[0] == 0
    env.step(np.zeros_like(env.action_space.sample()))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"strategies": ["margn"]}, UnknownNameError, "margin"),
        ({"learner": "sofmax"}, UnknownNameError, "softmax"),
        ({"reward": "aucl"}, UnknownNameError, "aulc"),
        ({"tasks": "defualt"}, UnknownNameError, "default"),
        ({"budgt": 3}, UnknownNameError, "budget"),
        ({"budget": -5}, ParameterError, "-5"),
        ({"batch_size": 0}, ParameterError, "batch_size"),
        ({"batch_choices": [5, 5]}, ParameterError, "batch_choices"),
        ({"target_accuracy": 1.5}, ParameterError, "target_accuracy"),
        ({"reward": "steps_to_target"}, ParameterError, "target_accuracy"),
        ({"render_mode": "png"}, ParameterError, "ansi"),
        ({"scaling": "minmax"}, ParameterError, "minmax"),
        ({"features": ["uncertanty"]}, UnknownNameError, "uncertainty"),
    ],
)
def test_bad_arguments_name_the_value_and_the_remedy(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        gym.make("al_gym/Strategy-v0", **(SMALL | arguments)).reset(seed=0)


def test_options_fix_the_task() -> None:
    env = gym.make("al_gym/Strategy-v0", **SMALL)
    name = env.unwrapped.engine.tasks.names[3]
    _, a = env.reset(seed=0, options={"task": name, "task_seed": 7})
    _, b = env.reset(seed=1, options={"task": name, "task_seed": 7})
    assert a["task"] == b["task"] == name and a["validation_accuracy"] == b["validation_accuracy"]
    assert env.reset(options={"task": tiny()})[1]["task"] == "tiny"
    with pytest.raises(UnknownNameError):
        env.reset(options={"task": "nothing"})
    with pytest.raises(ParameterError, match="tsak"):
        env.reset(options={"tsak": name})


@pytest.mark.parametrize("env_id", ["Strategy-v0", "Budget-v0", "StrategyBudget-v0"])
def test_observations_are_named_bounded_and_explained(env_id: str) -> None:
    env = gym.make(
        f"al_gym/{env_id}", **SMALL, features=["uncertainty", "classes", "progress", "proposals", "last-action"]
    )
    base = env.unwrapped
    observation, _ = env.reset(seed=0)
    assert len(base.observation_names) == len(set(base.observation_names)) == len(observation)
    assert all(base.observation_documentation[name] for name in base.observation_names)
    for _ in range(2):
        observation = env.step(np.zeros_like(env.action_space.sample()))[0]
        assert env.observation_space.contains(observation) and np.ptp(observation) > 0.1


def test_rendering_shows_the_rounds_and_a_picture() -> None:
    text = gym.make("al_gym/Strategy-v0", **SMALL, render_mode="ansi")
    play(text, 1)
    lines = text.unwrapped.render().splitlines()
    assert len(lines) == 2 + 5 and "margin" in lines[-1] and "(seed set)" in lines[2]
    picture = gym.make("al_gym/Strategy-v0", **SMALL, render_mode="rgb_array")
    picture.reset(seed=0)
    first = picture.render()
    picture.step(2)
    assert first.shape == (400, 900, 3) and first.dtype == np.uint8
    assert (picture.render() != first).any()


def test_training_environments_never_read_the_test_rows() -> None:
    env = gym.make("al_gym/Strategy-v0", **(SMALL | {"tasks": tiny(100)})).unwrapped
    env.reset(seed=0)
    task = env.engine.campaign.tasks[0]
    used = np.concatenate([task.pool, task.holdout])
    assert len(np.unique(used)) == len(used) == 60 + 20


def test_vector_env_takes_modes_by_name_and_enum() -> None:
    for mode in ("SameStep", gym.vector.AutoresetMode.SAME_STEP):
        env = gym.make_vec("al_gym/Strategy-v0", num_envs=2, autoreset_mode=mode, **SMALL)
        assert env.unwrapped.autoreset_mode == gym.vector.AutoresetMode.SAME_STEP == env.metadata["autoreset_mode"]
    with pytest.raises(ParameterError, match="SameStep"):
        gym.make_vec("al_gym/Strategy-v0", num_envs=2, autoreset_mode="Never", **SMALL)
