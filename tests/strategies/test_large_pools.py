"""Pools too large for a matrix of pairs: strategies work on subsets, and say so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view

from al_gym.pool.geometry import EXACT_ITEMS
from al_gym.strategies import STRATEGIES, make_strategy

N = EXACT_ITEMS + 400


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_picks_without_a_matrix_of_pairs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = make_block([N, N - 200], features=4, labels=8, seed=1)
    strategy, k = make_strategy(name), torch.tensor([6, 3])
    view = make_view(arrays)
    fast = strategy.select(view, k, view.stream(name))
    assert not len(view.geometry._kernel)
    for task, size in enumerate(k.tolist()):
        chosen = fast[task, :size]
        assert len(set(chosen.tolist())) == size
        assert view.candidates[task, chosen].all()
    alone = make_view(arrays, [1])
    np.testing.assert_array_equal(strategy.select(alone, k[1:], alone.stream(name)), fast[1:, :3])
    monkeypatch.setenv("AL_GYM_NO_NUMBA", "1")
    plain = make_view(arrays)
    np.testing.assert_array_equal(strategy.select(plain, k, plain.stream(name)), fast)


@pytest.mark.parametrize("name", ["maxherding", "uherding"])
def test_docstring_gives_the_rule(name: str) -> None:
    assert f"{EXACT_ITEMS:,}" in (STRATEGIES.get(name).__doc__ or "")
