"""A strategy with batches that change from round to round."""

import numpy as np
import pytest
from sample_data import campaigns

from al_gym.errors import ParameterError
from al_gym.evaluation.rollout import roll_out
from al_gym.policies import POLICIES, load_policy
from al_gym.policies.batch_lists import parse_batches


def taken(policy, budget):
    campaign, slots = campaigns(budget=budget)
    rows = roll_out(policy, campaign, slots, 7)
    return [group["batch"].tolist()[1:] for _, group in rows.groupby("slot")]


def test_batches_follow_the_list_the_last_one_repeats_and_the_budget_clips():
    assert taken(POLICIES.make("schedule:strategy=margin,batches=2+3+5"), 18) == [[2, 3, 5, 5, 3]] * 3


def test_one_batch_is_a_fixed_strategy():
    assert taken(POLICIES.make("schedule:strategy=margin,batches=6"), 18) == taken(load_policy("margin:batch=6"), 18)


def test_the_strategy_has_parameters_behind_semicolons():
    policy = POLICIES.make("schedule:strategy=uherding:power=2;width=0.5,batches=5+10")
    assert policy.labels == ("uherding:power=2,width=0.5",)
    assert policy.batches.tolist() == [5, 10]


def test_it_asks_for_what_its_strategy_selects():
    campaign, slots = campaigns(budget=10)
    mine = roll_out(load_policy("schedule:strategy=kcenter,batches=5"), campaign, slots, 5)
    campaign, slots = campaigns(budget=10)
    its = roll_out(load_policy("kcenter"), campaign, slots, 5)
    assert np.array_equal(mine["test_accuracy"], its["test_accuracy"])


@pytest.mark.parametrize("text", ["batches=0+5", "batches=a+b", "batches=5+", "strategy=shipped"])
def test_impossible_values_are_named(text):
    with pytest.raises(ParameterError, match=text.partition("=")[2].replace("+", r"\+")):
        POLICIES.make(f"schedule:{text}")


def test_batches_as_text_number_or_sequence():
    assert parse_batches("p", "2+5") == parse_batches("p", [2, 5]) == [2, 5]
    assert parse_batches("p", 7) == parse_batches("p", "7") == [7]
    for wrong in ([], [2.5], [0], ["x"], [None], ""):
        with pytest.raises(ParameterError, match="positive integers"):
            parse_batches("p", wrong)
