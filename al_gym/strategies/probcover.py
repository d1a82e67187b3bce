"""ProbCover: the most balls of one radius."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, no_picks, register_strategy
from al_gym.strategies.checks import number
from al_gym.strategies.kmeans import k_means
from al_gym.strategies.one_pool import Kept, OnePool, one_by_one
from al_gym.streams import Stream

_KEPT: Kept[NDArray[np.uint8]] = Kept()
_PURITY = 0.95


@register_strategy("probcover")
class ProbCover(Strategy):
    r"""ProbCover: the item whose ball of radius delta holds most items that no ball holds yet.

    $$x^* = \arg\max_x\; \big|\{ i : \lVert x - i \rVert < \delta,\;
    \lVert z - i \rVert \ge \delta\ \forall z \in L \cup S \}\big|$$

    with Euclidean distance on the scaled features. `delta=auto` is the largest radius whose balls are pure, with
    k-means pseudo-labels (as many clusters as classes), for at least a share `purity` of the items: the published
    heuristic, solved exactly instead of on a grid. When everything is covered, the picks are random.

    **Source:** Yehuda, Dekel, Hacohen & Weinshall 2022, *Active learning through a covering lens*. **Cost:** items^2
    x features once a pool, then items^2 bits a round; pools of more than 4,096 items: the labelled and 2,048 random
    unlabelled ones, afresh each round. **Wins** with very few labels; **loses** once the balls cover the pool, and
    where density says little about classes.

    Args:
        delta: the radius in units of the scaled features, above 0, or 'auto'.
        purity: share of pure balls in (0, 1] that `delta=auto` asks for; 0.95 if not given.

    Raises:
        ParameterError: a value outside these ranges, or `purity` together with a number as `delta`.
    """

    name = "probcover"
    deterministic = False

    def __init__(self, *, delta: float | str = "auto", purity: float | None = None) -> None:
        if isinstance(delta, str) and delta != "auto":
            raise ParameterError(f"probcover: delta must be a number above 0 or 'auto', got {delta!r}.")
        if purity is not None and delta != "auto":
            raise ParameterError(f"probcover: purity={purity!r} chooses delta; leave out delta={delta!r}.")
        self.delta = None if delta == "auto" else number(self.name, "delta", delta, 0, above=True)
        self.purity = _PURITY if purity is None else number(self.name, "purity", purity, 0, above=True)
        if self.purity > 1:
            raise ParameterError(f"probcover: purity must be at most 1, got {purity!r}.")

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        picked = no_picks(k.cpu())
        noise, classes = stream.uniform(view.valid.shape[1]), view.n_classes.tolist()
        keys = view.arrays.key[view.rows.cpu().numpy()]
        draws = Stream.of(keys, np.zeros(len(keys), np.int64), self.name).uniform(max(classes), draw=1)
        for pool in one_by_one(view, k, stream):
            size, seeds = int(k[pool.task]), draws[pool.task, : classes[pool.task]]
            balls = self._balls(pool, seeds, keep=view.geometry.exact)
            chosen = cover(balls, pool, size, noise[pool.task, pool.items])
            picked[pool.task, :size] = torch.from_numpy(pool.items[chosen])
        return picked.to(k.device)

    def _balls(self, pool: OnePool, seeds: NDArray[np.float64], *, keep: bool) -> NDArray[np.bool_]:
        """(n, n) bool: which items lie in the ball around each."""

        def make() -> NDArray[np.uint8]:
            distance = cdist(pool.features, pool.features)
            delta = self.delta
            if delta is None:
                delta = pure_radius(distance, k_means(pool.features, len(seeds), seeds).labels, self.purity)
            return np.packbits(distance < delta, axis=1)

        bits = _KEPT.get(pool.X, (self.delta, self.purity, seeds.tobytes()), make) if keep else make()
        return np.unpackbits(bits, axis=1, count=len(pool.items)).astype(np.bool_)


def pure_radius(distance: NDArray[np.float64], labels: NDArray[np.int64], purity: float) -> float:
    """The largest radius of open balls of which at least a share `purity` holds one label only; inf for one label.

    Args:
        distance: (n, n).
        labels: (n,).
        purity: in (0, 1].
    """
    other = labels[:, None] != labels[None, :]
    nearest = np.where(other, distance, np.inf).min(axis=1)
    impure = math.floor((1 - purity) * len(labels) + 1e-9)
    return float(np.sort(nearest)[min(impure, len(labels) - 1)])


def cover(balls: NDArray[np.bool_], pool: OnePool, k: int, noise: NDArray[np.float64]) -> NDArray[np.int64]:
    """(k,) positions in `pool.items`: greedily the ball that holds most uncovered items, equal ones by the noise.

    Args:
        balls: (n, n) bool.
        pool: the pool.
        k: number of picks.
        noise: (n,) in [0, 1).
    """
    uncovered = ~balls[np.searchsorted(pool.items, pool.labelled)].any(axis=0)
    gain = balls[:, uncovered].sum(axis=1)
    free, chosen = pool.candidate.copy(), np.zeros(k, np.int64)
    for j in range(k):
        best = np.flatnonzero(free & (gain == gain[free].max()))
        chosen[j] = best[noise[best].argmax()]
        free[chosen[j]] = False
        new = balls[chosen[j]] & uncovered
        gain = gain - balls[:, new].sum(axis=1)
        uncovered &= ~new
    return chosen
