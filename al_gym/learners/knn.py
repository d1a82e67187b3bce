"""Kernel-weighted nearest labelled neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.learners.base import Learner, register_learner
from al_gym.pool.arrays import PoolArrays, Shape
from al_gym.pool.distances import squared_distances

State = dict[str, Tensor]
SMALLEST = 1e-12
"""Floor of the squared scale: an item that lies on all its neighbours gives each of them weight 1."""
CHUNK = 1 << 14
"""Items scored at once, so that memory stays bounded on large pools."""


@register_learner("knn")
class NearestNeighbours(Learner):
    r"""Kernel-weighted vote of the k nearest labelled items; nothing to train.

    Let $N(x)$ be the labelled items within the distance of the k-th nearest one (all of them while there are fewer;
    items at equal distance are all in, so that the order of the labels never matters), and $s^2$ the mean squared
    distance to them. Then

    $$p_c(x) = \frac{a + \sum_{i \in N(x), y_i = c} w_i}{\sum_{c'} (a + \sum_{i \in N(x), y_i = c'} w_i)},
    \qquad w_i = \exp(-d(x, x_i)^2 / 2 s^2),$$

    over the classes seen. The scale is the item's own, so that scaling all features changes nothing.

    **Source:** Hechenbichler & Schliep 2004, *Weighted k-nearest-neighbor techniques and ordinal classification*, with
    Laplace smoothing. **Cost:** items x labels x features a round, no fit. **Suits** image and text embeddings;
    **loses** where many features carry no information.

    Args:
        k: neighbours that vote, at least 1.
        smoothing: the pseudo-count a of each class seen, above 0; larger is less sure of itself.
    """

    name = "knn"

    def __init__(self, *, k: int = 10, smoothing: float = 0.1) -> None:
        if not isinstance(k, int) or k < 1:
            raise ParameterError(f"knn: k must be an integer of at least 1, got {k!r}.")
        if not 0 < smoothing < float("inf"):
            raise ParameterError(f"knn: smoothing must be above 0 and finite, got {smoothing}.")
        self.k = k
        self.smoothing = smoothing

    def allocate(self, shape: Shape, rows: int, device: torch.device) -> State:
        """See `Learner.allocate`: the labelled items in `PoolArrays` are the model."""
        return {}

    def fit(self, state: State, arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.fit`; there is nothing to fit."""

    def predict_proba(self, state: State, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.predict_proba`."""
        return torch.cat([self._vote(arrays, rows, part) for part in X.split(CHUNK, dim=1)], dim=2)

    def _vote(self, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        XL, labels = arrays.XL[rows], arrays.yL[rows]
        d2 = squared_distances(X, XL).masked_fill_((labels < 0)[:, None, :], torch.inf)
        weight = self._weights(d2, arrays.count[rows])
        classes = torch.arange(arrays.seen.shape[1], device=X.device)
        member = (labels[:, None, :] == classes[None, :, None]).to(weight.dtype)
        votes = member @ weight.mT + self.smoothing
        votes = votes * arrays.seen[rows][:, :, None]
        return votes / votes.sum(dim=1, keepdim=True)

    def _weights(self, d2: Tensor, count: Tensor) -> Tensor:
        """(tasks, n, labels) float32 in [0, 1] from squared distances, inf on padding."""
        width = min(self.k, d2.shape[2])
        nearest = d2.topk(width, dim=2, largest=False).values
        last = (count.clamp(min=1, max=width) - 1)[:, None, None].expand(-1, d2.shape[1], 1)
        within = d2 <= nearest.gather(2, last)
        near = torch.where(within, d2, 0.0)
        scale = near.sum(dim=2, keepdim=True) / within.sum(dim=2, keepdim=True)
        return torch.exp(near / (-2 * scale.clamp(min=SMALLEST))) * within
