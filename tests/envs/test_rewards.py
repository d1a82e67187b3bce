"""Rewards by the campaign rules, against direct integration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from al_gym.envs.rewards import REWARDS, Reference, Transition


def transition(**changes: object) -> Transition:
    base = {
        "before": np.array([0.5]), "after": np.array([0.7]), "batch": np.array([5]), "spent": np.array([15]),
        "budget": np.array([50]), "ended": np.array([False]), "stopped": np.array([False]),
    }  # fmt: skip
    return Transition(**(base | changes))  # type: ignore[arg-type]


def curve_area(labels: list[int], accuracy: list[float], end: float) -> float:
    """Trapezoid of a piece-wise linear curve from 0 to `end`, flat after its last point; on a fine grid."""
    grid = np.linspace(0, end, 20001)
    return float(np.trapezoid(np.interp(grid, labels, accuracy), grid))


def test_gain_per_label_divides_the_gain() -> None:
    assert np.isclose(REWARDS.make("gain_per_label")(transition())[0], 0.2 / 5)
    stop = transition(after=np.array([0.5]), batch=np.array([0]), stopped=np.array([True]), ended=np.array([True]))
    assert REWARDS.make("gain_per_label")(stop)[0] == 0


@given(st.lists(st.tuples(st.integers(1, 20), st.floats(0, 1)), min_size=1, max_size=8), st.integers(0, 30))
def test_aulc_rewards_add_up_to_the_area(rounds: list[tuple[int, float]], unspent: int) -> None:
    labels = np.concatenate([[0], np.cumsum([b for b, _ in rounds])])
    accuracy = np.concatenate([[0.3], [a for _, a in rounds]])
    budget = int(labels[-1]) + unspent
    aulc = REWARDS.make("aulc")
    total = 0.0
    for i, (batch, after) in enumerate(rounds):
        total += aulc(
            transition(
                before=accuracy[i : i + 1],
                after=np.array([after]),
                batch=np.array([batch]),
                spent=labels[i + 1 : i + 2],
                budget=np.array([budget]),
                ended=np.array([i == len(rounds) - 1]),
            )
        )[0]
    assert np.isclose(total, curve_area(labels.tolist(), accuracy.tolist(), budget) / budget, atol=1e-3)


@given(st.integers(0, 60))
def test_reference_integral_is_the_area_under_its_curve(end: int) -> None:
    labels, accuracy = [0, 5, 10, 12, 12], [0.2, 0.5, 0.45, 0.8, 0.8]
    ours = Reference(np.array([labels]), np.array([accuracy])).integral(np.array([end]))[0]
    assert np.isclose(ours, curve_area(labels[:4], accuracy[:4], end), atol=2e-3 * max(end, 1))


def test_advantage_of_the_reference_over_itself_is_zero() -> None:
    spent, accuracy = np.array([[0, 5, 10, 15]]), np.array([[0.2, 0.5, 0.4, 0.9]])
    reference = Reference(spent, accuracy)
    advantage = REWARDS.make("advantage")
    for i in range(3):
        t = transition(
            before=accuracy[:, i], after=accuracy[:, i + 1], batch=np.array([5]), spent=spent[:, i + 1],
            budget=np.array([40]), ended=np.array([i == 2]), reference=reference,
        )  # fmt: skip
        assert np.isclose(advantage(t)[0], 0, atol=1e-12)


def test_steps_to_target_counts_labels_and_charges_a_stop() -> None:
    reward = REWARDS.make("steps_to_target")
    assert reward(transition())[0] == -5
    stop = transition(batch=np.array([0]), stopped=np.array([True]), ended=np.array([True]))
    assert reward(stop)[0] == -35


@pytest.mark.parametrize("name", ["gain_per_label", "aulc", "advantage", "steps_to_target"])
def test_every_reward_is_listed_with_a_line(name: str) -> None:
    assert len(REWARDS.describe()[name]) > 20
