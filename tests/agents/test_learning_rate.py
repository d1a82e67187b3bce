"""The learning rate that falls during a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from runs import ALGORITHMS, arguments, change_config

from agents.schedule import with_schedule
from al_gym.errors import ParameterError
from train_policy import Arguments, main


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_the_rate_falls_along_a_line(algo: str, tmp_path: Path) -> None:
    given = arguments(tmp_path, "run", algo)
    change_config(given["config"], algorithm={"final_learning_rate": 0.004})
    progress = pd.read_csv(main(Arguments(**given)) / "progress.csv").dropna(subset=["train/learning_rate"])
    assert len(progress) > 1
    if algo == "dqn":  # its log is written when campaigns end, and holds the rate of the last update before
        assert progress["train/learning_rate"].between(0.004, 0.01, inclusive="neither").any()
        assert progress["train/learning_rate"].is_monotonic_decreasing
    else:  # a row holds the rate of the update after the rollout of the row before
        before = progress["time/total_timesteps"] - 24
        np.testing.assert_allclose(progress["train/learning_rate"], 0.01 - 0.006 * before / 144, rtol=1e-6)


def test_without_a_final_rate_nothing_changes() -> None:
    algorithm = {"learning_rate": 0.01, "gamma": 1.0}
    assert with_schedule(algorithm) == algorithm


def test_the_section_is_left_as_it_is() -> None:
    algorithm = {"learning_rate": 0.01, "final_learning_rate": 0}
    rate = with_schedule(algorithm)["learning_rate"]
    assert [rate(left) for left in (1.0, 0.5, 0.0)] == [0.01, 0.005, 0.0]
    assert algorithm == {"learning_rate": 0.01, "final_learning_rate": 0}


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ({"learning_rate": 0.01, "final_learning_rate": 0.02}, r"from 0 to learning_rate=0.01, got 0.02; without it"),
        ({"learning_rate": 0.01, "final_learning_rate": -1.0}, r"got -1.0"),
        ({"learning_rate": 0.01, "final_learning_rate": "slow"}, r"got 'slow'"),
        ({"learning_rate": 0.01, "final_learning_rate": float("nan")}, r"got nan"),
        ({"learning_rate": 0.01, "final_learning_rate": None}, r"got None"),
        ({"final_learning_rate": 0.0}, r"needs a learning_rate above 0 to fall from, got learning_rate=None"),
        ({"learning_rate": 0, "final_learning_rate": 0.0}, r"got learning_rate=0\."),
    ],
)
def test_an_impossible_rate_is_named(algorithm: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        with_schedule(algorithm)
