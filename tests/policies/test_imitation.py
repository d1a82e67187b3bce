"""The imitation of a look-ahead expert: its loss, its states, and what the script writes."""

import json

import numpy as np
import pytest
import torch
from sample_data import campaigns

from agents import imitation as training
from agents.proposals import Samples, Trial
from al_gym.errors import PolicyError
from al_gym.evaluation.rollout import roll_out
from al_gym.policies import POLICIES
from al_gym.policies.base import decide, look
from al_gym.policies.network import Network
from al_gym.policies.proposal_network import feature_names, scores
from al_gym.strategies import make_strategy


def test_the_fitted_network_prefers_what_the_expert_preferred():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(600, 6, len(feature_names()), generator=generator)
    gain = 0.05 * inputs[:, :, 2] - 0.05 * inputs[:, :, 7]
    samples = Samples(inputs, gain, np.arange(600))
    network, result = training.fit(samples, training.Arguments(epochs=30))
    assert result["chosen"] > 0.9 * result["hindsight"] > 0
    held_out = inputs[::5]
    agreed = scores(network, held_out).argmax(1) == gain[::5].argmax(1)
    assert agreed.float().mean() > 0.8
    assert training.fit(samples, training.Arguments(epochs=30))[0].bytes() == network.bytes()


def test_a_constant_added_to_a_state_does_not_matter():
    """Preferences are relative: a state in which everything gains more weighs no more."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(100, 4, len(feature_names()), generator=generator)
    gain = torch.randn(100, 4, generator=generator) / 50
    moved = gain + torch.rand(100, 1, generator=generator)
    networks = [
        training.fit(Samples(inputs, g, np.arange(100)), training.Arguments(epochs=2))[0] for g in (gain, moved)
    ]
    first, second = (scores(network, inputs) for network in networks)
    assert torch.allclose(first, second, atol=1e-3)


def choosing(network, share, n=400):
    """Shares of the expert's answer (2) and the network's (0) among n campaigns of a made-up trial."""
    inputs = torch.zeros(n, 3, len(feature_names()))
    inputs[:, 0, 0] = 1.0
    gain = torch.tensor([[0.0, 0.0, 1.0]]).expand(n, -1)
    roll = training.Roll([make_strategy("random")] * 3, 5, share, network, training.Arguments())
    chosen = roll._choose(Trial(np.zeros((n, 3, 5), np.int64), inputs, gain), np.random.default_rng(0))
    return np.bincount(chosen, minlength=3) / n


def test_campaigns_follow_the_expert_less_and_less():
    weight = torch.zeros(1, len(feature_names()))
    weight[0, 0] = 1.0
    network = Network(
        {
            "mlp.0.weight": weight,
            "mlp.0.bias": torch.zeros(1),
            "mlp.1.weight": torch.ones(1, 1),
            "mlp.1.bias": torch.zeros(1),
        }
    )
    assert choosing(None, 1.0).tolist() == [0, 0, 1]
    share = choosing(network, 0.25)
    assert share[1] == 0
    assert 0.18 < share[2] < 0.32
    assert choosing(network, 0.0).tolist() == [1, 0, 0]


def test_shipped_weights_act_and_do_not_depend_on_batch_mates():
    together, slots = campaigns(budget=30)
    everyone = roll_out(POLICIES.make("imitation"), together, slots, 5)
    alone, one = campaigns(seeds=(1,), budget=30)
    single = roll_out(POLICIES.make("imitation"), alone, one, 5)
    assert everyone.loc[everyone["slot"] == 1, "strategy"].tolist() == single["strategy"].tolist()
    assert np.array_equal(together.queries(1), alone.queries(0))


def test_the_script_writes_what_the_policy_reads(tmp_path):
    out = tmp_path / "w.safetensors"
    sizes = {"passes": 2, "tasks-a-pass": 5, "at-once": 5, "labels": 10, "tries": 2, "pool-size": 60}
    small = sizes | {"validation-size": 60, "epochs": 2, "out": out}
    result = training.main([f"--{name}={value}" for name, value in small.items()])
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["held_out"]["states"] == result["states"] == 4  # a fifth of the tasks, twice two rounds
    assert card["arguments"]["passes"] == 2
    assert "uherding" in card["strategies"]
    policy = POLICIES.get("imitation")(weights=str(out))
    campaign, slots = campaigns(budget=5)
    assert set(decide(policy, look(policy, campaign, slots, np.full(3, -1), 5)).strategy) <= set(range(8))


def test_no_weights_is_an_error_that_names_the_script(tmp_path):
    with pytest.raises(PolicyError, match=r"agents/imitation\.py"):
        POLICIES.get("imitation")(weights=str(tmp_path / "none.safetensors"))


def test_the_card_of_the_package_names_its_arguments():
    from al_gym.policies.imitation import WEIGHTS

    arguments = json.loads(WEIGHTS.with_suffix(".json").read_text())["arguments"]
    defaults = {key: value for key, value in vars(training.Arguments()).items() if key != "out"}
    assert arguments == defaults  # the documented command is the one that made the weights
