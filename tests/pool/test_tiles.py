"""Features in tiles: the layout, and campaigns that hold it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from al_gym import kernels, storage
from al_gym.campaign import Campaign
from al_gym.pool.tiles import TILE, allocate_tiles, read_tiles, write_tiles
from al_gym.tasks import Dataset
from al_gym.tasks.task import make_task

sizes = st.integers(1, 3 * TILE)


@given(items=sizes, features=st.integers(1, 9), more=st.tuples(st.integers(0, 2 * TILE), st.integers(0, 3)))
def test_tiles_hold_the_features_and_zeros_beyond(items, features, more):
    X = np.random.default_rng(items).standard_normal((items, features)).astype(np.float32)
    tiles = allocate_tiles(2, items + more[0], features + more[1]).fill_(7)
    write_tiles(X, tiles[1].numpy())
    back = read_tiles(tiles, items + more[0])
    assert back.shape == (2, items + more[0], features + more[1])
    expected = np.pad(X, ((0, more[0]), (0, more[1])))
    np.testing.assert_array_equal(back[1].numpy(), expected)
    assert np.abs(tiles[1].numpy()).sum(dtype=float) == pytest.approx(np.abs(X).sum(dtype=float))
    assert tiles[0].unique().tolist() == [7]


def dataset(items=700):
    rng = np.random.default_rng(0)
    return Dataset(
        "made-up", rng.standard_normal((items, 5)).astype(np.float32), rng.integers(0, 3, items), ("a", "b", "c")
    )


def loaded(learner, slots=12):
    """A campaign that has grown its storage, since a block starts with 8 rows."""
    campaign = Campaign(slots, learner=learner)
    tasks = [make_task(dataset(), seed, pool_size=200, test_size=150) for seed in range(slots)]
    campaign.load(np.arange(slots), tasks, [20] * slots)
    return campaign


@pytest.mark.skipif(not kernels.available(), reason="only compiled kernels read tiles")
@pytest.mark.parametrize("learner", ["softmax", "ridge"])
def test_a_campaign_of_linear_models_holds_tiles_of_pool_and_holdout(learner):
    campaign = loaded(learner)
    (block,) = campaign._order
    rows = torch.from_numpy(campaign._row)
    assert torch.equal(read_tiles(block.pool.tiles[rows], block.shape.items), block.pool.X[rows])
    assert block.hidden.X.dim() == 4
    for slot, task in enumerate(campaign.tasks):
        holdout = block.hidden.features(rows[slot : slot + 1])[0]
        np.testing.assert_array_equal(holdout[:150, :5].numpy(), task.arrays()[1])


def test_other_learners_hold_none():
    (block,) = loaded("gp")._order
    assert len(block.pool.tiles) == 0
    assert block.hidden.X.dim() == 3


@pytest.mark.skipif(not kernels.available(), reason="only compiled kernels read tiles")
def test_a_large_pool_has_none_and_the_same_results(monkeypatch):
    slots = np.arange(12)
    small = loaded("softmax")
    monkeypatch.setattr(storage, "MAPPED_BYTES", 2**10)
    large = loaded("softmax")
    assert [len(c._order[0].pool.tiles) > 0 for c in (small, large)] == [True, False]
    ((_, view),) = small.views(slots[:1])
    for campaign in (small, large):
        campaign.reveal(slots[:1], np.flatnonzero(view.candidates[0].numpy())[None, :4])
    assert small.accuracy(slots).tolist() == large.accuracy(slots).tolist()
    pools = [c._order[0].pool.proba[torch.from_numpy(c._row)] for c in (small, large)]
    n = min(p.shape[2] for p in pools)
    assert torch.equal(*(p[:, :3, :n].contiguous() for p in pools))
