"""The page about costs of rounds holds the tables that its script makes of the committed raw numbers."""

from pathlib import Path

import pytest

from al_gym import load_policy


@pytest.fixture
def script(repository: Path, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import round_cost

    return round_cost


def test_the_tables_are_made_from_the_raw_numbers(script):
    page = script.PAGE.read_text()
    assert script.fill(page, script.blocks()) == page
    assert all(f"<!-- table {name} -->" in page for name in script.blocks())


@pytest.mark.parametrize("kind", ["tune", "valid", "test"])
def test_the_raw_numbers_are_those_of_the_script(script, kind):
    raw = script.read(kind)
    assert set(script.policies_of(kind, [])) <= set(raw["policy"])
    assert raw["seed"].nunique() == script.SEEDS[kind]
    assert (raw["utility"] - (raw["aulc"] - script.COST * raw["rounds"])).abs().max() < 1e-5
    parts = ("train", "valid") if kind == "tune" else (kind,)
    names = [name for part in parts for name in (script.SPLITS / f"{part}.txt").read_text().split()]
    assert sorted(raw["dataset"].unique()) == sorted(names)


def test_the_schedule_was_the_best_of_those_tuned(script):
    mean = script.read("tune").groupby("policy")["utility"].mean()
    assert mean.idxmax() in script.schedule(script.TUNED)


def test_the_policy_knows_the_price_it_was_trained_for(script):
    training = load_policy(script.POLICY).agent.training
    assert training["environment"]["round_cost"] == script.COST
    assert training["arguments"]["datasets"] == "benchmarks/splits/train.txt"
