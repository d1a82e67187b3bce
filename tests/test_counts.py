"""The check of counts in CI notices what it is for."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def counts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("counts", ROOT / "benchmarks" / "counts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_counts_operators_and_the_tensors_that_they_create(counts: ModuleType) -> None:
    def run() -> None:
        a = torch.ones(100, 10)  # 4,000 bytes
        a[:5].add_(1)  # a view and an operation in place create nothing
        a.mul(2)  # 4,000 bytes

    found = counts.count(run, 3)
    assert found["torch_operators"] == 4
    assert found["torch_bytes"] == 8000


def test_counts_calls_and_bytes_of_numpy(counts: ModuleType) -> None:
    few = counts.count(lambda: np.ones(1000), 2)
    many = counts.count(lambda: [np.ones(1000) for _ in range(10)], 2)
    assert 8000 <= few["held_bytes"] < 20_000
    assert many["held_bytes"] >= 80_000
    assert many["function_calls"] > 5 * few["function_calls"]


def test_a_count_that_grows_by_more_than_a_tenth_is_named(counts: ModuleType) -> None:
    committed = {"a step": {"torch_operators": 100, "held_bytes": 1000}}
    assert counts.grown({"a step": {"torch_operators": 110, "held_bytes": 10}}, committed) == []
    (line,) = counts.grown({"a step": {"torch_operators": 111, "held_bytes": 1000}}, committed)
    assert "torch_operators is 111, committed 100" in line
    assert counts.grown({"another": {"held_bytes": 1}}, committed)


def test_the_committed_counts_are_those_that_the_check_reads(counts: ModuleType) -> None:
    committed = json.loads(counts.COMMITTED.read_text())
    assert set(committed) == {f"{r}, {what}" for r in ("gain_per_label", "advantage") for what in ("step", "reset")}
    assert all(value > 0 for cell in committed.values() for value in cell.values())
