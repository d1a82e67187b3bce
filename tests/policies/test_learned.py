"""The learned policy: its network, its files, and what it does in an environment."""

import json
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sample_data import blobs, campaigns, write_folder

import al_gym
from al_gym.envs.engine import Settings
from al_gym.errors import PolicyError, UnknownNameError
from al_gym.evaluation.rollout import roll_out
from al_gym.policies import load_policy
from al_gym.policies.agent import AgentSpec
from al_gym.policies.learned import LearnedPolicy
from al_gym.policies.network import Network

STRATEGIES = ("random", "margin", "kcenter")


def layers(sizes, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for i, (width, out) in enumerate(pairwise(sizes)):
        tensors[f"mlp.{i}.weight"] = scale * torch.randn(out, width, generator=generator)
        tensors[f"mlp.{i}.bias"] = torch.randn(out, generator=generator)
    return tensors


def random_policy(env_id="al_gym/Strategy-v0", seed=0, deterministic=True, **arguments):
    spec = AgentSpec.of_settings(env_id, Settings(**({"strategies": STRATEGIES} | arguments)))
    network = Network(layers([len(spec.observation_names), 16, sum(spec.action_dims)], seed))
    return LearnedPolicy(spec, network, deterministic=deterministic)


def test_network_is_the_torch_module():
    module = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    tensors = {f"mlp.{i}.{k}": v for i, j in enumerate((0, 2)) for k, v in module[j].state_dict().items()}
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    network = Network(tensors)
    assert torch.allclose(network(x, network.start(7))[0], module(x), atol=1e-6)
    relu = Network(tensors, "relu")
    assert not torch.allclose(relu(x, relu.start(7))[0], module(x), atol=1e-3)


def test_lstm_layers_are_those_of_torch():
    lstm, head = torch.nn.LSTM(4, 6, num_layers=2), torch.nn.Linear(6, 3)
    tensors = {f"lstm.{key[-1]}.{key[:-3]}": value for key, value in lstm.state_dict().items()}
    tensors |= {f"mlp.0.{key}": value for key, value in head.state_dict().items()}
    network = Network(tensors)
    x = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    expected = head(lstm(x)[0])
    state = network.start(3)
    for t in range(5):
        out, state = network(x[t], state)
        assert torch.allclose(out, expected[t], atol=1e-6)


def test_a_row_does_not_depend_on_the_batch():
    network = Network(layers([60, 64, 64, 8]))
    x = torch.randn(37, 60, generator=torch.Generator().manual_seed(0))
    whole = network(x, network.start(37))[0]
    for i in (0, 5, 36):
        assert torch.equal(network(x[i : i + 1], network.start(1))[0][0], whole[i])


@pytest.mark.parametrize("change", ["drop", "extra", "shape", "nan", "empty"])
def test_impossible_networks_are_refused(change):
    tensors = layers([4, 5, 3])
    if change == "drop":
        del tensors["mlp.1.bias"]
    elif change == "extra":
        tensors["other"] = torch.zeros(2)
    elif change == "shape":
        tensors["mlp.1.weight"] = torch.zeros(3, 6)
    elif change == "nan":
        tensors["mlp.0.bias"][1] = torch.nan
    else:
        tensors = {}
    with pytest.raises(PolicyError):
        Network(tensors)
    with pytest.raises(UnknownNameError, match="tanh"):
        Network(layers([4, 5, 3]), "tanhh")


def test_files_bring_back_the_same_policy(tmp_path):
    policy = random_policy()
    policy.save(tmp_path / "run")
    again = load_policy(tmp_path / "run")
    assert again.agent == policy.agent
    assert again.fingerprint() == policy.fingerprint() != random_policy(seed=1).fingerprint()
    runs = [roll_out(p, *campaigns(), 5) for p in (policy, again)]
    assert runs[0].equals(runs[1])
    held = json.loads((tmp_path / "run" / "policy.json").read_text())
    assert {
        "env_id",
        "strategies",
        "features",
        "observation_names",
        "action_dims",
        "al_gym",
        "training",
        "layers",
    } <= set(held)


def damage(folder, key, value):
    content = json.loads((folder / "policy.json").read_text())
    content[key] = value
    (folder / "policy.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 99, "format"),
        ("observation_names", ["a"], "other observations"),
        ("action_dims", [4], "action dimensions"),
        ("strategies", ["random", "margni", "kcenter"], "margin"),
        ("features", ["uncertanty"], "uncertainty"),
        ("env_id", "al_gym/Strategi-v0", "Strategy-v0"),
        ("activation", "tan", "tanh"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, key, value, message):
    random_policy().save(tmp_path)
    damage(tmp_path, key, value)
    with pytest.raises((PolicyError, UnknownNameError), match=message):
        load_policy(tmp_path)


def test_damaged_weights_are_refused(tmp_path):
    random_policy().save(tmp_path)
    path = tmp_path / "policy.safetensors"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(PolicyError, match="weights"):
        load_policy(tmp_path)
    random_policy().save(tmp_path)
    tensors = load_file(path)
    save_file({key: value[..., :-1].contiguous() for key, value in tensors.items()}, path)
    with pytest.raises(PolicyError):
        load_policy(tmp_path)


@pytest.mark.parametrize("env_id", ["al_gym/Strategy-v0", "al_gym/Budget-v0", "al_gym/StrategyBudget-v0"])
def test_it_does_in_an_evaluation_what_it_does_in_its_environment(env_id):
    """P1: the same task, observation, action and selection on both sides."""
    arguments = {"strategies": STRATEGIES, "budget": 20, "pool_size": 90, "allow_stop": True}
    policy = random_policy(env_id, **arguments)
    campaign, slots = campaigns(seeds=(3, 4), budget=20)
    rounds = roll_out(policy, campaign, slots, 5)
    for slot in slots.tolist():
        env = gym.make(env_id, **arguments)
        policy.begin(1, 5)
        observation, info = env.reset(options={"task": campaign.tasks[slot]})
        done, batches = False, []
        while not done:
            action = policy.predict(observation, info["action_mask"])
            observation, _, done, _, info = env.step(action)
            batches += [info["batch"]] if info["batch"] else []
        mine = env.unwrapped.engine.campaign.queries(0)
        assert np.array_equal(mine, campaign.queries(slot))
        assert rounds.loc[rounds["slot"] == slot, "batch"].tolist()[1:] == batches


def test_always_answering_margin_is_the_policy_margin():
    policy = random_policy()
    policy.network.tensors["mlp.1.weight"].zero_()
    policy.network.tensors["mlp.1.bias"].copy_(torch.tensor([0.0, 1.0, 0.0]))
    ours, slots = campaigns()
    theirs, _ = campaigns()
    mine, margin = roll_out(policy, ours, slots, 5), roll_out(load_policy("margin"), theirs, slots, 5)
    assert mine.drop(columns="strategy").equals(margin.drop(columns="strategy"))
    assert all(np.array_equal(ours.queries(slot), theirs.queries(slot)) for slot in slots.tolist())


def test_masked_actions_are_never_taken():
    policy = random_policy(allow_stop=True)
    policy.network.tensors["mlp.1.bias"][-1] = 1e6
    campaign, slots = campaigns(budget=20)
    assert (roll_out(policy, campaign, slots, 5).groupby("slot")["round"].max() == 1).all()


def test_sampling_follows_the_probabilities_and_the_tasks_own_stream():
    logits = torch.tensor([0.0, 1.0, -1.0])
    policy = random_policy(deterministic=False)
    policy.network.tensors["mlp.1.weight"].zero_()
    policy.network.tensors["mlp.1.bias"].copy_(logits)
    campaign, slots = campaigns(seeds=tuple(range(60)), budget=40)
    rounds = roll_out(policy, campaign, slots, 5)
    share = rounds.loc[rounds["round"] > 0, "strategy"].value_counts(normalize=True).sort_index()
    assert np.allclose(share, logits.softmax(0), atol=0.06)
    alone, _ = campaigns(seeds=(7,), budget=40)
    again = roll_out(policy, alone, np.array([0]), 5)
    assert again["strategy"].tolist() == rounds.loc[rounds["slot"] == 7, "strategy"].tolist()


def test_predict_of_one_and_of_many_observations():
    policy = random_policy("al_gym/StrategyBudget-v0")
    observations = np.random.default_rng(0).uniform(-1, 1, (6, len(policy.agent.observation_names))).astype(np.float32)
    many = policy.predict(observations)
    assert many.shape == (6, 2)
    assert np.array_equal(policy.predict(observations[2]), many[2])
    mask = tuple(np.eye(size, dtype=np.int8)[1] for size in policy.agent.action_dims)
    assert policy.predict(observations[2], mask).tolist() == [1, 1]


def test_fixed_pairs_and_a_policy_of_both_compete_under_a_cost(tmp_path):
    """(strategy, batch) pairs against a StrategyBudget-v0 policy: rounds are paid, every table can be read for it."""
    learned = random_policy("al_gym/StrategyBudget-v0", batch_choices=(2, 5, 9))
    learned.save(tmp_path / "both")
    fixed = ["margin:batch=3", "kcenter:batch=15"]
    folder = write_folder(tmp_path / "data", a=blobs("a"), b=blobs("b", seed=2, classes=4))
    regime = {"rounds": 3, "pool_size": 80, "test_size": 60, "jobs": 1, "seeds": 3}
    result = al_gym.evaluate([*fixed, tmp_path / "both"], data=folder, round_cost=0.02, **regime)
    rows = result.results[result.results["round"] > 0]
    sizes = rows[rows["policy"] == "both"].groupby(["dataset", "seed"])["batch"]
    assert all(set(batches[:-1]) <= {2, 5, 9} for _, batches in sizes)
    assert rows.groupby(["policy", "dataset", "seed"], observed=True)["batch"].sum().unique().tolist() == [15]
    rounds = (
        rows.groupby(["policy", "dataset", "seed"], observed=True)["round"]
        .max()
        .groupby("policy", observed=True)
        .mean()
    )
    assert (rounds[fixed[0]], rounds[fixed[1]]) == (5, 1)
    policies = result.summary["policies"]
    for name in policies:
        assert np.isclose(policies[name]["utility"], policies[name]["aulc"] - 0.02 * rounds[name])
    pair = result.summary["paired"]["both"][fixed[0]]["utility"]
    assert np.isclose(pair["difference"], policies["both"]["utility"] - policies[fixed[0]]["utility"])
    assert result.summary["best_fixed_utility"] == max(fixed, key=lambda name: policies[name]["utility"])
    assert result.paired("both").columns[-2].header == "utility difference"
