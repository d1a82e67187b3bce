"""From what a user writes to a policy."""

import sys

import pytest
from sample_data import blobs

import al_gym
from al_gym.errors import ParameterError, PolicyError, UnknownNameError
from al_gym.policies import FixedStrategy, load_policy, resolve_policies
from al_gym.policies.calling import CallablePolicy
from al_gym.policies.learned import SPEC, LearnedPolicy
from al_gym.policies.shipped_policy import FOLDER
from al_gym.policies.switch import Switch
from al_gym.strategies import make_strategy

MODULE = """
from al_gym.policies import FixedStrategy, Policy
from al_gym.policies.switch import Switch
from al_gym.strategies import make_strategy

instance = Switch(rounds=1)
strategy = make_strategy("badge")
number = 3

class Mine(Switch):
    name = "mine"

def factory():
    return FixedStrategy(make_strategy("entropy"))

def names(context):
    return "margin"

def wrong():
    return 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "some_policies.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "some_policies"
    sys.modules.pop("some_policies", None)


def test_names_of_policies_and_strategies():
    assert isinstance(load_policy("switch:rounds=2"), Switch)
    assert load_policy("switch:rounds=2").rounds == 2
    uherding = load_policy("uherding:power=2")
    assert isinstance(uherding, FixedStrategy)
    assert uherding.strategies[0].power == 2
    assert uherding.name == "uherding:power=2"
    assert load_policy("margin:batch=10").batch == 10


def test_objects_pass():
    policy = Switch()
    assert load_policy(policy) is policy
    assert load_policy(make_strategy("badge")).strategies[0].name == "badge"
    assert isinstance(load_policy(lambda context: "margin"), CallablePolicy)
    assert isinstance(load_policy(Switch), Switch)


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        ("instance", Switch),
        ("strategy", FixedStrategy),
        ("Mine", Switch),
        ("factory", FixedStrategy),
        ("names", CallablePolicy),
    ],
)
def test_module_and_attribute(module, attribute, kind):
    assert isinstance(load_policy(f"{module}:{attribute}"), kind)


@pytest.mark.parametrize("attribute", ["number", "wrong", "absent"])
def test_an_attribute_that_is_no_policy(module, attribute):
    with pytest.raises(PolicyError, match=attribute):
        load_policy(f"{module}:{attribute}")


def test_unknown_names_list_the_closest():
    with pytest.raises(UnknownNameError, match="'margin'"):
        load_policy("margni")
    with pytest.raises(UnknownNameError, match="'uherding'"):
        load_policy("uherdin:power=2")
    with pytest.raises(UnknownNameError, match="'power'"):
        load_policy("uherding:powr=2")
    with pytest.raises(PolicyError, match="no_such_module"):
        load_policy("no_such_module:policy")
    with pytest.raises(PolicyError, match="no folder"):
        load_policy("runs/absent")


def test_a_folder_without_a_policy(tmp_path):
    with pytest.raises(PolicyError, match=r"policy\.json"):
        load_policy(str(tmp_path))
    with pytest.raises(PolicyError, match=r"policy\.json"):
        load_policy(tmp_path)


def test_a_pickle_is_refused_unless_trusted(tmp_path):
    path = tmp_path / "model.zip"
    path.write_bytes(b"not a zip")
    with pytest.raises(PolicyError, match="trusted"):
        load_policy(path)
    with pytest.raises(PolicyError, match="not a model"):
        load_policy(path, trusted=True)


def test_shipped_loads_or_says_what_to_do():
    if (FOLDER / SPEC).is_file():
        policy = al_gym.load_policy("shipped")
        assert isinstance(policy, LearnedPolicy)
        assert policy.observer is not None
    else:
        with pytest.raises(PolicyError, match=r"train_policy\.py"):
            al_gym.load_policy("shipped")


def test_the_policy_for_costly_rounds_takes_batches_of_its_choices():
    policy = al_gym.load_policy("shipped-round-cost")
    assert policy.agent.env_id == "al_gym/StrategyBudget-v0"
    rows = al_gym.evaluate(
        {"p": policy}, tasks=[blobs()], seeds=3, pool_size=90, test_size=60, rounds=10, round_cost=0.002, jobs=1
    ).results
    asked = rows[rows["round"] > 0]
    last = asked.groupby("seed")["round"].transform("max") == asked["round"]
    assert set(asked.loc[~last, "batch"]) <= set(policy.agent.batch_choices)
    assert set(asked["strategy"]) <= set(policy.labels)
    assert asked.groupby("seed")["batch"].sum().eq(50).all()


def test_naming_rules(tmp_path):
    from test_learned import random_policy

    random_policy().save(tmp_path / "my-run")
    names = resolve_policies(
        [
            "margin",
            "uherding:power=2",
            "m=margin:batch=10",
            "u=uherding:power=2",
            str(tmp_path / "my-run"),
            f"r={tmp_path / 'my-run'}",
        ]
    )
    assert list(names) == ["margin", "uherding:power=2", "m", "u", "my-run", "r"]
    assert names["m"].batch == 10
    assert names["u"].strategies[0].power == 2


@pytest.mark.parametrize("policies", [["margin", "margin"], ["a=margin", "a=badge"], ["badge=margin", "badge"]])
def test_a_name_twice_is_an_error(policies):
    with pytest.raises(ParameterError, match="two policies are called"):
        resolve_policies(policies)


@pytest.mark.parametrize("policies", [[], {}, ["=margin"], ["a="]])
def test_no_policy_or_no_name(policies):
    with pytest.raises(ParameterError):
        resolve_policies(policies)


def test_fingerprints_tell_policies_apart(tmp_path):
    texts = [load_policy(spec).fingerprint() for spec in ("margin", "margin:batch=2", "switch", "switch:rounds=2")]
    assert len(set(texts)) == 4
    assert load_policy("uherding: power=2").fingerprint() == load_policy("uherding:power=2").fingerprint()
    objects = [FixedStrategy(load_policy(f"uherding:power={p}").strategies[0]).fingerprint() for p in (1, 2)]
    assert objects[0] != objects[1]
