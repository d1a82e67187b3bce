"""summary.json in the contract's format, against numbers computed by hand; the tables drawn from it."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from al_gym.errors import ParameterError
from al_gym.evaluation.files import write_json
from al_gym.evaluation.metrics import campaign_table, score_array
from al_gym.evaluation.summary import RunFacts, add_groups, add_label_savings, build_summary, oracle_of_fixed
from al_gym.evaluation.table import group_table, paired_table, savings_table, summary_table

from .made_up import made_up_rows

NAMES = tuple(f"d{i}" for i in range(7))
POLICIES = ("margin", "random", "shipped", "oracle")
OPTIONS = {"fixed": ["margin", "random"], "privileged": ["oracle"]}


@pytest.fixture(scope="module")
def rows():
    return made_up_rows(datasets=NAMES, policies=POLICIES)


@pytest.fixture(scope="module")
def summary(rows):
    arguments = {"learner": {"name": "softmax", "C": 1.0}}
    run = RunFacts({"d0": "standardize"}, {"bad.csv": "one class only"}, ["d3"], arguments)
    summary = build_summary(rows, 20, **OPTIONS, run=run)
    groups = {"modality": {name: "image" if i < 3 else "tabular" for i, name in enumerate(NAMES)}}
    add_groups(summary, rows, 20, groups)
    add_label_savings(summary, rows, 20)
    return summary


@pytest.fixture(scope="module")
def aulc(rows):
    """(policy, dataset) -> list of AULC over seeds, computed one campaign at a time."""
    table = {}
    for (dataset, _, policy), part in rows.groupby(["dataset", "seed", "policy"]):
        a = part["test_accuracy"].to_numpy()
        table.setdefault((policy, dataset), []).append(((a[1:] + a[:-1]) / 2 * 5).sum() / 20)
    return table


def test_policies(rows, summary, aulc):
    assert list(summary["policies"]) == list(POLICIES)
    means = {p: [np.mean(aulc[p, d]) for d in NAMES] for p in POLICIES}
    last = rows[rows["round"] == 4]
    for policy, entry in summary["policies"].items():
        assert entry["aulc"] == pytest.approx(np.mean(means[policy]))
        assert entry["aulc_ci95"][0] < entry["aulc"] < entry["aulc_ci95"][1]
        assert entry["final_accuracy"] == pytest.approx(last[last["policy"] == policy]["test_accuracy"].mean())
        better = [sum(means[q][i] > means[policy][i] for q in POLICIES) for i in range(len(NAMES))]
        assert entry["mean_rank"] == pytest.approx(1 + np.mean(better))
        assert entry["privileged"] == (policy == "oracle")
        assert "utility" not in entry


def test_paired(summary, aulc):
    means = {p: np.array([np.mean(aulc[p, d]) for d in NAMES]) for p in POLICIES}
    for row in POLICIES:
        others = [p for p in POLICIES if p != row]
        assert set(summary["paired"][row]) == set(others)
        p_values = {q: stats.wilcoxon(means[row], means[q]).pvalue for q in others}
        highest = 0.0
        for i, q in enumerate(sorted(others, key=p_values.get)):
            entry = summary["paired"][row][q]
            highest = max(highest, min(1.0, (3 - i) * p_values[q]))
            assert entry["p_holm"] == pytest.approx(highest)
            assert entry["difference"] == pytest.approx((means[row] - means[q]).mean())
            assert entry["ci95"][0] < entry["difference"] < entry["ci95"][1]
            assert entry["win"] == (means[row] > means[q] + 1e-4).sum()
            assert entry["win"] + entry["tie"] + entry["loss"] == 7
            back = summary["paired"][q][row]
            assert back["difference"] == pytest.approx(-entry["difference"])
            assert back["ci95"] == pytest.approx([-entry["ci95"][1], -entry["ci95"][0]])


def test_best_fixed_and_the_oracle_of_fixed(rows, summary, aulc):
    fixed = {p: [np.mean(aulc[p, d]) for d in NAMES] for p in OPTIONS["fixed"]}
    assert summary["best_fixed"] == max(fixed, key=lambda p: np.mean(fixed[p]))
    best = np.max(list(fixed.values()), axis=0)
    assert summary["oracle_of_fixed_aulc"] == pytest.approx(best.mean())
    scores = score_array(campaign_table(rows, 20))
    np.testing.assert_allclose(oracle_of_fixed(scores, OPTIONS["fixed"]).mean(axis=1), best)
    none = build_summary(rows, 20, fixed=[])
    assert none["best_fixed"] is none["oracle_of_fixed_aulc"] is None
    with pytest.raises(ParameterError, match="fixed strategy"):
        oracle_of_fixed(scores, [])


def test_the_rest_of_the_format(summary, tmp_path, aulc):
    assert (summary["datasets"], summary["seeds"]) == (7, 3)
    assert summary["intervals_over"] == "datasets and seeds"
    assert summary["scaling"] == {"d0": "standardize"}
    assert summary["skipped"] == {"bad.csv": "one class only"}
    assert summary["exhausted"] == ["d3"]
    assert summary["budgets"]["d6"] == 20
    assert summary["arguments"]["learner"]["C"] == 1.0
    assert {"python", "numpy", "torch", "scikit-learn"} <= set(summary["versions"])
    groups = summary["groups"]["modality"]
    assert [groups[g]["datasets"] for g in ("image", "tabular")] == [3, 4]
    assert groups["image"]["aulc"]["random"] == pytest.approx(np.mean([aulc["random", d] for d in NAMES[:3]]))
    assert summary["label_savings"]["policies"]["margin"]["datasets"] == 7
    write_json(tmp_path / "summary.json", summary)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary


def test_utility_stands_beside_aulc(rows):
    free = build_summary(rows, 20, **OPTIONS)
    longer = rows[(rows["policy"] != "random") | (rows["round"] != 4)]  # random needs one round less
    paid = build_summary(longer, 20, **OPTIONS, round_cost=0.1)
    assert paid["policies"]["margin"]["aulc"] == free["policies"]["margin"]["aulc"]
    assert paid["policies"]["margin"]["utility"] == pytest.approx(free["policies"]["margin"]["aulc"] - 0.4)
    assert paid["policies"]["random"]["utility"] == pytest.approx(paid["policies"]["random"]["aulc"] - 0.3)
    entry = paid["paired"]["margin"]["random"]
    assert entry["utility"]["difference"] == pytest.approx(entry["difference"] - 0.1)
    assert entry["utility"]["ci95"] == pytest.approx([x - 0.1 for x in entry["ci95"]])
    assert paid["best_fixed_utility"] == "random"


def test_few_datasets_few_seeds_one_policy():
    one = build_summary(made_up_rows(datasets=("iris",)), 20, fixed=["p"])
    assert one["intervals_over"] == "seeds"
    assert one["paired"]["p"]["q"]["p_holm"] is None
    assert one["paired"]["p"]["q"]["ci95"] is not None
    assert one["friedman"] is None
    single = build_summary(made_up_rows(datasets=("iris",), seeds=(4,)), 20, fixed=["p"])
    assert single["policies"]["p"]["aulc_ci95"] is None
    assert single["paired"]["q"]["p"]["ci95"] is None
    alone = build_summary(made_up_rows(policies=("p",)), 20, fixed=["p"])
    assert alone["paired"] == {"p": {}}
    assert alone["policies"]["p"]["mean_rank"] == 1
    for summary in (one, single, alone):
        json.dumps(summary, allow_nan=False)


def test_equal_policies_tie():
    rows = made_up_rows(datasets=NAMES, policies=("p",))
    both = pd.concat([rows, rows.assign(policy="q")])
    entry = build_summary(both, 20, fixed=["p"])["paired"]["q"]["p"]
    assert entry == {
        **{"difference": 0.0, "ci95": [0.0, 0.0], "p_holm": 1.0, "win": 0, "tie": 7, "loss": 0},
        "probability_of_improvement": 0.5,
    }


def test_unknown_names_are_refused(rows):
    with pytest.raises(ParameterError, match="'marginal'"):
        build_summary(rows, 20, fixed=["marginal"])
    with pytest.raises(ParameterError, match="'d1'"):
        add_groups({"metric": "accuracy"}, rows, 20, {"modality": {"d0": "image"}})


def drawn(table):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_tables_say_what_is_privileged_and_what_intervals_are_over(summary, rows):
    text = drawn(summary_table(summary))
    assert "oracle (reads hidden labels)" in text
    assert f"{summary['best_fixed']} (best fixed)" in text
    assert "intervals over datasets and seeds" in text
    assert f"{100 * summary['policies']['shipped']['aulc']:.2f}" in text
    ranked = sorted(POLICIES, key=lambda p: -summary["policies"][p]["aulc"])
    assert [text.index(f" {p}") for p in ranked] == sorted(text.index(f" {p}") for p in ranked)
    few = build_summary(rows[rows["dataset"] == "d0"], 20, **OPTIONS, round_cost=0.01)
    assert "intervals over seeds" in drawn(summary_table(few))
    assert "utility" in drawn(summary_table(few))
    pair = drawn(paired_table(few, "shipped"))
    assert "utility difference" in pair
    assert "oracle (reads hidden labels)" in pair
    entry = few["paired"]["shipped"]["margin"]["utility"]
    assert f"{100 * entry['difference']:+.2f}" in pair
    assert f"{100 * few['paired']['shipped']['margin']['difference']:+.2f}" in pair


def test_under_a_cost_the_best_fixed_one_is_that_of_utility(rows):
    short = rows[~((rows["policy"] == "random") & (rows["round"] > 1))]  # fewer rounds,
    low = short.assign(test_accuracy=short["test_accuracy"] - 0.3 * (short["policy"] == "random"))  # a lower curve
    table = build_summary(low, 20, **OPTIONS, round_cost=0.3)
    assert (table["best_fixed"], table["best_fixed_utility"]) == ("margin", "random")
    text = drawn(summary_table(table))
    assert "random (best fixed)" in text and "margin (best fixed)" not in text
    hindsight = next(line for line in text.splitlines() if "hindsight" in line or "best fixed per" in line)
    assert f"{100 * table['oracle_of_fixed_utility']:.2f}" in hindsight


def test_tables_of_groups_and_savings(summary):
    assert "image (3)" in drawn(group_table(summary, "modality"))
    assert "of 7" in drawn(savings_table(summary))
    with pytest.raises(ParameterError, match="modality"):
        group_table(summary, "size")
    with pytest.raises(ParameterError, match="add_label_savings"):
        savings_table({})
    with pytest.raises(ParameterError, match="'bald'"):
        paired_table(summary, "bald")
