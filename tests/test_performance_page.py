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

    found = performance.Throughput(performance.raw("throughput")["rows"])
    met = {row[0]: row[3] for row in performance.target_rows(found, share=0.6)}
    assert not met["share of the environment in `train_policy.py`"]
    assert performance.target_rows(found, share=0.4)[7][3]


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


def test_merging_replaces_the_rows_of_the_same_cell(benchmarks, tmp_path):
    import throughput

    old, other = throughput.Row("a", "t", "s", 64, 1.0, 0.5), throughput.Row("b", "t", "s", 64, 2.0, 0.5)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"rows": [vars(old), vars(other)], "threads": 1}))
    throughput.merge(path, [throughput.Row("a", "t", "s", 64, 9.0, 0.5), throughput.Row("a", "t", "s", 256, 7.0, 0.5)])
    content = json.loads(path.read_text())
    assert [row["steps_per_second"] for row in content["rows"]] == [9.0, 2.0, 7.0]
    assert content["measured_alone"] == ["a"]
    assert content["threads"] == 1
