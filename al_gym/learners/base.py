"""The protocol of learners, batched over campaigns, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from al_gym.errors import LearnerError
from al_gym.pool.arrays import PoolArrays, Shape, grow
from al_gym.registry import Registry


class Learner(ABC):
    """A classifier fitted to many campaigns at once.

    One learner object holds settings; what it learns for the campaigns of a block lives in a state that
    the campaign keeps beside the block and passes back. Rows index block storage.

    Attributes:
        name: the registered name.
        reads_tiles: whether `score_pool` uses `arrays.tiles` and `class_hits` takes X in tiles (`al_gym.pool.tiles`),
            both where there are any.
    """

    name: ClassVar[str] = ""
    reads_tiles: ClassVar[bool] = False

    def digest(self) -> str:
        """What decides the results beside the parameters, say a hash of weights; empty if nothing does."""
        return ""

    @abstractmethod
    def allocate(self, shape: Shape, rows: int, device: torch.device) -> Any:
        """State for `rows` campaigns of one padded shape. A dict of (rows, ...) tensors or lists grows by itself."""

    def grow(self, state: Any, rows: int) -> Any:
        """The state with room for `rows` campaigns."""
        if not isinstance(state, dict):
            raise LearnerError(f"{self.name}: override grow() for a state of type {type(state).__name__}.")
        return {
            key: value + [None] * (rows - len(value)) if isinstance(value, list) else grow(value, rows)
            for key, value in state.items()
        }

    def clear(self, state: Any, row: int) -> None:
        """Forget what was learned for one row."""
        for value in state.values():
            value[row] = None if isinstance(value, list) else 0

    @abstractmethod
    def fit(self, state: Any, arrays: PoolArrays, rows: Tensor) -> None:
        """Fit the campaigns `rows` to their labelled items (`arrays.XL`, `yL`, `count`, `seen`)."""

    @abstractmethod
    def predict_proba(self, state: Any, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """Class probabilities.

        Args:
            state: from `allocate`.
            arrays: the block's public storage.
            rows: (tasks,) int64.
            X: (tasks, n, features) float32, scaled as the pool is, zero padded.

        Returns:
            (tasks, classes, n) float32, class-major, aligned to ALL classes: 0 for classes without a label,
            summing to one over the classes seen.
        """

    def class_hits(self, state: Any, arrays: PoolArrays, rows: Tensor, X: Tensor, y: Tensor, count: Tensor) -> Tensor:
        """How many items of each class are predicted as that class; override where no probabilities are needed.

        Args:
            state: from `allocate`. arrays: the block's public storage. rows: (tasks,) int64.
            X: (rows of the block, n, features) float32; (rows of the block, tiles, features, 64) where the learner
                reads tiles and kernels are compiled. y: (rows of the block, n) int64, -1 on padding.
            count: (rows of the block,) int64, true number of items.

        Returns:
            (tasks, classes) int64.
        """
        labels = y[rows]
        hit = self.predict_proba(state, arrays, rows, X[rows]).argmax(dim=1) == labels
        hits = torch.zeros(len(rows), arrays.seen.shape[1], dtype=torch.int64, device=X.device)
        return hits.scatter_add_(1, labels.clamp(min=0), hit.to(torch.int64))

    def score_pool(self, state: Any, arrays: PoolArrays, rows: Tensor) -> None:
        """Write `proba`, `top1`, `top2`, `entropy` and `predicted` of the pool of each row."""
        proba = self.predict_proba(state, arrays, rows, arrays.X[rows])
        write_scores(arrays, rows, proba)

    def embed(self, state: Any, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """(tasks, n, width) float32, the representation that the last linear layer sees; `X` for linear learners."""
        return X


def write_scores(arrays: PoolArrays, rows: Tensor, proba: Tensor) -> None:
    """Store pool probabilities and what follows from them; padding becomes zero.

    Args:
        proba: (tasks, classes, items) float32.
    """
    items = torch.arange(proba.shape[2], device=proba.device)
    proba = proba.masked_fill((items[None, :] >= arrays.n_items[rows][:, None])[:, None, :], 0.0)
    top = proba.topk(2, dim=1)
    arrays.proba[rows] = proba
    arrays.top1[rows] = top.values[:, 0]
    arrays.top2[rows] = top.values[:, 1]
    arrays.entropy[rows] = torch.special.entr(proba).sum(dim=1)
    arrays.predicted[rows] = proba.argmax(dim=1)


LEARNERS: Registry[Learner] = Registry("learner", "al_gym.learners")
register_learner = LEARNERS.register
