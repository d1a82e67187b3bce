"""The page about performance holds the tables that its script makes of the committed raw numbers."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def benchmarks(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    return repository / "benchmarks"


def test_the_tables_are_made_from_the_raw_numbers(benchmarks):
    import performance

    page, blocks = performance.PAGE.read_text(), performance.blocks()
    assert all(f"<!-- table {name} -->" in page for name in blocks)
    assert page.count("<!-- table ") == len(blocks)
    assert performance.fill(page, blocks) == page


def test_a_missed_target_is_called_missed(benchmarks):
    import performance

    found = performance.Throughput(performance.raw("throughput"))
    met = {row[0]: row[3] for row in performance.target_rows(found, share=0.6)}
    assert not met["share of the environment in `train_policy.py`"]
    assert performance.target_rows(found, share=0.4)[7][3]


def test_accuracies_are_compared_pair_by_pair(benchmarks):
    """Campaigns that differ by 50 points among one another, and by 1 to 3 points within a pair."""
    import performance

    pair = {"peer": "modAL", "task": "digits", "strategy": "margin", "ours": [0.4, 0.9], "theirs": [0.41, 0.93]}
    found = performance.Throughput({"rows": [], "accuracy": [pair]})
    assert found.gap() == pytest.approx((2.0, 1.0))
    assert found.lead("modAL", "digits", "entropy") is None
    assert performance.points(*found.gap()) == "2.0 ± 2.0 points"


def test_the_floor_counts_what_a_fit_needs(benchmarks):
    """Both forms by hand: 3 labels of 5 features over items, 6 labels of 2 features over features; 4 classes."""
    import floor
    import torch

    m, n, k, iterations = torch.tensor([[3, 6], [5, 2], [4, 4], [10, 10]])
    operations, read = floor.fit_work(m, n, k, iterations)
    items = 3 * 3 * 5 + 27 + 2 * 4 * 3 * 5 * 2 + 10 * (2 * 4 * 9 + 2 * 4 * 9 + 16 * 12)
    features = 2 * 6 * 2 + 8 + 2 * 4 * 6 * 2 + 10 * (2 * 4 * 4 + 2 * (2 * 4 * 6 * 2) + 16 * 24)
    assert operations.tolist() == [items, features]
    assert read.tolist() == [4 * (15 + 8 * 6), 4 * (12 + 8 * 3)]


def test_work_is_counted_while_campaigns_run(benchmarks):
    import floor
    import gymnasium as gym

    import al_gym  # noqa: F401

    arguments = {"tasks": "synthetic-small", "pool_size": 60, "validation_size": 30, "budget": 20, "batch_size": 1}
    env = gym.make_vec("al_gym/Strategy-v0", num_envs=2, autoreset_mode="Disabled", **arguments)
    found = floor.measure(env, 1, resets=False)
    assert found["rounds"] == 40
    assert found["fits"] == 40
    assert found["iterations"] > 0
    assert all(v > 0 for name in ("fit", "scores", "validation") for v in found["phases"][name].values())
    machine = {"product": 1e9, "sgemm": 2e9, "copy": 1e9}
    assert floor.floor_seconds({"operations": 4e9, "bytes": 1e9}, machine) == (2.0, "operations")
    assert floor.floor_seconds({"operations": 1e9, "bytes": 1e9}, machine) == (1.0, "memory")


def test_the_exponents_are_those_of_the_points(benchmarks, tmp_path):
    import growth

    content = json.loads(growth.RAW.read_text())
    for series, axes in growth.exponents(content["rows"]).items():
        for axis, found in axes.items():
            assert found == pytest.approx(content["exponents"][series][axis])
    rows = [dict(row, rounds_per_second=1e6 / row[row["axis"]] ** 2) for row in content["rows"]]
    for axis in growth.exponents(rows)["margin, light observation"].values():
        assert axis["exponent"] == pytest.approx(2)
        assert axis["steepest"] == pytest.approx(2)
    growth.draw(content, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_a_point_is_measured(benchmarks):
    import growth

    point = growth.Point(pool=60, labels=10, features=4, classes=2, envs=2)
    assert 0 < growth.seconds_per_round(point, growth.SERIES["margin, light observation"]) < 60


def test_phases_are_charged_without_what_they_call(benchmarks, monkeypatch):
    import profile_training

    clock = iter([0.0, 1.0, 4.0, 6.0])  # outer starts, inner starts, inner ends, outer ends
    monkeypatch.setattr(profile_training.time, "process_time", lambda: next(clock))
    phases = profile_training.Phases()
    inner = phases.timed("inner", lambda: None)
    phases.timed("outer", inner)()
    assert dict(phases.seconds) == {"inner": 3.0, "outer": 3.0}


def test_merging_replaces_the_rows_of_the_same_cell(benchmarks):
    import throughput

    old, other = throughput.Row("a", "t", "s", 64, 1.0, 0.5), throughput.Row("b", "t", "s", 64, 2.0, 0.5)
    content = {"rows": [vars(old), vars(other)], "threads": 1}
    new = [throughput.Row("a", "t", "s", num_envs, rate, 0.5) for num_envs, rate in ((64, 9.0), (256, 7.0))]
    throughput.merge(content, new)
    assert [row["steps_per_second"] for row in content["rows"]] == [9.0, 2.0, 7.0]
    assert content["threads"] == 1
