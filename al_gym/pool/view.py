"""What strategies, observations and policies may see of a batch of campaigns (promise P2)."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from al_gym import kernels
from al_gym.pool.arrays import PoolArrays
from al_gym.pool.geometry import Geometry
from al_gym.streams import Stream


class LearnerAccess(Protocol):
    """A learner bound to its state: what strategies may ask of the model beyond pool probabilities."""

    def embed(self, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """(tasks, n, width) float32 representation of `X` (tasks, n, features)."""
        ...

    def predict_proba(self, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """(tasks, classes, n) float32 of any scaled features `X` (tasks, n, features)."""
        ...


class PoolView:
    """A batch of campaigns of one padded shape, without any hidden label.

    Shapes use tasks (the batch), items (padded pool), features, classes (both padded). Padding is
    zero, and `valid` and the true sizes tell it apart. Tensors may share memory with the campaign:
    never write to them.

    Args:
        arrays: the block's public storage.
        geometry: the block's cached distances and kernels.
        rows: (tasks,) int64 tensor, rows of the storage.
        learner: the learner bound to its state, for representations; None for linear learners.
    """

    def __init__(
        self,
        arrays: PoolArrays,
        geometry: Geometry,
        rows: Tensor,
        learner: LearnerAccess | None = None,
    ) -> None:
        self.arrays = arrays
        self.geometry = geometry
        self.rows = rows
        self.learner = learner

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def compiled(self) -> bool:
        """Whether numba kernels can be used on these arrays."""
        return self.rows.device.type == "cpu" and kernels.available()

    def take(self, tasks: Tensor) -> PoolView:
        """The view of some of the tasks; `tasks` are positions in this view."""
        return PoolView(self.arrays, self.geometry, self.rows[tasks], self.learner)

    @cached_property
    def _whole(self) -> bool:
        """Whether the rows are those of the storage, all of them and in their order."""
        rows = self.rows
        return len(rows) == len(self.arrays.round) and bool((rows == torch.arange(len(rows), device=rows.device)).all())

    def gather(self, array: Tensor) -> Tensor:
        """The rows of a block-level array that belong to this view."""
        return array if self._whole else array[self.rows]

    def stream(self, name: str) -> Stream:
        """Random draws under `name`, keyed by task and round (promise P5)."""
        rows = self.rows.cpu().numpy()
        return Stream.of(self.arrays.key[rows], self.arrays.round[self.rows].cpu().numpy(), name)

    # --- sizes -------------------------------------------------------------------------------------
    @property
    def n_items(self) -> Tensor:
        """(tasks,) int64 pool items."""
        return self.gather(self.arrays.n_items)

    @property
    def n_features(self) -> Tensor:
        """(tasks,) int64."""
        return self.gather(self.arrays.n_features)

    @property
    def n_classes(self) -> Tensor:
        """(tasks,) int64, seen or not."""
        return self.gather(self.arrays.n_classes)

    @property
    def n_labelled(self) -> Tensor:
        """(tasks,) int64, seed set included."""
        return self.gather(self.arrays.count)

    @property
    def budget(self) -> Tensor:
        """(tasks,) int64 labels to buy after the seed set."""
        return self.gather(self.arrays.budget)

    @property
    def spent(self) -> Tensor:
        """(tasks,) int64 labels bought so far."""
        return self.n_labelled - self.gather(self.arrays.initial)

    @property
    def round(self) -> Tensor:
        """(tasks,) int64 queries so far."""
        return self.gather(self.arrays.round)

    @property
    def last_batch(self) -> Tensor:
        """(tasks,) int64 labels of the last round."""
        return self.gather(self.arrays.last_batch)

    # --- items -------------------------------------------------------------------------------------
    @cached_property
    def X(self) -> Tensor:
        """(tasks, items, features) float32, scaled."""
        return self.gather(self.arrays.X)

    @cached_property
    def valid(self) -> Tensor:
        """(tasks, items) bool: not padding."""
        items = torch.arange(self.arrays.X.shape[1], device=self.rows.device)
        return items[None, :] < self.n_items[:, None]

    @cached_property
    def labelled(self) -> Tensor:
        """(tasks, items) bool."""
        return self.gather(self.arrays.labelled)

    @cached_property
    def candidates(self) -> Tensor:
        """(tasks, items) bool: items that may be queried."""
        return self.valid & ~self.labelled

    @property
    def y(self) -> Tensor:
        """(tasks, items) int64, revealed label or -1."""
        return self.gather(self.arrays.y)

    @property
    def order(self) -> Tensor:
        """(tasks, labels) int64 positions in the order they were labelled, or -1."""
        return self.gather(self.arrays.order)

    @property
    def seen(self) -> Tensor:
        """(tasks, classes) bool: classes with a revealed label."""
        return self.gather(self.arrays.seen)

    # --- the current model ---------------------------------------------------------------------------
    @cached_property
    def proba(self) -> Tensor:
        """(tasks, classes, items) float32, class-major."""
        return self.gather(self.arrays.proba)

    @cached_property
    def top1(self) -> Tensor:
        """(tasks, items) float32, the largest probability."""
        return self.gather(self.arrays.top1)

    @cached_property
    def margin(self) -> Tensor:
        """(tasks, items) float32 in [0, 1], largest minus second probability."""
        return self.top1 - self.gather(self.arrays.top2)

    @cached_property
    def entropy(self) -> Tensor:
        """(tasks, items) float32, nats."""
        return self.gather(self.arrays.entropy)

    @cached_property
    def predicted(self) -> Tensor:
        """(tasks, items) int64, the most probable class."""
        return self.gather(self.arrays.predicted)

    @cached_property
    def previous(self) -> Tensor:
        """(tasks, items) int64, the most probable class one round ago."""
        return self.gather(self.arrays.previous)

    @property
    def prequential(self) -> Tensor:
        """(tasks, 4) float32; see `PoolArrays`."""
        return self.gather(self.arrays.prequential)

    @property
    def linear(self) -> bool:
        """Whether the learner's representation is the features themselves, as far as is known without computing it."""
        return self.learner is None or bool(getattr(self.learner, "linear", False))

    def embedding(self) -> Tensor:
        """(tasks, items, width) float32: the learner's representation; the features for linear learners."""
        if self.learner is None:
            return self.X
        return self.learner.embed(self.arrays, self.rows, self.X)

    # --- geometry ------------------------------------------------------------------------------------
    def squared_distance_to_labelled(self) -> Tensor:
        """(tasks, items) float32: squared Euclidean distance to the nearest labelled item."""
        return self.geometry.nearest_labelled(self.rows)

    def bandwidth(self) -> Tensor:
        """(tasks,) float32: mean over the pool of the mean distance to the 20 nearest other items (1 if 0)."""
        return self.geometry.bandwidth(self.rows)

    def neighbour_distance(self) -> Tensor:
        """(tasks, items) float32: mean distance to the 20 nearest other items."""
        return self.geometry.neighbour_distance(self.rows)

    def kernel(self) -> Tensor:
        """(tasks, items, items) float32: exp(-d^2 / 2h^2) with h = `bandwidth()`; 0 on padding."""
        return self.geometry.kernel(self.rows)

    def coverage(self) -> Tensor:
        """(tasks, items) float32: the largest kernel value of each item to a labelled item."""
        return self.geometry.coverage(self.rows)
