"""The pages about the blend and the shipped policy say what their raw files say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), str(ROOT), *sys.path])


def replaced(page: str) -> str:
    """The page with every number of its filled tables changed."""
    lines = [line.replace("0", "7").replace("1", "8") if line.startswith("| ") else line for line in page.splitlines()]
    return "\n".join(lines) + "\n"


def test_blend(scripts: None) -> None:
    import blend

    page = blend.PAGE.read_text()
    assert blend.render(page) == page
    assert replaced(page) != page
    assert blend.render(replaced(page)) == page


def test_model_card(scripts: None) -> None:
    import ceilings
    import model_card
    import pandas as pd
    import policy_grid
    from page_tables import fill

    page = model_card.PAGE.read_text()
    regimes = regimes_of(model_card)
    assert [regime.name for regime in regimes][:4] == ["5x20", "20x10", "noise-15", "imbalanced"]
    content = model_card.blocks(regimes, model_card.read_manifest(model_card.RAW / "manifest.csv"))
    content |= {"ceilings": ceilings.ceilings(pd.read_csv(ceilings.RAW))}
    assert fill(page, content | policy_grid.tables()) == page
    assert fill(replaced(page), content | policy_grid.tables()) == page


def regimes_of(model_card: ModuleType) -> list:
    names = json.loads((model_card.RAW / "order.json").read_text())
    return [model_card.read(model_card.RAW / name) for name in names]
