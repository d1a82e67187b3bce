"""The comparison of all strategies holds what its script makes of the raw files, and the raw files hold them all."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

import al_gym
from al_gym.strategies import STRATEGIES

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), str(ROOT), *sys.path])
    import strategies

    return strategies


def test_the_tables_are_made_from_the_raw_files(script) -> None:
    page = script.PAGE.read_text()
    lines = [line.replace("0", "7").replace("1", "8") if line.startswith("| ") else line for line in page.splitlines()]
    changed = "\n".join(lines) + "\n"
    assert changed != page
    assert script.render(page) == page
    assert script.render(changed) == page


def test_every_strategy_ran_on_twenty_datasets_beside_random(script) -> None:
    campaigns, _, missing = script.whole()
    assert not missing, "run benchmarks/strategies.py"
    assert set(campaigns["strategy"]) == set(al_gym.list_strategies())
    random = campaigns[campaigns["strategy"] == "random"].set_index(["judge", "dataset", "seed"])
    for name, own in campaigns.groupby("strategy"):
        assert own["dataset"].nunique() == 20
        assert set(own.groupby("dataset").size()) == {script.seeds_of(name)}
        assert own.set_index(["judge", "dataset", "seed"]).index.isin(random.index).all()
        assert own["aulc"].between(0, 1).all()
        assert (own["rounds"] <= 20).all()


def test_a_strategy_far_behind_random_says_why(script) -> None:
    for name in script.behind(script.whole()[0]):
        text = " ".join((STRATEGIES.get(name).__doc__ or "").split())
        assert "**loses** to random" in text, f"{name} is more than 5 points behind random; say why on its page"


def test_the_differences_are_paired(script) -> None:
    campaigns = pd.DataFrame(
        [
            {"judge": "synthetic", "dataset": dataset, "seed": seed, "strategy": name, "aulc": aulc}
            for dataset, base in (("a", 0.5), ("b", 0.9))
            for name, lead, seeds in (("random", 0.0, 5), ("good", 0.01, 3), ("bad", -0.2, 5))
            for seed in range(seeds)
            for aulc in [base + lead + 0.02 * seed]
        ]
    )
    own, base, names = script.scores(campaigns, "good", "synthetic")
    assert own.shape == base.shape == (2, 3)
    assert names == ["a", "b"]
    assert own - base == pytest.approx(0.01)
    assert script.behind(campaigns) == {"bad": pytest.approx(-0.2)}


def test_a_strategy_is_measured_and_kept(script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "RAW", tmp_path / "raw")
    monkeypatch.setattr(script, "SEEDS", 1)
    monkeypatch.setattr(script, "datasets", lambda judge: ["iris", "wine"])
    monkeypatch.setattr(script, "JUDGES", {"bundled": "bundled"})
    script.measure(["random", "margin"], again=False)
    first, costs = script.read()
    assert len(first) == 4
    assert (costs["rounds"] > 0).all()
    script.measure(["random", "margin"], again=False)
    pd.testing.assert_frame_equal(script.read()[1], costs)
    script.measure(["margin"], again=True)
    pd.testing.assert_frame_equal(script.read()[0], first)
