"""Diverse mini-batch: weighted k-means among the most uncertain items."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, no_picks, register_strategy, top_k
from al_gym.strategies.checks import number
from al_gym.strategies.kmeans import k_means
from al_gym.streams import Stream


@register_strategy("diverse-mini-batch")
class DiverseMiniBatch(Strategy):
    r"""Diverse mini-batch: the centers of b clusters among the beta x b most uncertain items.

    The $\beta b$ items of the highest $u = 1 - (p_{(1)} - p_{(2)})$ are clustered by k-means with the weights u, on
    the scaled features; the batch is, for each of the b clusters, the item nearest to its center. A cluster that
    stays empty leaves its place to the most uncertain item left.

    **Source:** Zhdanov 2019, *Diverse mini-batch active learning* (arXiv 1901.05954). **Cost:** one pass over the pool
    and a k-means of $\beta b$ items, any pool size. **Wins** with large batches; **loses** to margin with
    small ones when beta is large, as the picks are typical of the $\beta b$ items, not the most uncertain of them.

    Args:
        beta: uncertain items per label, at least 1; 1 is margin.

    Raises:
        ParameterError: `beta` below 1.
    """

    name = "diverse-mini-batch"
    deterministic = False

    def __init__(self, *, beta: float = 10) -> None:
        self.beta = number(self.name, "beta", beta, 1)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        share = torch.minimum((self.beta * k).ceil().long(), view.candidates.sum(1))
        uncertain = top_k(-view.margin, view.candidates, share, stream).cpu().numpy()
        draws = stream.uniform(int(k.max()), draw=1)
        picked, weight = no_picks(k.cpu()), (1 - view.margin).cpu().numpy()
        X, sizes = view.X.cpu().numpy(), zip(view.n_features.tolist(), k.tolist(), strict=True)
        for task, (d, size) in enumerate(sizes):
            items = uncertain[task, uncertain[task] >= 0]
            order = central_items(X[task, items, :d], size, draws[task, :size], weight[task, items])
            picked[task, :size] = torch.from_numpy(items[order])
        return picked.to(k.device)


def central_items(
    X: NDArray[np.float32], k: int, draws: NDArray[np.float64], weight: NDArray[np.float32]
) -> NDArray[np.int64]:
    """(k,) rows: the nearest to each center of weighted k-means, in their order; then the first rows not yet taken.

    Args:
        X: (n, features), n at least `k`.
        k: number of clusters.
        draws: (k,) in [0, 1), for the seeds.
        weight: (n,) non-negative.
    """
    labels, centers = k_means(X, k, draws, weight.astype(np.float64))
    gap = X - centers[labels]
    order = np.lexsort((np.arange(len(X)), np.einsum("ij,ij->i", gap, gap), labels))
    first = order[np.unique(labels[order], return_index=True)[1]]
    rest = np.setdiff1d(np.arange(len(X)), first)[: k - len(first)]
    return np.concatenate([np.sort(first), rest])
