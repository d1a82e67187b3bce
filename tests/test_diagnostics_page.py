"""The page of the diagnostic tasks is what its script makes of the committed raw numbers."""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest

from al_gym.tasks.diagnostic import DIAGNOSES


@pytest.fixture(scope="module")
def script(repository: Path):
    spec = importlib.util.spec_from_file_location("diagnostics", repository / "benchmarks" / "diagnostics.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_raw_numbers(script, tmp_path):
    raw = pd.read_csv(script.RAW)
    assert list(raw["policy"].unique()) == list(script.POLICIES)
    assert script.PAGE.read_text() == script.page(raw)
    script.draw(raw, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_differences_are_paired_and_in_points(script):
    values = {"margin": [0.5, 0.7], "shipped": [0.52, 0.71]}
    rows = [(DIAGNOSES[0].name, "d", seed, p, v) for p, row in values.items() for seed, v in enumerate(row)]
    table = script.differences(pd.DataFrame(rows, columns=["trap", "dataset", "seed", "policy", "aulc"]), DIAGNOSES[0])
    assert table.loc["shipped"].round(6).tolist() == [61.5, 1.5, 1.0, 2.0]
    assert table.loc["margin", "difference"] == 0
