"""K-means with keyed seeding on one pool: what clustering strategies share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_ITERATIONS = 100
_CHUNK = 1 << 22  # distances held at once


class Clusters(NamedTuple):
    """Attributes: labels (n,) int64, the cluster of each item; centers (k, features) float64, unused ones included."""

    labels: Ints
    centers: Doubles


def k_means(X: NDArray[np.floating], k: int, draws: Doubles, weight: Doubles | None = None) -> Clusters:
    """Lloyd's algorithm until no item changes its cluster, from k-means++ seeds (Arthur & Vassilvitskii 2007).

    Args:
        X: (n, features), n at least 1.
        k: number of clusters, at least 1; of fewer distinct items some clusters stay empty.
        draws: (k,) in [0, 1), the randomness of the seeds.
        weight: (n,) non-negative; ones if None or if all are 0.
    """
    data = X.astype(np.float64)
    data -= data.mean(axis=0)
    shift = X.mean(axis=0, dtype=np.float64)
    weights = np.ones(len(data)) if weight is None or not weight.any() else weight.astype(np.float64)
    centers = data[_seeds(data, k, draws, weights)]
    labels = np.full(len(data), -1)
    for _ in range(MAX_ITERATIONS):
        nearest = _nearest(data, centers)
        if (nearest == labels).all():
            break
        labels = nearest
        _move(data, labels, weights, centers)
    return Clusters(labels, centers + shift)


def _seeds(data: Doubles, k: int, draws: Doubles, weight: Doubles) -> Ints:
    """(k,) items, each drawn in proportion to its weight times the squared distance to those before it."""
    seeds, mass = np.zeros(k, np.int64), weight
    nearest = np.full(len(data), np.inf)
    for j in range(k):
        reached = mass.cumsum()
        seeds[j] = min(np.searchsorted(reached, draws[j] * reached[-1], side="right"), reached.argmax())
        gap = data - data[seeds[j]]
        nearest = np.minimum(nearest, np.einsum("ij,ij->i", gap, gap))
        mass = weight * nearest
        if not mass.any():
            mass = weight
    return seeds


def _nearest(data: Doubles, centers: Doubles) -> Ints:
    """(n,) the nearest center of each item, the first of equal ones."""
    half = 0.5 * np.einsum("ij,ij->i", centers, centers)
    step = max(1, _CHUNK // len(centers))
    parts = [half - data[at : at + step] @ centers.T for at in range(0, len(data), step)]
    return np.concatenate([part.argmin(axis=1) for part in parts])


def _move(data: Doubles, labels: Ints, weight: Doubles, centers: Doubles) -> None:
    """Write the weighted mean of each cluster into `centers`; a cluster without weight keeps its center."""
    order = labels.argsort(kind="stable")
    present, first = np.unique(labels[order], return_index=True)
    total = np.add.reduceat(weight[order], first)
    sums = np.add.reduceat(data[order] * weight[order, None], first)
    heavy = total > 0
    centers[present[heavy]] = sums[heavy] / total[heavy, None]
