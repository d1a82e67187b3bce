"""Models of stable-baselines3, for those who trust them."""

import numpy as np
import pytest
from sample_data import campaigns
from stable_baselines3 import A2C, PPO

import al_gym
from al_gym.errors import PolicyError
from al_gym.evaluation.rollout import roll_out
from al_gym.policies import load_policy
from al_gym.policies.agent import AgentSpec
from al_gym.policies.base import look
from al_gym.policies.learned import LearnedPolicy
from al_gym.policies.network import Network


@pytest.fixture(scope="module")
def venv():
    return al_gym.make_sb3_vec_env("al_gym/Strategy-v0", num_envs=2, tasks="synthetic-small", pool_size=90)


@pytest.fixture(scope="module")
def model(venv):
    return PPO("MlpPolicy", venv, n_steps=4, batch_size=8, seed=0, device="cpu")


def exported(model, venv):
    settings = venv.unwrapped.vector_env.unwrapped.engine.settings
    modules = [*model.policy.mlp_extractor.policy_net, model.policy.action_net]
    linear = [m for m in modules if hasattr(m, "weight")]
    tensors = {f"mlp.{i}.{key}": value for i, m in enumerate(linear) for key, value in m.state_dict().items()}
    return LearnedPolicy(AgentSpec.of_settings("al_gym/Strategy-v0", settings), Network(tensors))


def test_model_and_export_act_alike(model, venv, tmp_path):
    model.save(tmp_path / "model.zip")
    theirs = load_policy(tmp_path / "model.zip", trusted=True)
    mine = exported(model, venv)
    rng = np.random.default_rng(0)
    observations = rng.uniform(-1, 1, (50, len(mine.agent.observation_names))).astype(np.float32)
    assert np.array_equal(mine.predict(observations), model.predict(observations, deterministic=True)[0])
    runs = [roll_out(policy, *campaigns(), 5) for policy in (mine, theirs)]
    assert runs[0].equals(runs[1])
    assert theirs.name == "model"
    campaign, slots = campaigns()
    assert look(theirs, campaign, slots, np.full(3, -1), 5).observation.shape == (3, observations.shape[1])


def test_a_policy_json_beside_it_says_what_it_knows(model, venv, tmp_path):
    model.save(tmp_path / "model.zip")
    exported(model, venv).save(tmp_path)
    assert load_policy(tmp_path / "model.zip", trusted=True).name == "learned"


def test_models_that_fit_nothing_are_refused(venv, tmp_path):
    A2C("MlpPolicy", venv, seed=0, device="cpu").save(tmp_path / "a2c.zip")
    with pytest.raises(PolicyError, match="another algorithm"):
        load_policy(tmp_path / "a2c.zip", trusted=True)
    other = al_gym.make_sb3_vec_env(
        "al_gym/Strategy-v0", num_envs=1, tasks="synthetic-small", strategies=("margin", "random")
    )
    PPO("MlpPolicy", other, n_steps=4, batch_size=4, seed=0, device="cpu").save(tmp_path / "two.zip")
    with pytest.raises(PolicyError, match=r"policy\.json"):
        load_policy(tmp_path / "two.zip", trusted=True)
