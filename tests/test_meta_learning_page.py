"""The page about meta-learning says what the raw files say."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_tables_are_those_of_the_raw_files(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import meta_learning_page

    page = (ROOT / "docs" / "meta-learning.md").read_text()
    assert meta_learning_page.render(page) == page
    changed = page.replace("| `mlp` |", "| `mlp!` |")
    assert changed != page
    assert meta_learning_page.render(changed) == page
