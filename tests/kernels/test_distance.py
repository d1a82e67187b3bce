"""Distances from tiles, counts, and means of the nearest, against numpy."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al_gym.pool.tiles import TILE, write_tiles

pytest.importorskip("numba")
distance, geometry, neighbours = (
    importlib.import_module(f"al_gym.kernels.{n}") for n in ("distance", "geometry", "neighbours")
)


def pool(items: int, features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (items, features) float32, and the same in tiles with one feature more than they have."""
    X = np.random.default_rng(seed).standard_normal((items, features)).astype(np.float32)
    tiles = np.zeros((-(-items // TILE), features + 1, TILE), np.float32)
    write_tiles(X, tiles)
    return X, tiles


def to_tiles(X: np.ndarray, tiles: np.ndarray, k: int, d: int) -> np.ndarray:
    out = np.empty((k, len(tiles) * TILE), np.float32)
    for t in range(len(tiles)):
        distance.tile_distances(k, d, X, tiles, t, out, t * TILE)
    return out


@pytest.mark.parametrize("features", [1, 7, 46])
@pytest.mark.parametrize("k", range(1, distance.ROWS + 1))
def test_distances_to_tiles(k: int, features: int) -> None:
    X, tiles = pool(150, features)
    found = to_tiles(X, tiles, k, features)
    expected = ((X[:k, None].astype(np.float64) - X[None]) ** 2).sum(-1)
    np.testing.assert_allclose(found[:, :150], expected, rtol=1e-5)
    for row in range(k):
        alone = to_tiles(X[row : row + 1], tiles, 1, features)
        np.testing.assert_array_equal(found[row], alone[0], err_msg="depends on what is computed beside it")


def test_pairs_are_symmetric_to_the_bit_and_inf_beyond() -> None:
    X, tiles = pool(150, 9)
    D = np.empty((160, 3 * TILE), np.float32)
    geometry.pair_distances(tiles, 150, 9, np.empty((distance.ROWS, 10), np.float32), D)
    np.testing.assert_array_equal(D[:150, :150], D[:150, :150].T)
    np.testing.assert_array_equal(D[149, :150], to_tiles(X[149:], tiles, 1, 9)[0, :150])
    assert np.isinf(D[:150, 150:]).all()
    assert (D[np.arange(150), np.arange(150)] == 0).all()


def test_products_and_copies() -> None:
    X, tiles = pool(100, 12)
    out = np.empty(TILE, np.float32)
    distance.tile_products(12, X[3].copy(), tiles, 1, out)
    np.testing.assert_allclose(out[:36], X[64:] @ X[3], rtol=1e-5, atol=1e-6)
    one = np.empty(12, np.float32)
    distance.copy_item(tiles, 70, one)
    np.testing.assert_array_equal(one, X[70])
    chosen = np.array([5, 99, 0])
    np.testing.assert_array_equal(geometry.tiles_of(X, chosen, 12)[0, :, :3], X[chosen].T)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0, np.inf, np.nan]), min_size=1, max_size=3 * TILE))
def test_counts(values: list[float]) -> None:
    padded = np.full(-(-len(values) // TILE) * TILE, np.inf, np.float32)
    padded[: len(values)] = values
    for bound in (0.0, 0.5, 1.5, 100.0):
        assert distance.count_up_to(padded, np.float32(bound)) == (padded <= bound).sum()


@settings(max_examples=300)
@given(
    values=st.lists(
        st.one_of(st.floats(0, 2.0**99, width=32), st.sampled_from([0.0, 1.0, 2.0, 3.0])), min_size=1, max_size=2 * TILE
    ),
    used=st.integers(0, 25),
    guess=st.sampled_from([0.0, 1e-30, 1.0, 3e4, np.inf]),
)
def test_mean_of_the_nearest_with_and_without_ties(values: list[float], used: int, guess: float) -> None:
    used = min(used, len(values))
    padded = np.full(2 * TILE, np.inf, np.float32)
    padded[: len(values)] = values
    expected = np.sqrt(np.sort(padded[: len(values)].astype(np.float64)))[:used].mean() if used else 0.0
    mean, _ = neighbours.nearest_mean(padded, used, np.float32(guess))
    assert mean == pytest.approx(expected, rel=2e-6)
    assert mean == neighbours.nearest_mean(padded, used, np.float32(5))[0], "depends on the guess"


def test_too_few_finite_distances_have_an_infinite_mean() -> None:
    values = np.full(TILE, np.inf, np.float32)
    values[:3] = 1
    assert neighbours.nearest_mean(values, 4, np.float32(1))[0] == np.inf
