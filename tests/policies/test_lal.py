"""The regressor of gains: inputs, weights, choices, and its training script."""

import json

import numpy as np
import pytest
import torch
from sample_data import campaigns

from agents import lal as training
from al_gym.errors import PolicyError
from al_gym.evaluation.rollout import roll_out
from al_gym.policies import POLICIES
from al_gym.policies.base import decide, look
from al_gym.policies.mixture import propose
from al_gym.policies.network import Network
from al_gym.policies.proposal_network import describe, feature_names


def write(path, weight, features=None):
    """A regressor that is a sum of its inputs times `weight`, squashed a little."""
    tensors = {
        "mlp.0.weight": 1e-3 * torch.tensor(weight)[None, :],
        "mlp.0.bias": torch.zeros(1),
        "mlp.1.weight": torch.ones(1, 1),
        "mlp.1.bias": torch.zeros(1),
    }
    path.write_bytes(Network(tensors).bytes())
    card = {"features": features or feature_names(), "activation": "tanh"}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def test_the_strategy_of_the_largest_prediction_is_chosen(tmp_path):
    """Weights that ask for uncertainty choose the proposal of the smallest margins, and the opposite ones the other."""
    campaign, slots = campaigns(budget=20)
    names = feature_names()
    policies = {}
    for sign in (1.0, -1.0):
        weight = [sign * (name == "batch/uncertainty") for name in names]
        path = write(tmp_path / f"w{sign}.safetensors", weight)
        policies[sign] = POLICIES.get("lal")(strategies="random+margin+kcenter+entropy", weights=str(path))
    ((_, view),) = campaign.views(slots)
    k = np.full(3, 5)
    strategies = policies[1.0].strategies
    means = np.array(
        [
            [np.mean([1 - float(view.margin[row, i]) for i in proposal]) for proposal in batches]
            for row, batches in enumerate(propose(view, strategies, k, 5))
        ]
    )
    for sign, policy in policies.items():
        chosen = decide(policy, look(policy, campaign, slots, np.full(3, -1), 5)).strategy
        assert np.array_equal(chosen, (sign * means).argmax(axis=1))


def test_proposals_are_the_batches_that_the_campaign_takes():
    campaign, slots = campaigns(budget=20)
    policy = POLICIES.make("lal")
    ((_, view),) = campaign.views(slots)
    proposals = propose(view, policy.strategies, np.array([5, 3, 5]), 5)
    for index in range(len(policy.strategies)):
        queries = campaign.select(slots, policy.strategies, np.full(3, index), np.array([5, 3, 5]))
        assert np.array_equal(proposals[:, index], queries)


def test_inputs_are_named_finite_and_relative_to_the_mean():
    campaign, slots = campaigns(budget=20)
    policy = POLICIES.make("lal")
    ((_, view),) = campaign.views(slots)
    k = torch.full((3,), 5)
    inputs = describe(view, torch.from_numpy(propose(view, policy.strategies, k.numpy(), 5)), k)
    names = feature_names()
    assert inputs.shape == (3, 8, len(names))
    assert torch.isfinite(inputs).all()
    relative = inputs[:, :, [i for i, name in enumerate(names) if name.startswith("relative/")]]
    assert relative.mean(1).abs().max() < 1e-5
    assert relative.abs().max() > 0.01
    assert (inputs[:, :, names.index("state/labels")] - np.log(3 / 30)).abs().max() < 1e-6
    assert inputs[0, 0, names.index("state/unseen")] == 0


def test_shipped_weights_act_and_do_not_depend_on_batch_mates():
    together, slots = campaigns(budget=30)
    everyone = roll_out(POLICIES.make("lal"), together, slots, 5)
    alone, one = campaigns(seeds=(1,), budget=30)
    single = roll_out(POLICIES.make("lal"), alone, one, 5)
    assert everyone.loc[everyone["slot"] == 1, "strategy"].tolist() == single["strategy"].tolist()
    assert np.array_equal(together.queries(1), alone.queries(0))


def test_weights_of_other_features_or_none_are_refused(tmp_path):
    make = POLICIES.get("lal")
    with pytest.raises(PolicyError, match=r"agents/lal\.py"):
        make(weights=str(tmp_path / "none.safetensors"))
    path = write(tmp_path / "w.safetensors", [1.0, 2.0], features=["a", "b"])
    with pytest.raises(PolicyError, match="other features"):
        make(weights=str(path))


def test_the_fingerprint_names_the_weights(tmp_path):
    path = write(tmp_path / "w.safetensors", [1.0] * len(feature_names()))
    first = POLICIES.get("lal")(weights=str(path)).fingerprint()
    write(path, [2.0] * len(feature_names()))
    assert POLICIES.get("lal")(weights=str(path)).fingerprint() != first


def test_fitting_finds_a_made_up_gain():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(400, 8, len(feature_names()), generator=generator)
    gain = 0.02 * inputs[:, :, 0] - 0.01 * inputs[:, :, 3]
    samples = training.Samples(inputs, gain, np.arange(400))
    arguments = training.Arguments(epochs=30)
    network, result = training.fit(samples, arguments)
    assert result["r2"] > 0.9
    assert result["chosen"] > 0.9 * result["hindsight"] > 0
    again, _ = training.fit(samples, arguments)
    assert again.bytes() == network.bytes()


def test_an_input_that_never_varied_does_not_count():
    inputs = torch.randn(100, 8, len(feature_names()), generator=torch.Generator().manual_seed(0))
    inputs[:, :, 5] = 0.3
    samples = training.Samples(inputs, 0.02 * inputs[:, :, 0], np.arange(100))
    network, _ = training.fit(samples, training.Arguments(epochs=2))
    row = inputs[0].clone()
    row[:, 5] = 50.0
    start = network.start(8)
    assert torch.allclose(network(row, start)[0], network(inputs[0], start)[0], atol=1e-6)
    row[:, 0] = 50.0
    assert not torch.allclose(network(row, start)[0], network(inputs[0], start)[0], atol=1e-3)


def test_the_script_writes_what_the_policy_reads(tmp_path):
    out = tmp_path / "w.safetensors"
    sizes = {"tasks-drawn": 6, "at-once": 6, "labels": 10, "tries": 1, "pool-size": 60, "validation-size": 60}
    small = sizes | {"epochs": 2, "out": out}
    result = training.main([f"--{name}={value}" for name, value in small.items()])
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["held_out"]["states"] == result["states"] == 2
    assert card["arguments"]["tasks_drawn"] == 6
    policy = POLICIES.get("lal")(weights=str(out))
    campaign, slots = campaigns(budget=5)
    assert set(decide(policy, look(policy, campaign, slots, np.full(3, -1), 5)).strategy) <= set(range(8))
