"""How lists of strategies are written, and that every policy that switches takes the same one in the same runner."""

import json

import pytest
from sample_data import blobs

import al_gym
from al_gym.errors import ParameterError, PolicyError, UnknownNameError
from al_gym.policies import load_policy, strategy_lists
from al_gym.policies.strategy_lists import parse_strategies
from al_gym.strategies import make_strategy

LIST = "random+margin+uherding:power=2;width=0.5+uherding"
SWITCHING = ("exp4p", "thompson", "ucb", "comb", "lal", "imitation", "oracle", "random-strategy", "adaptive")


def test_parameters_inside_a_strategy_are_separated_by_semicolons():
    strategies = parse_strategies(LIST)
    assert [strategy.name for strategy in strategies] == ["random", "margin", "uherding", "uherding"]
    assert (strategies[2].power, strategies[2].width) == (2, 0.5)
    assert (strategies[3].power, strategies[3].width) == (1, 1)
    given = parse_strategies(["uherding:power=2,width=0.5", make_strategy("margin")])
    assert (given[0].power, given[0].width, given[1].name) == (2, 0.5, "margin")


def test_two_settings_of_a_strategy_have_two_labels():
    assert load_policy(f"ucb:strategies={LIST}").labels == (
        "random",
        "margin",
        "uherding:power=2,width=0.5",
        "uherding",
    )


def test_the_shipped_list_is_that_of_the_shipped_policy(tmp_path, monkeypatch):
    assert load_policy("exp4p:strategies=shipped").labels == load_policy("shipped").agent.strategies
    (tmp_path / "policy.json").write_text(json.dumps({"strategies": ["kcenter", "margin"]}))
    before = load_policy("exp4p:strategies=shipped+probcover").fingerprint()
    monkeypatch.setattr(strategy_lists, "FOLDER", tmp_path)
    moved = load_policy("exp4p:strategies=shipped+probcover")
    assert moved.labels == ("kcenter", "margin", "probcover")
    assert moved.fingerprint() != before  # a restarted evaluation must notice
    (tmp_path / "policy.json").write_text(json.dumps({"strategies": ["os:getcwd"]}))
    with pytest.raises(PolicyError, match="trusted"):
        load_policy("exp4p:strategies=shipped")


def test_what_cannot_be_read_is_an_error():
    for text in ("margin++badge", "margin+", ""):
        with pytest.raises(ParameterError, match=r"separated by '\+'"):
            parse_strategies(text)
    with pytest.raises(UnknownNameError, match="power"):
        parse_strategies("margin+uherding:powr=2")


def test_all_policies_run_by_name_on_one_list():
    """One runner, equal seeds; the oracle alone is marked, and no two settings are mixed up in the results."""
    policies = [f"{name}:strategies={LIST}" for name in SWITCHING]
    policies += ["selectal:strategies=typiclust+random+uherding:power=2;width=0.5", "switch:first=uherding:width=2"]
    result = al_gym.evaluate(policies, tasks=[blobs(n=120)], seeds=1, rounds=4, pool_size=60, jobs=1)
    marked = {name for name, row in result.summary["policies"].items() if row["privileged"]}
    assert marked == {f"oracle:strategies={LIST}"}
    rows = result.results[result.results["round"] > 0]
    for name in SWITCHING:
        chosen = set(rows.loc[rows["policy"] == f"{name}:strategies={LIST}", "strategy"])
        assert chosen <= {"random", "margin", "uherding:power=2,width=0.5", "uherding"}
    assert len(set(rows["strategy"])) > 3
    first = rows[rows["policy"].str.startswith("switch") & (rows["round"] == 1)]
    assert first["strategy"].tolist() == ["uherding:width=2"]


@pytest.mark.parametrize("spec", ["switch:first=shipped", "switch:then=shipped"])
def test_a_side_of_switch_is_one_strategy(spec: str) -> None:
    with pytest.raises(ParameterError, match=r"must be one strategy, got 'shipped'"):
        load_policy(spec)
    assert load_policy("switch:first=uherding:power=2").labels == ("uherding:power=2", "margin-kcenter")
