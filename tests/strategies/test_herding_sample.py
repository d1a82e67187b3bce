"""MaxHerding on large pools: greedy coverage inside a fixed random sample, kept from round to round."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pool_blocks import label, make_block, make_view

from al_gym.pool.geometry import EXACT_ITEMS
from al_gym.pool.sample import KERNEL_SAMPLE
from al_gym.pool.view import PoolView
from al_gym.strategies import make_strategy

N = EXACT_ITEMS + 400
K = torch.tensor([5])
STRATEGY = make_strategy("maxherding")


def pick(view: PoolView, k: torch.Tensor = K) -> NDArray[np.int64]:
    return STRATEGY.select(view, k, view.stream("maxherding"))[0].numpy()


def greedy(view: PoolView, size: int) -> list[int]:
    """The definition, in float64."""
    items = view.geometry.sample.items(view.rows)[0].numpy()
    X, h = view.X[0].double().numpy(), float(view.bandwidth()[0])
    labelled = np.nonzero(view.labelled[0].numpy())[0].tolist()
    picks: list[int] = []
    for _ in range(size):
        d2 = ((X[items][:, None] - X[[*labelled, *picks]][None]) ** 2).sum(-1)
        covered = np.exp(-d2 / (2 * h * h)).max(axis=1)
        gain = {}
        for item in items.tolist():
            if item not in labelled and item not in picks:
                kernel = np.exp(-((X[items] - X[item]) ** 2).sum(-1) / (2 * h * h))
                gain[item] = np.maximum(kernel - covered, 0).sum()
        picks.append(max(gain, key=gain.__getitem__))
    return picks


def test_picks_are_the_greedy_ones_of_the_sample_in_every_round() -> None:
    arrays = make_block([N], features=3, labels=8, seed=2)
    view = make_view(arrays)
    for _ in range(3):
        picks = pick(view)
        assert picks.tolist() == greedy(view, 5)
        label(arrays, 0, picks, [0] * 5)
        arrays.round += 1
        kept = PoolView(arrays, view.geometry, view.rows)
        np.testing.assert_array_equal(pick(kept), pick(make_view(arrays)))  # what is kept changes nothing
        view = kept


def test_a_restart_forgets_labels_and_keeps_kernels() -> None:
    arrays = make_block([N], features=3, labels=8, seed=2)
    view = make_view(arrays)
    first = pick(view)
    label(arrays, 0, first, [0] * 5)
    pick(PoolView(arrays, view.geometry, view.rows))
    arrays.labelled[0, first] = False
    arrays.count[0] = 8
    view.geometry.unlabel(view.rows)
    np.testing.assert_array_equal(pick(PoolView(arrays, view.geometry, view.rows)), first)


def test_another_task_in_the_row_gets_its_own_sample() -> None:
    arrays = make_block([N, N], features=3, labels=8, seed=2)
    view = make_view(arrays, [0])
    before = view.geometry.sample.items(view.rows)
    pick(view)
    for name in ("X", "labelled", "y", "order", "n_items", "count", "key"):
        getattr(arrays, name)[0] = getattr(arrays, name)[1]
    view.geometry.clear(0)
    changed = PoolView(arrays, view.geometry, view.rows)
    assert not torch.equal(changed.geometry.sample.items(view.rows), before)
    np.testing.assert_array_equal(pick(changed), pick(make_view(arrays, [1])))


def test_more_rows_keep_what_is_known() -> None:
    arrays = make_block([N], features=3, labels=8, seed=2)
    view = make_view(arrays)
    first = pick(view)
    grown = arrays.grown(2)
    view.geometry.grow(grown)
    np.testing.assert_array_equal(pick(PoolView(grown, view.geometry, view.rows)), first)


@pytest.mark.parametrize("numba", ["0", "1"])
def test_an_exhausted_sample_falls_back_on_random_candidates(numba: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if numba == "0":
        monkeypatch.setenv("AL_GYM_NO_NUMBA", "1")
    arrays = make_block([N], features=3, labels=8, seed=2, budget=10)
    view = make_view(arrays)
    sample = view.geometry.sample.items(view.rows)[0]
    assert len(sample) == KERNEL_SAMPLE
    arrays.labelled[0, sample[3:]] = True
    picks = pick(PoolView(arrays, view.geometry, view.rows))
    assert len(set(picks.tolist())) == 5
    assert not arrays.labelled[0, picks].any()
    assert not set(picks.tolist()) <= set(sample.tolist())
