"""The environment `al_gym/Candidate-v0`."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view

import al_gym
from al_gym.campaign import Campaign
from al_gym.envs.engine import Settings
from al_gym.envs.observations.batches import BATCH_FEATURES, describe_batches
from al_gym.envs.proposing import CandidateActions, first_of_its_kind
from al_gym.evaluation.rollout import roll_out
from al_gym.policies.agent import AgentSpec
from al_gym.policies.learned import LearnedPolicy
from al_gym.policies.network import Network
from al_gym.strategies import make_strategy
from al_gym.tasks.load import load_tasks
from al_gym.tasks.task import make_task

SMALL = {"tasks": "synthetic-small", "pool_size": 60, "validation_size": 40, "budget": 15}
STRATEGIES = ["margin", "random", "maxherding", "badge"]


def test_proposals_and_their_names():
    env = gym.make("al_gym/Candidate-v0", **SMALL, strategies=STRATEGIES, draws=3, allow_stop=True).unwrapped
    names = ["margin", "random", "random#2", "random#3", "maxherding", "badge", "badge#2", "badge#3"]
    assert env.action_names == [*names, "stop"]
    assert env.observation_space.shape == (8, len(env.observation_names) // 8)
    observation, info = env.reset(seed=1)
    assert info["action_mask"][-1] == 0
    queries = env.engine.actions.proposals[0].queries
    assert len({tuple(sorted(row)) for row in queries[1:4].tolist()}) == 3, "draws differ"
    pool = observation[:, len(BATCH_FEATURES) :]
    assert (pool == pool[0]).all()
    for number in (6, 2):
        expected = env.engine.actions.proposals[0].queries[number]
        _, _, _, _, info = env.step(number)
        np.testing.assert_array_equal(info["queries"], expected)
        assert env.engine.strategies[info["strategy"]].name == names[number].partition("#")[0]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_first_draw_is_the_strategy_itself(name):
    index = STRATEGIES.index(name)
    plain = gym.make("al_gym/Strategy-v0", **SMALL, strategies=STRATEGIES)
    among = gym.make("al_gym/Candidate-v0", **SMALL, strategies=STRATEGIES, draws=2)
    number = among.unwrapped.action_names.index(name)
    plain.reset(seed=3)
    among.reset(seed=3)
    for _ in range(3):
        one, other = plain.step(index)[4], among.step(number)[4]
        if other["invalid_action"]:
            return
        np.testing.assert_array_equal(one["queries"], other["queries"])


def test_repeated_proposals_are_masked():
    two_classes = gym.make(
        "al_gym/Candidate-v0", **(SMALL | {"tasks": "bundled", "split": None}), strategies=["margin", "entropy"]
    )
    _, info = two_classes.reset(seed=0, options={"task": "breast_cancer"})
    assert info["action_mask"].tolist() == [1, 0]
    _, _, _, _, info = two_classes.step(1)
    assert info["invalid_action"] and info["strategy"] == 0
    batches = torch.tensor([[[3, 1, -1], [1, 3, -1], [1, 3, 2], [3, 1, -1]]])
    assert first_of_its_kind(batches).tolist() == [[True, False, True, False]]


def test_proposals_are_computed_once_a_round(monkeypatch):
    env = gym.make_vec("al_gym/Candidate-v0", num_envs=3, strategies=["margin", "kcenter"], **SMALL)
    calls = []
    for strategy in env.unwrapped.engine.strategies:
        original = strategy.select

        def counted(view, k, stream, original=original):
            calls.append(len(view))
            return original(view, k, stream)

        monkeypatch.setattr(strategy, "select", counted)
    env.reset(seed=0)
    assert sum(calls) == 6
    env.step(np.array([0, 1, 0]))
    env.unwrapped.action_masks()
    assert sum(calls) == 12


def test_batches_of_one_item():
    env = gym.make("al_gym/Candidate-v0", **SMALL, batch_size=1)
    env.reset(seed=0)
    _, _, _, _, info = env.step(0)
    assert info["queries"].shape == (1,) and info["batch"] == 1


def test_nothing_is_proposed_at_the_end():
    env = gym.make("al_gym/Candidate-v0", **SMALL)
    env.reset(seed=0)
    ended = False
    while not ended:
        observation, _, ended, _, info = env.step(0)
    assert not observation[:, : len(BATCH_FEATURES)].any()
    assert info["action_mask"].all()


def test_descriptions_against_a_naive_reference():
    arrays = make_block([40, 25], features=[3, 6], classes=[3, 5], labels=[4, 6], seed=2)
    view = make_view(arrays)
    free = [np.flatnonzero(row) for row in view.candidates.numpy()]
    batches = np.full((2, 3, 4), -1)
    for task, size in enumerate((4, 3)):
        for m in range(3):
            batches[task, m, :size] = free[task][2 * m : 2 * m + size]
    found = describe_batches(view, torch.from_numpy(batches)).numpy()
    for task in range(2):
        n = int(view.n_items[task])
        X, h = view.X[task, :n].double().numpy(), float(view.bandwidth()[task])
        distance = np.linalg.norm(X[:, None] - X[None], axis=2)
        K, labelled = np.exp(-(distance**2) / (2 * h * h)), np.flatnonzero(view.labelled[task])
        u, cover = 1 - view.margin[task, :n].double().numpy(), K[:, labelled].max(1)
        sets = [set(row[row >= 0].tolist()) for row in batches[task]]
        for m, batch in enumerate(map(sorted, sets)):
            pairs = [distance[a, b] for a in batch for b in batch if a != b]
            gain = np.maximum(0, K[:, batch].max(1) - cover)
            others = [len([s for j, s in enumerate(sets) if j != m and item in s]) / 2 for item in batch]
            expected = [
                u[batch].mean(),
                view.entropy[task, batch].mean() / np.log(max(2, int(view.seen[task].sum()))),
                h / 2 / view.neighbour_distance()[task, batch].mean(),
                distance[batch][:, labelled].min(1).mean() / 4 / h,
                np.mean(pairs) / 4 / h,
                len(set(view.predicted[task, batch].tolist())) / len(batch),
                gain.sum() / (1 - cover).sum(),
                (u * gain).sum() / (u * (1 - cover)).sum(),
                np.mean(others),
            ]
            np.testing.assert_allclose(found[task, m], expected, rtol=2e-4, atol=1e-5)


def ranking_policy():
    """A network with random weights over the proposals' descriptions."""
    spec = AgentSpec.of_settings("al_gym/Candidate-v0", Settings(strategies=STRATEGIES, draws=2, batch_size=5))
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(sum(spec.action_dims), len(spec.observation_names), generator=generator)
    return LearnedPolicy(spec, Network({"mlp.0.weight": weight, "mlp.0.bias": torch.zeros(len(weight))}))


def test_a_policy_does_in_an_evaluation_what_it_does_in_the_environment(tmp_path):
    ranking_policy().save(tmp_path)
    policy = al_gym.load_policy(tmp_path)
    assert policy.agent.draws == 2
    env = gym.make("al_gym/Candidate-v0", **SMALL, strategies=STRATEGIES, draws=2)
    observation, info = env.reset(seed=4)
    task = env.unwrapped.engine.campaign.tasks[0]
    asked, ended = [], False
    while not ended:
        action = policy.predict(observation, info["action_mask"])
        observation, _, ended, _, info = env.step(action)
        asked += info["queries"].tolist()
    campaign, slot = Campaign(1), np.array([0])
    campaign.load(slot, [task], [SMALL["budget"]])
    roll_out(policy, campaign, slot, 5)
    assert campaign.queries(0)[-len(asked) :].tolist() == asked


def test_no_proposal_depends_on_hidden_labels():
    """The same seed set and revealed labels, all other labels permuted: equal observations and proposals."""
    dataset = load_tasks("bundled").get("wine")
    task = make_task(dataset, 0, pool_size=90, validation_size=50)
    actions = CandidateActions(list(map(make_strategy, STRATEGIES)), 5, (5,), False, 2)
    seen = []
    for labels in (dataset.y, None):
        if labels is None:
            hidden = np.setdiff1d(np.arange(dataset.n_items), task.pool[task.seed_set])
            labels = dataset.y.copy()
            labels[hidden] = np.random.default_rng(0).permutation(labels[hidden])
        changed = type(dataset)(dataset.name, dataset.X, labels, dataset.class_names, dataset.modality)
        campaign = Campaign(1)
        other = type(task)(changed, task.seed, task.pool, task.holdout, task.scaling, task.seed_set)
        campaign.load(np.array([0]), [other], [20])
        observation = actions.observer(Settings().features).observe(campaign, np.array([0]), np.array([-1]))
        seen.append((observation, actions.proposals[0].queries, campaign.accuracy(np.array([0]))))
    np.testing.assert_array_equal(seen[0][0], seen[1][0])
    np.testing.assert_array_equal(seen[0][1], seen[1][1])
    assert seen[0][2] != seen[1][2]
