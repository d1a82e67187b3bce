"""Distances, kernels and coverage against float64, on both implementations."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from pool_blocks import label, make_block
from sklearn.neighbors import NearestNeighbors

from al_gym.pool import Geometry, PoolArrays
from al_gym.pool.geometry import EXACT_ITEMS


@pytest.fixture(autouse=True, params=["numba", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test here runs on both implementations."""
    monkeypatch.setenv("AL_GYM_NO_NUMBA", "1" if request.param == "torch" else "0")
    return request.param


def pool_distances(arrays: PoolArrays, task: int) -> np.ndarray:
    X = arrays.X[task, : int(arrays.n_items[task])].double().numpy()
    return np.sqrt(((X[:, None, :] - X[None, :, :]) ** 2).sum(-1))


def neighbour_means(d: np.ndarray) -> np.ndarray:
    others = [np.sort(np.delete(row, i))[:20] for i, row in enumerate(d)]
    return np.array([near.mean() if len(near) else 0.0 for near in others])


ALL = torch.arange(5)


@pytest.fixture
def mixed() -> PoolArrays:
    """Pools of several sizes (one item, fewer than 20 neighbours, a power of two), widths and numbers of labels."""
    return make_block([1, 2, 13, 64, 150], features=[3, 1, 7, 24, 30], labels=[0, 1, 4, 9, 2], seed=2)


def test_neighbours_bandwidth_and_kernel(mixed: PoolArrays) -> None:
    geometry = Geometry(mixed)
    mean, h, K = geometry.neighbour_distance(ALL), geometry.bandwidth(ALL), geometry.kernel(ALL)
    for task, n in enumerate(mixed.n_items.tolist()):
        d = pool_distances(mixed, task)
        expected = neighbour_means(d)
        np.testing.assert_allclose(mean[task, :n], expected, rtol=1e-5)
        width = expected.mean() or 1.0
        assert h[task] == pytest.approx(width, rel=1e-5)
        np.testing.assert_allclose(K[task, :n, :n], np.exp(-(d**2) / (2 * width**2)), atol=1e-5)
        assert (K[task].diagonal()[:n] == 1).all()
        assert mean[task, n:].abs().sum() == K[task, n:].abs().sum() == K[task, :, n:].abs().sum() == 0


def test_kernel_alone_gives_the_same_bits(mixed: PoolArrays) -> None:
    geometry, other = Geometry(mixed), Geometry(mixed)
    geometry.kernel(ALL)
    assert torch.equal(geometry.bandwidth(ALL), other.bandwidth(ALL))
    assert torch.equal(geometry.neighbour_distance(ALL), other.neighbour_distance(ALL))
    assert torch.equal(geometry.kernel(ALL), other.kernel(ALL))


def test_a_row_does_not_depend_on_its_batch_mates(mixed: PoolArrays) -> None:
    together = Geometry(mixed)
    for task in range(5):
        alone, row = Geometry(mixed), torch.tensor([task])
        for name in ("bandwidth", "neighbour_distance", "kernel", "nearest_labelled", "coverage"):
            assert torch.equal(getattr(alone, name)(row)[0], getattr(together, name)(ALL)[task]), name


def test_squared_distances(mixed: PoolArrays) -> None:
    d2 = Geometry(mixed).squared_distances(ALL)
    for task, n in enumerate(mixed.n_items.tolist()):
        np.testing.assert_allclose(d2[task, :n, :n], pool_distances(mixed, task) ** 2, rtol=1e-5)
        assert d2[task, n:].isinf().all()
        assert d2[task, :, n:].isinf().all()


def assert_labels_known(geometry: Geometry, arrays: PoolArrays) -> None:
    near, covered = geometry.nearest_labelled(ALL), geometry.coverage(ALL)
    K = geometry.kernel(ALL)
    for task, n in enumerate(arrays.n_items[ALL].tolist()):
        chosen = [item for item in arrays.order[task].tolist() if item >= 0]
        assert near[task, n:].abs().sum() == covered[task, n:].abs().sum() == 0
        if not chosen:
            assert near[task, :n].isinf().all()
            assert (covered[task] == 0).all()
            continue
        np.testing.assert_allclose(near[task, :n], (pool_distances(arrays, task)[chosen] ** 2).min(0), rtol=1e-5)
        assert torch.equal(covered[task, :n], K[task, chosen, :n].amax(0))


def test_labels_round_by_round_unlabel_and_grow(mixed: PoolArrays) -> None:
    geometry = Geometry(mixed)
    assert_labels_known(geometry, mixed)
    label(mixed, 4, (~mixed.labelled[4, :150]).nonzero()[:3, 0].tolist(), [0, 1, 2])
    label(mixed, 0, [0], [1])
    assert_labels_known(geometry, mixed)
    for name in ("labelled", "count", "seen", "XL"):
        getattr(mixed, name)[3] = 0
    for name in ("y", "order", "yL"):
        getattr(mixed, name)[3] = -1
    geometry.unlabel(torch.tensor([3]))
    label(mixed, 3, [50], [0])
    assert_labels_known(geometry, mixed)
    kept = geometry.kernel(ALL)
    grown = mixed.grown(9)
    geometry.grow(grown)
    assert torch.equal(geometry.kernel(ALL), kept)
    label(grown, 2, (~grown.labelled[2, :13]).nonzero()[:1, 0].tolist(), [0])
    assert_labels_known(geometry, grown)


def test_a_cleared_row_forgets_its_task(mixed: PoolArrays) -> None:
    geometry = Geometry(mixed)
    geometry.kernel(ALL), geometry.coverage(ALL), geometry.nearest_labelled(ALL), geometry.gain_bounds(ALL)
    geometry.keep_gain_bounds(ALL, torch.ones(5, mixed.y.shape[1], dtype=torch.float64))
    mixed.X[4] *= 2
    geometry.clear(4)
    assert geometry.gain_bounds(torch.tensor([4])).isinf().all()
    assert (geometry.gain_bounds(torch.tensor([3])) == 1).all()
    fresh = Geometry(mixed)
    for name in ("bandwidth", "neighbour_distance", "kernel", "nearest_labelled", "coverage"):
        assert torch.equal(getattr(geometry, name)(ALL), getattr(fresh, name)(ALL)), name


def test_equal_items(mixed: PoolArrays) -> None:
    mixed.X[3] = mixed.X[3, :1]
    mixed.X[3, 64:] = 0
    geometry, row = Geometry(mixed), torch.tensor([3])
    assert geometry.bandwidth(row).item() == 1
    assert (geometry.kernel(row)[0, :64, :64] == 1).all()
    assert (geometry.nearest_labelled(row)[0] == 0).all()


def test_a_large_offset_keeps_small_distances(mixed: PoolArrays) -> None:
    """|a|^2 + |b|^2 - 2ab in float32 would lose them."""
    mixed.X[4, :150, :30] = (mixed.X[4, :150, :30] * 0.01 + 2000).contiguous()
    expected = neighbour_means(pool_distances(mixed, 4))
    np.testing.assert_allclose(Geometry(mixed).neighbour_distance(torch.tensor([4]))[0, :150], expected, rtol=1e-4)


def test_distant_items_have_kernel_zero(mixed: PoolArrays) -> None:
    mixed.X[4, 0, 0] = 1e6
    K = Geometry(mixed).kernel(torch.tensor([4]))[0]
    assert K[0, 1:].abs().max() == 0
    assert K.isfinite().all()


def test_pickle_leaves_out_the_caches(mixed: PoolArrays) -> None:
    geometry = Geometry(mixed)
    kernel = geometry.kernel(ALL)
    copy = pickle.loads(pickle.dumps(geometry))
    assert not len(copy._kernel)
    assert torch.equal(copy.kernel(ALL), kernel)


def test_large_pools_are_sampled() -> None:
    n = EXACT_ITEMS + 500
    arrays = make_block([n, n - 100], features=3, labels=5, seed=4)
    geometry, rows = Geometry(arrays), torch.arange(2)
    for task, size in enumerate((n, n - 100)):
        X = arrays.X[task, :size].numpy()
        exact = NearestNeighbors(n_neighbors=20).fit(X).kneighbors()[0].mean(1)
        assert geometry.bandwidth(rows)[task] == pytest.approx(exact.mean(), rel=0.05)
        rough = geometry.neighbour_distance(rows)[task, :size].double().numpy()
        assert np.corrcoef(rough, exact)[0, 1] > 0.9
        assert np.median(rough / exact) == pytest.approx(1, abs=0.15)
        chosen = geometry.random_items(rows, 1000)[task]
        assert len(set(chosen.tolist())) == 1000
        assert 0 <= chosen.min() <= chosen.max() < size
    alone = Geometry(arrays)
    assert torch.equal(alone.bandwidth(rows[1:]), geometry.bandwidth(rows)[1:])
    near, h = geometry.nearest_labelled(rows).double(), geometry.bandwidth(rows).double()
    valid = torch.arange(arrays.y.shape[1]) < arrays.n_items[:, None]
    expected = torch.exp(-near / (2 * h[:, None] ** 2)) * valid
    torch.testing.assert_close(geometry.coverage(rows).double(), expected, atol=1e-6, rtol=1e-4)
    assert not len(geometry._kernel)
