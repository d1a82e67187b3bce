"""The page about adapting in a campaign holds the tables that its script makes of the committed raw numbers."""

from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture
def script(repository: Path, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import adaptive

    return adaptive


def test_the_tables_are_made_from_the_raw_numbers(script):
    page = script.PAGE.read_text()
    assert set(script.blocks()) == {name for studies in script.STUDIES.values() for name in studies}
    assert script.fill(page, script.blocks()) == page


def test_the_raw_numbers_are_those_of_the_studies(script):
    for studies in script.STUDIES.values():
        for name, study in studies.items():
            raw = pd.read_csv(script.RAW / f"{name}.csv")
            assert list(dict.fromkeys(raw["policy"])) == list(study.policies)
            assert raw["seed"].nunique() == study.seeds
            assert (raw["utility"] - (raw["aulc"] - study.cost * raw["rounds"])).abs().max() < 1e-5


def test_a_study_runs(script):
    study = script.Study("synthetic-small", "test", 1, {"a": "adaptive", "m": "margin:batch=2"}, 0.01, 2, {"rounds": 2})
    raw = study.run(jobs=1)
    assert len(raw) == 4
    assert raw["dataset"].nunique() == 2
    assert "| a |" in script.comparison(raw, "utility", "m")
