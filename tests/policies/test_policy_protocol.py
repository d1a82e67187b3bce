"""What a policy may see, and how its answers are checked."""

import numpy as np
import pytest
from sample_data import blobs, campaigns

from al_gym.errors import ParameterError, PolicyError
from al_gym.evaluation.rollout import roll_out
from al_gym.policies import POLICIES, Choice, FixedStrategy, Policy, load_policy
from al_gym.policies.base import decide, look
from al_gym.policies.calling import CallablePolicy
from al_gym.policies.random_strategy import RandomStrategy
from al_gym.strategies import make_strategy


class Answering(Policy):
    """Gives the answer that it was made with."""

    name = "answering"

    def __init__(self, strategy, batch, stop):
        self.answer = strategy, batch, stop
        self.strategies = (make_strategy("random"), make_strategy("margin"))

    def act(self, context):
        return Choice(*(np.asarray(part) for part in self.answer))


def context_of(policy, campaign, slots, batch_size=5):
    return look(policy, campaign, slots, np.full(len(slots), -1), batch_size)


def test_batches_are_clipped_to_the_budget():
    campaign, slots = campaigns(budget=7)
    policy = Answering([1, 0, 1], [3, 7, 50], [False] * 3)
    assert decide(policy, context_of(policy, campaign, slots)).batch.tolist() == [3, 7, 7]


@pytest.mark.parametrize(
    "answer",
    [
        ([2, 0, 0], [5, 5, 5], [False] * 3),
        ([-1, 0, 0], [5, 5, 5], [False] * 3),
        ([0, 0, 0], [5, 0, 5], [False] * 3),
        ([0, 0], [5, 5], [False] * 2),
        ([0.0, 1.0, 0.0], [5, 5, 5], [False] * 3),
        ([0, 0, 0], [5, 5, 5], [0, 0, 0]),
    ],
)
def test_an_impossible_answer_is_a_policy_error(answer):
    campaign, slots = campaigns()
    policy = Answering(*answer)
    with pytest.raises(PolicyError, match="answering"):
        decide(policy, context_of(policy, campaign, slots))


def test_a_campaign_that_stops_needs_no_valid_strategy_or_batch():
    campaign, slots = campaigns()
    policy = Answering([-1, 0, 1], [0, 5, 5], [True, False, False])
    assert decide(policy, context_of(policy, campaign, slots)).stop.tolist() == [True, False, False]


class StopsAfter(FixedStrategy):
    """Slot i stops after i rounds."""

    def act(self, context):
        return super().act(context)._replace(stop=context.rounds >= context.slots)


def test_a_stop_ends_one_campaign_and_not_the_others():
    campaign, slots = campaigns(budget=20)
    rounds = roll_out(StopsAfter(make_strategy("margin")), campaign, slots, 5).groupby("slot")["round"].max()
    assert rounds.tolist() == [0, 1, 2]


def test_only_a_privileged_policy_gets_the_campaign():
    campaign, slots = campaigns()
    for name in set(POLICIES.names()) - {"shipped", "shipped-round-cost"}:
        policy = POLICIES.make(name)
        context = context_of(policy, campaign, slots)
        assert (context.campaign is campaign) == policy.privileged
        hidden = campaign._order[0].hidden
        views = [view for _, view in context.views]
        held = {id(value) for view in views for part in (view, view.arrays) for value in vars(part).values()}
        assert not held & {id(value) for value in vars(hidden).values()}


def test_draws_are_keyed_by_task_round_and_name():
    campaign, slots = campaigns()
    policy = RandomStrategy()
    everyone = context_of(policy, campaign, slots).uniform("x", 3)
    alone = context_of(policy, campaign, slots[1:2]).uniform("x", 3)
    assert np.array_equal(everyone[1:2], alone)
    assert len(np.unique(everyone)) == 9
    assert not np.array_equal(context_of(policy, campaign, slots).uniform("y", 3), everyone)
    campaign.reveal(slots, campaign.select(slots, policy.strategies, np.zeros(3, np.int64), np.full(3, 5)))
    assert not np.array_equal(context_of(policy, campaign, slots).uniform("x", 3), everyone)


class Listening(FixedStrategy):
    """Keeps what it learns from each reveal."""

    def __init__(self):
        super().__init__(make_strategy("random"))
        self.heard = []
        self.predicted = None

    def act(self, context):
        ((_, view),) = context.views
        self.predicted = view.predicted.clone().numpy()
        return super().act(context)

    def observe(self, context, queries):
        ((_, view),) = context.views
        truth = np.array([[view.y[row, item] for item in items] for row, items in enumerate(queries)])
        expected = (
            np.array([[self.predicted[row, item] for item in items] for row, items in enumerate(queries)]) == truth
        )
        self.heard.append((context.foreseen(queries), expected, context.observation))


def test_feedback_is_how_the_model_foresaw_the_batch():
    campaign, slots = campaigns(budget=15)
    policy = Listening()
    roll_out(policy, campaign, slots, 5)
    assert len(policy.heard) == 3
    for foreseen, expected, observation in policy.heard:
        assert np.array_equal(foreseen, expected.astype(float))
        assert observation is None
    assert 0 < np.mean([f.mean() for f, _, _ in policy.heard]) < 1


def test_fixed_strategy_takes_its_own_batch():
    campaign, slots = campaigns(budget=20)
    rounds = roll_out(load_policy("margin:batch=8"), campaign, slots, 5)
    assert rounds.loc[rounds["slot"] == 0, "batch"].tolist()[1:] == [8, 8, 4]
    for bad in ("margin:batch=0", "margin:batch=2.5", "margin:batch=true"):
        with pytest.raises(ParameterError, match="batch"):
            load_policy(bad)


def test_random_strategy_draws_evenly_and_from_its_own_list():
    campaign, slots = campaigns(seeds=tuple(range(40)), budget=40)
    policy = RandomStrategy(strategies="random+margin+kcenter")
    rounds = roll_out(policy, campaign, slots, 5)
    share = rounds.loc[rounds["round"] > 0, "strategy"].value_counts(normalize=True)
    assert set(share.index) == {0, 1, 2}
    assert share.between(0.25, 0.42).all()


def test_switch_changes_after_four_rounds():
    campaign, slots = campaigns(budget=30)
    policy = POLICIES.make("switch")
    rounds = roll_out(policy, campaign, slots, 5)
    names = [policy.labels[i] for i in rounds.loc[rounds["slot"] == 1, "strategy"].tolist()[1:]]
    assert names == ["maxherding"] * 4 + ["margin-kcenter"] * 2
    with pytest.raises(ParameterError, match="rounds"):
        POLICIES.make("switch:rounds=-1")


def test_oracle_takes_the_batch_that_is_best_in_a_naive_trial():
    campaign, slots = campaigns(budget=5)
    policy = POLICIES.make("oracle:strategies=random+margin+kcenter+entropy")
    chosen = policy.act(look(policy, campaign, slots, np.full(3, -1), 5)).strategy
    for slot in slots.tolist():
        scores = []
        for strategy in policy.strategies:
            fresh, one = campaigns(seeds=(slot,), budget=5)
            fresh.reveal(one, fresh.select(one, [strategy], np.zeros(1, np.int64), np.array([5])))
            scores.append(fresh.accuracy(one)[0])
        assert chosen[slot] == int(np.argmax(scores))


def test_oracle_leaves_the_campaign_as_it_was():
    plain, slots = campaigns(budget=15)
    tried, _ = campaigns(budget=15)
    oracle = POLICIES.make("oracle")
    for _ in range(3):
        oracle.act(look(oracle, tried, slots, np.full(3, -1), 5))
        for campaign in (plain, tried):
            queries = campaign.select(slots, [make_strategy("badge")], np.zeros(3, np.int64), np.full(3, 5))
            campaign.reveal(slots, queries)
    assert all(np.array_equal(plain.queries(slot), tried.queries(slot)) for slot in slots.tolist())
    assert np.array_equal(plain.accuracy(slots), tried.accuracy(slots))


def test_a_function_is_a_policy():
    campaign, slots = campaigns(budget=15)
    policy = CallablePolicy(lambda context: ["margin" if r else "uherding:power=2" for r in context.rounds], name="f")
    rounds = roll_out(policy, campaign, slots, 5)
    assert policy.labels == ("uherding:power=2", "margin")
    assert rounds.loc[rounds["slot"] == 2, "strategy"].tolist() == [-1, 0, 1, 1]
    with pytest.raises(PolicyError, match="3 names"):
        roll_out(CallablePolicy(lambda context: ["margin"], name="g"), *campaigns(dataset=blobs(seed=1)), 5)
