"""The policy whose parameters adapt in the campaign: its rewards, its updates, and what it may read."""

import numpy as np
import pytest
from sample_data import blobs, campaigns
from sklearn.linear_model import LogisticRegression

from al_gym.errors import ParameterError
from al_gym.evaluation.rollout import roll_out
from al_gym.policies import POLICIES
from al_gym.policies.base import decide, look
from al_gym.policies.progress import LEAST, Prequential, log_loss

FEW = "random+margin+kcenter"


def make(text=""):
    return POLICIES.make(f"adaptive:{text}" if text else "adaptive")


def steps(policy, campaign, slots, rounds, batch_size=5):
    """Play some rounds; yields what was known before each, the choice, and the queries."""
    policy.begin(len(campaign.tasks), batch_size)
    last = np.full(len(slots), -1)
    for _ in range(rounds):
        choice = decide(policy, look(policy, campaign, slots, last, batch_size))
        queries = campaign.select(slots, policy.strategies, choice.strategy, choice.batch)
        yield choice, queries
        campaign.reveal(slots, queries)
        last = choice.strategy
        policy.observe(look(policy, campaign, slots, last, batch_size, observe=False), queries)


def proba(campaign, slot, items):
    ((_, view),) = campaign.views(np.array([slot]))
    return view.proba[0, :, items].numpy().copy()


def label(campaign, slot, items):
    return campaign._order[0].hidden.y[campaign._row[slot], items].numpy()


def naive_loss(proba, y):
    return -np.log(np.maximum(proba[y, np.arange(len(y))], LEAST)).mean()


def test_the_prequential_reward_is_the_fall_of_the_loss_on_the_next_batch():
    """Batch t judges the model after batch t - 1 against the one before it."""
    campaign, slots = campaigns(seeds=(0, 1), budget=30)
    policy = make(f"strategies={FEW}")
    rewards = []

    class Spy(Prequential):
        def after(self, context, queries):
            rewards.append(super().after(context, queries))
            return rewards[-1]

    policy.progress = Spy()
    older, expected = None, []
    for _, queries in steps(policy, campaign, slots, 5):
        items = {slot: queries[slot] for slot in (0, 1)}
        if older is not None:
            losses = [
                [
                    naive_loss(model, label(campaign, slot, items[slot]))
                    for model in (before[:, items[slot]], proba(campaign, slot, items[slot]))
                ]
                for slot, before in enumerate(older)
            ]
            expected.append([a - b for a, b in losses])
        older = [proba(campaign, slot, np.arange(90)) for slot in (0, 1)]
    assert np.isnan(rewards[0]).all()
    np.testing.assert_allclose(rewards[1:], expected, atol=1e-5)
    assert np.abs(expected).min() > 0


def test_weights_move_as_written_down():
    campaign, slots = campaigns(seeds=(0, 1), budget=40)
    policy = make(f"strategies={FEW},rate=2,forget=0.1,explore=0.3")
    rewards = []

    class Spy(Prequential):
        def after(self, context, queries):
            rewards.append(super().after(context, queries))
            return rewards[-1]

    policy.progress = Spy()
    log_weight, mean, owed, fresh = np.zeros((2, 3)), [None, None], [None, None], []
    for number, (_, queries) in enumerate(steps(policy, campaign, slots, 7)):
        if number:
            for slot in (0, 1):
                log_weight[slot] *= 0.9
                reward = rewards[-1][slot]
                if owed[slot] is not None and np.isfinite(reward):
                    if mean[slot] is not None:
                        log_weight[slot] += 2 * (reward - mean[slot]) * owed[slot]
                    mean[slot] = reward if mean[slot] is None else 0.7 * mean[slot] + 0.3 * reward
                owed[slot] = fresh[slot]
            weight = np.exp(log_weight)
            p = 0.7 * weight / weight.sum(1, keepdims=True) + 0.1
            assert np.allclose(policy._probability, p)
        p = policy.probabilities(slots)
        fresh = []
        for slot in (0, 1):
            batches = [campaign.select(np.array([slot]), [s], np.zeros(1, int), np.array([5]))[0] for s in policy.mixed]
            held = np.array([[x in batch for x in queries[slot]] for batch in batches], float)
            fresh.append((held / (p[slot] @ held)).mean(axis=1))
    assert np.ptp(policy.log_weight, axis=1).min() > 0.01


def test_validation_items_come_first_at_random_and_stay_out_of_the_judging_models():
    campaign, slots = campaigns(seeds=(0, 1), budget=40)
    policy = make(f"strategies={FEW},validation=8")
    sizes, chosen = [], []
    for choice, _ in steps(policy, campaign, slots, 5):
        sizes.append(choice.batch.tolist())
        chosen.append(choice.strategy.tolist())
    assert sizes == [[5, 5], [3, 3], [5, 5], [5, 5], [5, 5]]
    assert all((np.array(row) == 3).all() == (number < 2) for number, row in enumerate(chosen))
    ((_, view),) = campaign.views(slots)
    judged = policy._held.loss(view, slots)
    for slot in (0, 1):
        order = campaign.queries(slot)
        validation, rest = order[3:11], np.r_[order[:3], order[11:]]
        assert np.array_equal(np.flatnonzero(policy._held._held[slot]), np.sort(validation))
        X, y = view.X[slot].numpy(), view.y[slot].numpy()
        model = LogisticRegression(C=1, tol=1e-8, max_iter=10_000).fit(X[rest], y[rest])
        assert judged[slot] == pytest.approx(naive_loss(model.predict_proba(X[validation]).T, y[validation]), abs=2e-3)


def test_labels_that_were_not_revealed_change_nothing():
    """Permute the labels of items that the campaign never asks for: the same queries, validation set or not."""
    for text in (f"strategies={FEW}", f"strategies={FEW},validation=5", "round_cost=0.002"):
        plain, slots = campaigns(budget=25)
        first = roll_out(make(text), plain, slots, 5)
        other, _ = campaigns(budget=25)
        for slot in slots.tolist():
            hidden = other._order[0].hidden
            asked = plain.queries(slot)
            rest = np.setdiff1d(np.arange(90), asked)
            hidden.y[other._row[slot], rest] = hidden.y[other._row[slot], np.roll(rest, 7)]
            hidden.labels[other._row[slot]] = 0
        second = roll_out(make(text), other, slots, 5)
        assert all(np.array_equal(plain.queries(slot), other.queries(slot)) for slot in slots.tolist())
        assert first["strategy"].tolist() == second["strategy"].tolist()


@pytest.mark.parametrize("text", ["", "validation=6", "round_cost=0.003"])
def test_a_campaign_does_not_depend_on_its_batch_mates(text):
    together, slots = campaigns(budget=30)
    roll_out(make(text), together, slots, 5)
    alone, one = campaigns(seeds=(1,), budget=30)
    roll_out(make(text), alone, one, 5)
    assert np.array_equal(together.queries(1), alone.queries(0))


def test_the_batch_grows_with_the_cost_and_along_the_curve():
    sizes = {}
    for cost in (0.0002, 0.002, 0.02):
        campaign, slots = campaigns(dataset=blobs(n=400, spread=2.5), budget=80, pool_size=200)
        rounds = roll_out(make(f"round_cost={cost}"), campaign, slots, 5)
        sizes[cost] = [group["batch"].tolist()[1:-1] for _, group in rounds.groupby("slot")]
    means = [np.mean([np.mean(batches) for batches in sizes[cost]]) for cost in sizes]
    assert means[0] < means[1] < means[2]
    assert all(batches[-1] > batches[0] for batches in sizes[0.002])
    free = roll_out(make(), *campaigns(budget=20), 5)
    assert free.loc[free["round"] > 0, "batch"].unique().tolist() == [5]


def test_a_rate_of_zero_never_adapts():
    campaign, slots = campaigns(budget=40)
    policy = make("rate=0")
    roll_out(policy, campaign, slots, 5)
    assert (policy.log_weight == 0).all()


def test_impossible_values_are_refused():
    for text in ("forget=1", "explore=1.5", "explore=0", "batches=0+5", "batches=a+b", "validation=-1", "staleness=0"):
        with pytest.raises(ParameterError, match=text.partition("=")[0]):
            make(text)


def test_log_loss_counts_what_is_asked():
    p = np.array([[[0.5, 0.0, 0.2], [0.5, 1.0, 0.8]]], np.float32)
    got = log_loss(p, np.array([[0, 0, 1]]), np.array([[True, True, False]]))
    assert got == pytest.approx((np.log(2) - np.log(LEAST)) / 2)
    assert np.isnan(log_loss(p, np.array([[0, 0, 1]]), np.zeros((1, 3), bool)))
