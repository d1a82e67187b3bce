"""The record that rendering shows."""

from __future__ import annotations

import numpy as np

from al_gym.envs.history import History


def test_rounds_are_kept_for_each_campaign_beyond_the_first_storage() -> None:
    history = History(3)
    history.start(np.array([0, 2]), np.array([0.5, 0.25]))
    for step in range(20):
        history.append(np.array([2]), np.array([step % 2]), np.array([step]), np.array([step / 20]))
    assert history[1] == []
    assert history[0] == [{"strategy": -1, "batch": 0, "accuracy": 0.5}]
    assert len(history[2]) == 21
    assert history[2][20] == {"strategy": 1, "batch": 19, "accuracy": 0.95}
    history.start(np.array([2]), np.array([0.75]))
    assert history[2] == [{"strategy": -1, "batch": 0, "accuracy": 0.75}]
