"""Areas, utility, normalised AULC, deficiency and label savings against naive references."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from al_gym.errors import ParameterError
from al_gym.evaluation.metrics import campaign_table, deficiency, normalised_aulc, score_array
from al_gym.evaluation.savings import label_savings, labels_to_target, mean_curves, savings_by_policy

from .made_up import curve_rows, made_up_rows


def naive_aulc(rows, budget):
    """Area on the grid of single labels, held flat after the last row."""
    labels, accuracy = rows["n_labelled"].to_numpy(), rows["test_accuracy"].to_numpy()
    grid = np.arange(labels[0], labels[0] + budget + 1)
    return trapezoid(np.interp(grid, labels, accuracy), grid) / budget


def test_area_of_a_known_curve():
    table = campaign_table(curve_rows([(4, 0.5), (6, 0.7), (10, 0.8)]), 6)
    assert table["aulc"].item() == pytest.approx((2 * 0.6 + 4 * 0.75) / 6)
    assert table["final_accuracy"].item() == 0.8
    assert table[["rounds", "labels", "initial"]].iloc[0].tolist() == [2, 6, 4]


def test_a_curve_that_ends_early_is_held_flat():
    table = campaign_table(curve_rows([(4, 0.5), (6, 0.7)]), 10)
    assert table["aulc"].item() == pytest.approx((2 * 0.6 + 8 * 0.7) / 10)
    only_seed_set = campaign_table(curve_rows([(4, 0.5)]), 10)
    assert only_seed_set["aulc"].item() == pytest.approx(0.5)
    assert only_seed_set["rounds"].item() == 0


@settings(max_examples=30)
@given(st.data())
def test_many_campaigns_in_any_order_equal_the_naive_area(data):
    parts, budgets = [], {}
    for dataset in data.draw(st.sets(st.sampled_from("abcd"), min_size=1)):
        budgets[dataset] = data.draw(st.integers(20, 40))
        for policy in ("q", "p"):
            for seed in (7, 3):
                batches = data.draw(st.lists(st.integers(1, 5), max_size=4))
                labels = np.cumsum([data.draw(st.integers(1, 9)), *batches])
                accuracy = [data.draw(st.floats(0, 1)) for _ in labels]
                curve = list(zip(labels, accuracy, strict=True))
                parts.append(curve_rows(curve, dataset=dataset, policy=policy, seed=seed))
    rows = pd.concat(parts)
    shuffled = rows.sample(frac=1, random_state=data.draw(st.integers(0, 99)))
    table = campaign_table(shuffled, budgets, round_cost=0.01).set_index(["dataset", "seed", "policy"])
    assert len(table) == len(parts)
    for part in parts:
        dataset, seed, policy = part[["dataset", "seed", "policy"]].iloc[0]
        found = table.loc[(dataset, seed, policy)]
        assert found["aulc"] == pytest.approx(naive_aulc(part, budgets[dataset]), abs=1e-12)
        assert found["utility"] == pytest.approx(found["aulc"] - 0.01 * (len(part) - 1))
        assert found["final_accuracy"] == part["test_accuracy"].iloc[-1]


def test_balanced_accuracy_is_read_from_its_own_column():
    rows = made_up_rows()
    swapped = rows.assign(test_accuracy=rows["test_balanced_accuracy"])
    found = campaign_table(rows, 20, metric="balanced-accuracy")["aulc"]
    np.testing.assert_array_equal(found, campaign_table(swapped, 20)["aulc"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: pd.concat([rows, rows.iloc[[3]]]), "a, 0, p|seed 0"),
        (lambda rows: rows.drop(index=2), "round is missing"),
        (lambda rows: rows.assign(n_labelled=7), "does not grow"),
        (lambda rows: rows.assign(n_labelled=rows["n_labelled"] * 2), "more labels"),
        (lambda rows: rows.assign(test_accuracy=np.nan), "not finite"),
        (lambda rows: rows.iloc[:0], "No rows"),
    ],
)
def test_impossible_rows_are_refused(change, message):
    with pytest.raises(ParameterError, match=message):
        campaign_table(change(made_up_rows()), 20)


@pytest.mark.parametrize(("budget", "metric"), [({"a": 20}, "accuracy"), (0, "accuracy"), (20, "f1")])
def test_impossible_arguments_are_refused(budget, metric):
    with pytest.raises(ParameterError):
        campaign_table(made_up_rows(), budget, metric=metric)


def test_scores_are_arranged_by_policy_dataset_and_seed():
    campaigns = campaign_table(made_up_rows(policies=("q", "p")).sample(frac=1, random_state=1), 20)
    scores = score_array(campaigns)
    assert scores.datasets == ("a", "b")
    assert scores.seeds == (0, 1, 2)
    for row in campaigns.itertuples():
        at = scores.policies.index(row.policy), scores.datasets.index(row.dataset), scores.seeds.index(row.seed)
        assert scores.values[at] == row.aulc
    with pytest.raises(ParameterError, match="policy q, dataset b, seed 1"):
        score_array(campaigns[~campaigns.eval("policy == 'q' and dataset == 'b' and seed == 1")])


def test_normalised_aulc_and_deficiency_of_known_numbers():
    # straight lines over one batch: AULC is the mean of both ends
    ends = {"random": (0.4, 0.8), "mine": (0.5, 0.9), "oracle": (0.8, 1.0)}
    rows = pd.concat([curve_rows([(2, a), (12, b)], policy=name) for name, (a, b) in ends.items()])
    campaigns = campaign_table(rows, 10)
    scores, final = score_array(campaigns), score_array(campaigns, "final_accuracy")
    order = [scores.policies.index(name) for name in ends]
    np.testing.assert_allclose(normalised_aulc(scores)[order, 0], [0, (0.7 - 0.6) / (0.9 - 0.6), 1])
    np.testing.assert_allclose(deficiency(scores, final)[order, 0], [1, (0.8 - 0.7) / 0.2, (0.8 - 0.9) / 0.2])
    assert np.isnan(normalised_aulc(scores, oracle="random")).all()
    with pytest.raises(ParameterError, match="'bald'"):
        normalised_aulc(scores, random="bald")


def test_mean_curve_equals_the_mean_on_the_grid_of_single_labels():
    parts = [
        curve_rows([(3, 0.1), (8, 0.6), (13, 0.7)], seed=0),
        curve_rows([(4, 0.3), (6, 0.2), (9, 0.9)], seed=1),
    ]
    labels, accuracy = mean_curves(pd.concat(parts), 10)["a", "p"]
    grid = np.arange(11)
    expected = np.mean(
        [np.interp(grid, p["n_labelled"] - p["n_labelled"].iloc[0], p["test_accuracy"]) for p in parts], axis=0
    )
    np.testing.assert_allclose(np.interp(3.5 + grid, labels, accuracy), expected)
    assert labels[0] == 3.5
    assert labels[-1] == 13.5


@pytest.mark.parametrize(
    ("target", "labels", "censored"),
    [(0.5, 5, False), (0.45, 3, False), (0.65, 8, False), (0.7, 10, False), (0.71, 15, True)],
)
def test_labels_to_target_is_the_first_crossing(target, labels, censored):
    curve = np.array([3.0, 5, 6, 10, 15]), np.array([0.45, 0.5, 0.6, 0.7, 0.4])
    assert labels_to_target(curve, target) == (pytest.approx(labels), censored)


def test_label_savings_with_censoring():
    curves = {
        "margin": {"easy": [(2, 0.2), (12, 0.8)], "hard": [(2, 0.2), (12, 0.6)]},
        "mine": {"easy": [(2, 0.2), (7, 0.8), (12, 0.9)], "hard": [(2, 0.2), (12, 0.5)]},
    }
    rows = pd.concat([curve_rows(c, dataset=d, policy=p) for p, by_name in curves.items() for d, c in by_name.items()])
    found = label_savings(rows, 10).set_index(["dataset", "policy"])
    assert found.loc[("easy", "mine"), "saving"] == pytest.approx(1 - 7 / 12)
    assert found.loc[("easy", "margin"), "saving"] == 0
    assert found.loc[("hard", "mine"), "censored"]
    assert not found.loc[("easy", "mine"), "censored"]
    mine = savings_by_policy(found.reset_index())["mine"]
    assert mine["censored"] == 1
    assert mine["median"] is None  # half of the datasets never got there
    assert mine["mean_uncensored"] == pytest.approx(5 / 12)
    assert mine["mean_upper_bound"] == pytest.approx((5 / 12 + 0) / 2)
    assert savings_by_policy(found.reset_index())["margin"]["median"] == 0


def test_label_savings_at_given_targets_and_a_reference_that_never_gets_there():
    rows = pd.concat(
        [curve_rows([(2, 0.2), (12, 0.7)], policy="margin"), curve_rows([(2, 0.2), (12, 0.9)], policy="q")]
    )
    found = label_savings(rows, 10, targets={"a": 0.8}).set_index("policy")
    assert found.loc["margin", "reference_censored"]
    assert np.isnan(found.loc["margin", "saving"])
    assert found.loc["q", "saving"] == pytest.approx(1 - (2 + 10 * 0.6 / 0.7) / 12)  # a lower bound
    assert savings_by_policy(found.reset_index())["q"]["datasets"] == 0
    with pytest.raises(ParameterError, match="'random'"):
        label_savings(rows, 10, reference="random")
    with pytest.raises(ParameterError, match="target"):
        label_savings(rows, 10, targets={})
