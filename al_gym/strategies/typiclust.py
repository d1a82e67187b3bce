"""TypiClust: the typical items of clusters without a label."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, no_picks, register_strategy
from al_gym.strategies.checks import whole
from al_gym.strategies.kmeans import k_means
from al_gym.strategies.one_pool import OnePool, one_by_one
from al_gym.streams import Stream

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]


@register_strategy("typiclust")
class TypiClust(Strategy):
    r"""TypiClust: the densest item of the largest clusters that hold no label yet.

    K-means on the scaled features into $\min(|L| + b, 500)$ clusters. Clusters are visited by fewest labels, then
    by size; each visit takes the unlabelled item of the highest typicality

    $$\Big(\tfrac{1}{K} \sum_{z \in N_K(x)} \lVert x - z \rVert\Big)^{-1}$$

    with $N_K(x)$ the $K = \min(20, \lfloor m/2 \rfloor)$ nearest of the cluster's m unlabelled items. Clusters of at
    most `min_size` items are left out, as in the authors' code; they serve only when the others hold no unlabelled
    item any more.

    **Source:** Hacohen, Dekel & Weinshall 2022, *Active learning on a budget: opposite strategies suit high and low
    budgets*. **Cost:** a k-means a round: items x (labels + batch) x features x some 20 iterations; pools of more
    than 4,096 items: the labelled and 2,048 random unlabelled ones. **Wins** with very few labels on pools with
    compact classes; **loses** later, as it never asks the model.

    Args:
        neighbours: K, at least 1.
        min_size: clusters of this size or smaller are left out, at least 0.
        max_clusters: bound on the number of clusters, at least 1.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "typiclust"
    deterministic = False

    def __init__(self, *, neighbours: int = 20, min_size: int = 5, max_clusters: int = 500) -> None:
        self.neighbours = whole(self.name, "neighbours", neighbours, 1)
        self.min_size = whole(self.name, "min_size", min_size, 0)
        self.max_clusters = whole(self.name, "max_clusters", max_clusters, 1)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        picked = no_picks(k.cpu())
        noise = stream.uniform(view.valid.shape[1])
        draws = stream.uniform(self.max_clusters, draw=1)
        for pool in one_by_one(view, k, stream):
            size = int(k[pool.task])
            count = min(len(pool.labelled) + size, self.max_clusters, len(pool.items))
            labels = k_means(pool.features, count, draws[pool.task, :count]).labels
            chosen = self._visit(pool, labels, size, noise[pool.task, pool.items])
            picked[pool.task, :size] = torch.from_numpy(pool.items[chosen])
        return picked.to(k.device)

    def _visit(self, pool: OnePool, labels: Ints, size: int, noise: Doubles) -> Ints:
        """(size,) positions in `pool.items`, taken cluster by cluster in turn."""
        free = pool.candidate.copy()
        covered = labels[np.searchsorted(pool.items, pool.labelled)]
        members, held = np.bincount(labels), np.bincount(covered, minlength=labels.max() + 1)
        order = np.lexsort((-members, held))
        order = order[members[order] > 0]
        chosen: list[int] = []
        for kept in (order[members[order] > self.min_size], order[members[order] <= self.min_size]):
            queue = deque(kept.tolist())
            while queue and len(chosen) < size:
                cluster = queue.popleft()
                own = np.flatnonzero((labels == cluster) & free)
                if len(own):
                    chosen.append(int(own[self._most_typical(pool.features[own], noise[own])]))
                    free[chosen[-1]] = False
                    queue.append(cluster)
        return np.array(chosen)

    def _most_typical(self, X: NDArray[np.float32], noise: Doubles) -> int:
        """Row of the smallest mean distance to its nearest others, equal ones by the highest noise."""
        near = min(self.neighbours, len(X) // 2)
        if near == 0:
            return 0
        distance = np.partition(cdist(X, X), near, axis=1)[:, : near + 1].sum(axis=1)  # with itself, at distance 0
        return int(np.lexsort((-noise, distance.astype(np.float32)))[0])
