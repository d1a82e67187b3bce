"""Ranked batch against its definition, item by item."""

from __future__ import annotations

import naive
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_blocks import make_block, make_view

from al_gym.strategies import make_strategy


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), labels=st.integers(1, 6))
def test_ranked_batch(seed: int, labels: int) -> None:
    view = make_view(make_block([40, 25], features=[3, 7], classes=[2, 5], labels=labels, seed=seed))
    picks = make_strategy("ranked-batch").select(view, torch.tensor([5, 3]), view.stream("ranked-batch"))
    for task, size in enumerate((5, 3)):
        pool = naive.Pool(view, task)

        def score(done: list[int], item: int, pool: naive.Pool = pool) -> float:
            unlabelled, labelled = len(pool.candidates) - len(done), len(pool.labelled) + len(done)
            alpha = unlabelled / (unlabelled + labelled)
            similarity = 1 / (1 + naive.farthest(pool, done, item))
            return alpha * (1 - similarity) + (1 - alpha) * (1 - max(pool.p[item]))

        naive.assert_greedy(picks[task, :size].tolist(), pool.candidates, score)
