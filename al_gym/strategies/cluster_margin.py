"""Cluster-margin: the lowest margins, spread over clusters."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, no_picks, register_strategy, top_k
from al_gym.strategies.checks import number, whole
from al_gym.strategies.one_pool import LARGE_SAMPLE, Kept
from al_gym.streams import Stream

Ints = NDArray[np.int64]

_KEPT: Kept[Ints] = Kept()
_CHUNK = 1 << 22  # distances held at once


@register_strategy("cluster-margin")
class ClusterMargin(Strategy):
    r"""Cluster-margin: the lowest margins, round-robin over clusters, the smallest cluster first.

    Average-linkage clusters of the scaled features are made once a pool. A round takes the `factor` x b lowest
    margins $p_{(1)} - p_{(2)}$, groups them by cluster, visits the groups from the smallest to the largest, again and
    again, and takes a random item of the group at each visit.

    **Source:** Citovsky et al. 2021, *Batch active learning at scale* (the cut gives at least 10 clusters, the
    `factor` is 10). **Cost:** items^2 x (features + log items) once a pool, then one pass over it a round; of pools
    of more than 4,096 items 2,048 random ones are clustered, and the others join the nearest of these. **Wins** with
    large batches and many classes; **loses** to margin with small batches, where most of the `factor` x b items are
    far from the lowest margin (`factor=3` does better there).

    Args:
        factor: low-margin items per label, at least 1.
        clusters: number of clusters, at least 1.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "cluster-margin"
    deterministic = False

    def __init__(self, *, factor: float = 10, clusters: int = 10) -> None:
        self.factor = number(self.name, "factor", factor, 1)
        self.clusters = whole(self.name, "clusters", clusters, 1)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        share = torch.minimum((self.factor * k).ceil().long(), view.candidates.sum(1))
        low = top_k(-view.margin, view.candidates, share, stream).cpu().numpy()
        noise, turns = stream.uniform(view.valid.shape[1], draw=1), stream.uniform(self.clusters, draw=2)
        picked, X = no_picks(k.cpu()), view.X.cpu().numpy()
        sample = None if view.geometry.exact else view.geometry.random_items(view.rows, LARGE_SAMPLE).cpu().numpy()
        sizes = zip(*(size.tolist() for size in (view.n_items, view.n_features, k)), strict=True)
        for task, (n, d, size) in enumerate(sizes):
            pool, chosen = X[task, :n, :d], None if sample is None else sample[task]
            labels = _KEPT.get(pool, self.clusters, partial(self._cluster, pool, chosen))
            items = low[task, low[task] >= 0]
            order = round_robin(labels[items], noise[task, items], turns[task])
            picked[task, :size] = torch.from_numpy(items[order[:size]])
        return picked.to(k.device)

    def _cluster(self, X: NDArray[np.float32], sample: Ints | None) -> Ints:
        """(n,) cluster of each item, from 0; of `sample` if given, which the others join."""
        data = X.astype(np.float64) if sample is None else X[sample].astype(np.float64)
        if len(data) == 1:
            return np.zeros(len(X), np.int64)
        labels = fcluster(linkage(data, "average"), self.clusters, "maxclust").astype(np.int64) - 1
        if sample is None:
            return labels
        step = _CHUNK // len(sample)
        nearest = [cdist(X[at : at + step], data, "sqeuclidean").argmin(axis=1) for at in range(0, len(X), step)]
        return labels[np.concatenate(nearest)]


def round_robin(labels: Ints, noise: NDArray[np.float64], turns: NDArray[np.float64]) -> Ints:
    """(n,) order of items when groups are visited in turn from the smallest to the largest, each time for one item.

    Args:
        labels: (n,) group of each item.
        noise: (n,) in [0, 1), order within a group.
        turns: (groups,) in [0, 1), order of groups of one size.
    """
    size = np.bincount(labels, minlength=len(turns))
    by_group = np.lexsort((noise, labels))
    first = np.cumsum(size) - size
    visit = np.empty(len(labels), np.int64)
    visit[by_group] = np.arange(len(labels)) - first[labels[by_group]]
    return np.lexsort((turns[labels], size[labels], visit))
