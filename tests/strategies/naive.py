"""Query strategies item by item in float64, written from their definitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from al_gym.pool import PoolView


class Pool:
    """One task of a view as float64 arrays of true size."""

    def __init__(self, view: PoolView, task: int) -> None:
        n, d, C = (int(size[task]) for size in (view.n_items, view.n_features, view.n_classes))
        self.X = view.X[task, :n, :d].numpy().astype(float)
        self.p = view.proba[task, :C, :n].numpy().astype(float).T
        self.labelled = [int(item) for item in view.order[task] if item >= 0]
        self.candidates = [item for item in range(n) if item not in self.labelled]

    @property
    def margin(self) -> list[float]:
        return [sorted(p)[-1] - sorted(p)[-2] for p in self.p]


def distance(x: np.ndarray, z: np.ndarray) -> float:
    return float(np.sqrt(sum((a - b) ** 2 for a, b in zip(x, z, strict=True))))


def bandwidth(X: np.ndarray) -> float:
    """Mean over items of the mean distance to the 20 nearest others; 1 if that is 0."""
    means = []
    for i in range(len(X)):
        near = sorted(distance(X[i], X[j]) for j in range(len(X)) if j != i)[:20]
        means.append(sum(near) / len(near) if near else 0.0)
    h = sum(means) / len(means)
    return h if h > 0 else 1.0


def kernel(X: np.ndarray, h: float) -> np.ndarray:
    return np.array([[np.exp(-(distance(x, z) ** 2) / (2 * h * h)) for z in X] for x in X])


def uncertainty_scores(pool: Pool, name: str) -> list[float]:
    if name == "margin":
        return [-m for m in pool.margin]
    if name == "entropy":
        return [-sum(q * np.log(q) for q in p if q > 0) for p in pool.p]
    return [1 - max(p) for p in pool.p]


def farthest(pool: Pool, done: list[int], item: int) -> float:
    """Distance to the nearest labelled or picked item."""
    return min((distance(pool.X[item], pool.X[z]) for z in pool.labelled + done), default=np.inf)


def coverage_gain(K: np.ndarray, weight: np.ndarray, centers: list[int], item: int) -> float:
    """What an item adds to the weighted kernel coverage of the pool."""
    total = 0.0
    for i in range(len(K)):
        covered = max((K[z, i] for z in centers), default=0.0)
        total += weight[i] * max(0.0, K[item, i] - covered)
    return total


def gradients(pool: Pool) -> np.ndarray:
    """(items, classes * features) gradient embeddings of BADGE."""
    rows = []
    for x, p in zip(pool.X, pool.p, strict=True):
        error = p.copy()
        error[p.argmax()] -= 1
        rows.append(np.outer(error, x).ravel())
    return np.array(rows)


def assert_greedy(
    picks: list[int], allowed: list[int], gain: Callable[[list[int], int], float], tolerance: float = 2e-6
) -> None:
    """Each pick has the largest gain given the earlier ones, up to float32 rounding of near-ties."""
    for j, item in enumerate(picks):
        left = [other for other in allowed if other not in picks[:j]]
        assert item in left
        gains = {other: gain(picks[:j], other) for other in left}
        best = max(gains.values())
        assert gains[item] >= best - tolerance * max(1.0, abs(best)) or gains[item] == best, (
            j,
            item,
            gains[item],
            best,
        )
