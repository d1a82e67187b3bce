"""Keyed random streams."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from al_gym.streams import Stream, task_key

KEYS = np.array([task_key(b"a" * 16, s) for s in range(5)], np.uint64)
ROUNDS = np.arange(5)


def test_draws_do_not_depend_on_batch_or_width() -> None:
    whole = Stream.of(KEYS, ROUNDS, "margin").uniform(50)
    alone = Stream.of(KEYS[3:4], ROUNDS[3:4], "margin").uniform(20)
    assert np.array_equal(whole[3:4, :20], alone)
    assert np.array_equal(Stream.of(KEYS, ROUNDS, "margin").take(np.array([3])).uniform(20), alone)


def test_name_round_draw_and_key_each_change_the_draws() -> None:
    base = Stream.of(KEYS, ROUNDS, "margin").uniform(30)
    others = [
        Stream.of(KEYS, ROUNDS, "entropy").uniform(30),
        Stream.of(KEYS, ROUNDS + 1, "margin").uniform(30),
        Stream.of(KEYS, ROUNDS, "margin").uniform(30, draw=1),
        Stream.of(KEYS, ROUNDS, "margin").child("x").uniform(30),
        Stream.of(KEYS[::-1].copy(), ROUNDS, "margin").uniform(30),
    ]
    for other in others:
        assert (np.isclose(base, other).mean(axis=1) < 0.2)[[0, 1, 3, 4]].all()


def test_uniform_and_normal_have_their_distributions() -> None:
    stream = Stream.of(KEYS, ROUNDS, "check")
    assert stats.kstest(stream.uniform(4000).ravel(), "uniform").pvalue > 0.001
    assert stats.kstest(stream.normal(4000).ravel(), "norm").pvalue > 0.001
    assert stats.kstest(stream.gumbel(4000).ravel(), "gumbel_r").pvalue > 0.001
    lag = np.corrcoef(stream.uniform(4000)[0, :-1], stream.uniform(4000)[0, 1:])[0, 1]
    assert abs(lag) < 0.05


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.binary(min_size=16, max_size=32))
def test_task_keys_differ_by_seed(a: int, b: int, digest: bytes) -> None:
    assert (task_key(digest, a) == task_key(digest, b)) == (a == b)
