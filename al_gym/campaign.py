"""The one active-learning loop, batched over tasks: seed, query, reveal, refit (promise P1).

Environments, evaluation and labelling sessions all drive this class. What may be known is in
`PoolArrays`, reachable through `views`; hidden labels and the holdout stay in here (promise P2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym import kernels
from al_gym.errors import AlGymError, LearnerError, ParameterError, StrategyError, TaskError
from al_gym.hidden import Hidden
from al_gym.learners import Learner, make_learner
from al_gym.pool import Geometry, PoolArrays, PoolView, Shape, rounds
from al_gym.pool.saving import restore_rows, save_rows
from al_gym.pool.tiles import write_tiles
from al_gym.strategies import Strategy
from al_gym.tasks.task import Task

_NO_HISTORY = torch.tensor([0.5, 0.0, 0.5, 0.0])

Ints = NDArray[np.int64]

_GROUPINGS = 16
"""Sets of slots whose rows are remembered."""


@dataclass(frozen=True)
class _BoundLearner:
    """The learner with its state, for `PoolView.learner`."""

    learner: Learner
    state: Any

    @property
    def linear(self) -> bool:
        return type(self.learner).embed is Learner.embed

    def embed(self, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        return self.learner.embed(self.state, arrays, rows, X)

    def predict_proba(self, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        return self.learner.predict_proba(self.state, arrays, rows, X)


class _Block:
    """Campaigns of one padded shape, with rows that are reused when a campaign is replaced."""

    def __init__(self, shape: Shape, rows: int, learner: Learner, device: torch.device) -> None:
        self.shape = shape
        self.learner = learner
        tiled = learner.reads_tiles and device.type == "cpu" and kernels.available()
        self.pool = PoolArrays.allocate(shape, rows, device, tiled=tiled)
        self.hidden = Hidden.allocate(shape, rows, device, tiled=tiled)
        self.geometry = Geometry(self.pool)
        self.state = learner.allocate(shape, rows, device)
        self.free = list(range(rows))[::-1]

    def acquire(self) -> int:
        """A cleared row, growing the storage when none is free."""
        if not self.free:
            rows = len(self.pool.key)
            self.pool = self.pool.grown(2 * rows)
            self.hidden = self.hidden.grown(2 * rows)
            self.geometry.grow(self.pool)
            self.state = self.learner.grow(self.state, 2 * rows)
            self.free = list(range(rows, 2 * rows))[::-1]
        row = self.free.pop()
        self.pool.clear(row)
        self.geometry.clear(row)
        return row

    def unlabel(self, rows: Tensor) -> None:
        """Forget every label and what was learned from it."""
        pool = self.pool
        for name in ("labelled", "XL", "count", "seen", "round", "last_batch", "prequential"):
            getattr(pool, name)[rows] = 0
        for name in ("y", "order", "yL"):
            getattr(pool, name)[rows] = -1
        for row in rows.tolist():
            self.learner.clear(self.state, row)
        self.geometry.unlabel(rows)

    def load(self, row: int, task: Task, budget: int) -> None:
        """Put a task's data into a row; nothing is labelled yet."""
        n, d = len(task.pool), task.dataset.n_features
        pool, hidden = self.pool, self.hidden
        if pool.X.device.type == "cpu":
            X = pool.numpy.X[row, :n, :d]
            holdout, labels = task.fill(X)
            if pool.numpy.tiles.size:
                write_tiles(X, pool.numpy.tiles[row])
        else:
            X, holdout, labels = task.arrays()
            pool.X[row, :n, :d] = torch.from_numpy(X)
        v = len(labels)
        pool.n_items[row], pool.n_features[row], pool.n_classes[row] = n, d, task.dataset.n_classes
        pool.budget[row] = budget
        pool.key[row] = np.uint64(task.key)
        hidden.y[row] = -1
        hidden.y[row, :n] = torch.from_numpy(task.oracle_labels)
        hidden.load(row, holdout)
        hidden.labels[row] = -1
        hidden.labels[row, :v] = torch.from_numpy(labels)
        hidden.count[row] = v
        hidden.size[row] = torch.from_numpy(np.bincount(labels, minlength=self.shape.classes))


_Group = tuple[Ints, _Block, Tensor]


class Campaign:
    """Many labelling campaigns side by side, one a slot.

    Args:
        slots: number of campaigns.
        learner: a learner's name, 'name:parameter=value', or object.
        device: where the arrays live.
    """

    def __init__(self, slots: int, *, learner: str | Learner = "softmax", device: str | torch.device = "cpu") -> None:
        if slots < 1:
            raise ParameterError(f"a campaign needs at least one slot, got {slots}.")
        self.learner = make_learner(learner)
        self.device = torch.device(device)
        self.tasks: list[Task | None] = [None] * slots
        self._blocks: dict[Shape, _Block] = {}
        self._order: list[_Block] = []
        self._block = np.full(slots, -1, np.int64)
        self._row = np.full(slots, -1, np.int64)
        self._grouped: dict[bytes, list[_Group]] = {}
        self._count, self._initial, self._budget, self._items, self._round = np.zeros((5, slots), np.int64)

    # --- loading ---------------------------------------------------------------------------------------
    def load(self, slots: Ints, tasks: Sequence[Task], budgets: Sequence[int] | Ints) -> None:
        """Start new campaigns: reveal the seed sets and fit.

        Args:
            slots: (n,) which campaigns to replace.
            tasks: one a slot. budgets: labels to buy after the seed set, one a slot, at least 1.
        """
        for slot, task, budget in zip(slots.tolist(), tasks, budgets, strict=True):
            if budget < 1:
                raise ParameterError(f"budget must be at least 1 label, got {budget}.")
            if len(task.seed_set) >= len(task.pool):
                raise TaskError(
                    f"{task.dataset.name}: the seed set takes the whole pool of {len(task.pool)}; use more items."
                )
            self._place(slot, task, int(budget))
        self.restart(slots)

    def restart(self, slots: Ints) -> None:
        """Go back to the seed set of the tasks already loaded, and fit."""
        tasks = [self._task(slot) for slot in slots.tolist()]
        seeds = np.full((len(slots), max(len(task.seed_set) for task in tasks)), -1, np.int64)
        for i, task in enumerate(tasks):
            seeds[i, : len(task.seed_set)] = task.seed_set
        for at, block, rows in self._groups(slots):
            block.unlabel(rows)
            self._rounds_of(block).reveal(block.pool, rows, torch.from_numpy(seeds[at]).to(self.device), block.hidden.y)
            block.pool.initial[rows] = block.pool.count[rows]
            block.pool.last_batch[rows] = 0
            block.pool.prequential[rows] = _NO_HISTORY.to(self.device)
            self._refit(slots[at], block, rows)
            block.pool.previous[rows] = block.pool.predicted[rows]
        self._initial[slots] = self._count[slots] = [len(task.seed_set) for task in tasks]
        self._round[slots] = 0

    def _task(self, slot: int) -> Task:
        task = self.tasks[slot]
        if task is None:
            raise ParameterError(f"slot {slot} holds no task; load one first.")
        return task

    def _place(self, slot: int, task: Task, budget: int) -> None:
        self._grouped.clear()
        if self._block[slot] >= 0:
            self._order[self._block[slot]].free.append(int(self._row[slot]))
            self._block[slot] = -1
        n, d = len(task.pool), task.dataset.n_features
        labels = len(task.seed_set) + budget
        compiled = self.device.type == "cpu" and kernels.available()
        shape = Shape.of(n, d, task.dataset.n_classes, labels, len(task.holdout), task.nominal, compiled)
        block = self._blocks.get(shape)
        if block is None:
            block = _Block(shape, min(len(self.tasks), 8), self.learner, self.device)
            self._blocks[shape] = block
            self._order.append(block)
        self._block[slot] = self._order.index(block)
        self._row[slot] = block.acquire()
        block.load(int(self._row[slot]), task, budget)
        self.tasks[slot] = task
        self._items[slot], self._budget[slot] = n, budget

    def _rounds_of(self, block: _Block) -> ModuleType:
        """Where rounds are written: numba on the CPU if it can be used, else torch."""
        return kernels.twin(rounds, "rounds", block.pool.X)

    def _groups(self, slots: Ints) -> list[_Group]:
        """Positions within `slots`, block, and rows, for each block that holds some of them; kept until a load."""
        key = slots.tobytes()
        if key not in self._grouped:
            if len(self._grouped) >= _GROUPINGS:
                self._grouped.clear()
            blocks = self._block[slots]
            places = [(index, np.flatnonzero(blocks == index)) for index in np.flatnonzero(np.bincount(blocks))]
            self._grouped[key] = [
                (at, self._order[index], torch.from_numpy(self._row[slots[at]]).to(self.device)) for index, at in places
            ]
        return self._grouped[key]

    def _refit(self, slots: Ints, block: _Block, rows: Tensor) -> None:
        try:
            self._fit(block, rows)
        except AlGymError:
            raise
        except Exception:
            self._blame(slots, block, rows)
            raise
        at = self._rounds_of(block).first_unsound(block.pool, rows)
        if at >= 0:
            raise LearnerError(f"{self._where(slots[at], block, int(rows[at]))}: probabilities are not finite.")

    def _fit(self, block: _Block, rows: Tensor) -> None:
        self.learner.fit(block.state, block.pool, rows)
        self.learner.score_pool(block.state, block.pool, rows)

    def _blame(self, slots: Ints, block: _Block, rows: Tensor) -> None:
        """Fit the tasks of a failed batch one by one, to name the first that fails."""
        for slot, row in zip(slots.tolist(), rows, strict=True):
            try:
                self._fit(block, row[None])
            except Exception as error:
                where = self._where(slot, block, int(row))
                raise LearnerError(f"{where}: {type(error).__name__}: {error}") from error

    def _where(self, slot: int, block: _Block, row: int) -> str:
        task = self._task(slot)
        return (
            f"learner {self.learner.name!r} failed on task {task.dataset.name!r} (seed {task.seed}), "
            f"round {int(block.pool.round[row])}"
        )

    # --- looking -----------------------------------------------------------------------------------------
    def views(self, slots: Ints) -> Iterator[tuple[Ints, PoolView]]:
        """For each padded shape: positions within `slots`, and what may be known of these campaigns."""
        for at, block, rows in self._groups(slots):
            yield at, PoolView(block.pool, block.geometry, rows, _BoundLearner(self.learner, block.state))

    def n_labelled(self, slots: Ints) -> Ints:
        """(n,) labels of each campaign, seed set included."""
        return self._count[slots]

    def remaining(self, slots: Ints) -> Ints:
        """(n,) labels that can still be bought: what is left of the budget, or of the pool if that is less."""
        return np.minimum(self._budget[slots] - self.spent(slots), self._items[slots] - self._count[slots])

    def spent(self, slots: Ints) -> Ints:
        """(n,) labels bought after the seed set."""
        return self._count[slots] - self._initial[slots]

    def rounds(self, slots: Ints) -> Ints:
        """(n,) queries so far."""
        return self._round[slots]

    def queries(self, slot: int) -> Ints:
        """Positions in the pool in the order they were labelled, seed set first."""
        ((_, block, rows),) = self._groups(np.array([slot]))
        return block.pool.order[rows[0], : int(block.pool.count[rows[0]])].cpu().numpy()

    # --- the round -----------------------------------------------------------------------------------------
    def select(self, slots: Ints, strategies: Sequence[Strategy], choice: Ints, k: Ints) -> Ints:
        """Ask strategies for the next batches; nothing changes.

        Args:
            slots: (n,) campaigns. strategies: the strategies to choose from.
            choice: (n,) index into `strategies`. k: (n,) batch sizes, from 1 to `remaining`.

        Returns:
            (n, max(k)) int64 positions in the pools, -1 after each campaign's `k`.

        Raises:
            StrategyError: a strategy returned a labelled, repeated or missing item.
        """
        out = np.full((len(slots), int(k.max())), -1, np.int64)
        for at, view in self.views(slots):
            chosen = choice[at]
            for index in np.unique(chosen):
                here = np.nonzero(chosen == index)[0]
                part = view if len(here) == len(at) else view.take(torch.from_numpy(here).to(self.device))
                strategy = strategies[index]
                sizes = torch.from_numpy(k[at[here]]).to(self.device)
                picked = strategy.select(part, sizes, part.stream(strategy.name)).cpu().numpy()
                out[at[here], : picked.shape[1]] = picked
        self._check(slots, [f"strategy {strategies[index].name!r}" for index in choice.tolist()], k, out)
        return out

    def checked(self, slots: Ints, queries: Ints, k: Ints, source: str) -> Ints:
        """`queries` (n, width) int64 that did not come from `select`, -1 for none, cut to (n, max(k)).

        Raises:
            StrategyError: a labelled, repeated or missing item; `source` tells whose.
        """
        wanted = np.arange(queries.shape[1])[None, :] < k[:, None]
        if queries.shape[1] < k.max() or ((queries >= 0) != wanted).any():
            raise StrategyError(f"{source} named {queries.tolist()}; it must name {k.tolist()} items, then -1.")
        queries = np.ascontiguousarray(queries[:, : int(k.max())], dtype=np.int64)
        self._check(slots, [source] * len(slots), k, queries)
        return queries

    def _check(self, slots: Ints, sources: Sequence[str], k: Ints, queries: Ints) -> None:
        for at, block, rows in self._groups(slots):
            asked, sizes = (torch.from_numpy(a[at]).to(self.device) for a in (queries, k))
            wrong = self._rounds_of(block).impossible(block.pool, rows, asked, sizes)
            if bool(wrong.any()):
                i = int(at[int(torch.nonzero(wrong)[0])])
                raise StrategyError(
                    f"{sources[i]} returned {queries[i].tolist()} in slot {int(slots[i])}; "
                    f"it must return {int(k[i])} distinct unlabelled items."
                )

    def reveal(self, slots: Ints, queries: Ints) -> None:
        """Reveal the labels of `queries` (n, width) int64, -1 for none, refit, and score the pools."""
        for at, block, rows in self._groups(slots):
            asked = torch.from_numpy(queries[at]).to(self.device)
            writer = self._rounds_of(block)
            writer.reveal(block.pool, rows, asked, block.hidden.y)
            writer.close_round(block.pool, rows, asked)
            self._refit(slots[at], block, rows)
        self._count[slots] += (queries >= 0).sum(axis=1)
        self._round[slots] += 1

    # --- measuring -----------------------------------------------------------------------------------------
    def accuracy(self, slots: Ints, *, balanced: bool = False) -> NDArray[np.float64]:
        """(n,) accuracy on each campaign's holdout; balanced: mean recall over the classes in the holdout."""
        out = np.zeros(len(slots))
        for at, hits, size in self._hits(slots):
            out[at] = (_mean_recall(hits, size) if balanced else _hit_rate(hits, size)).cpu().numpy()
        return out

    def accuracies(self, slots: Ints) -> NDArray[np.float64]:
        """(2, n) accuracy and balanced accuracy on each campaign's holdout, in one pass."""
        out = np.zeros((2, len(slots)))
        for at, hits, size in self._hits(slots):
            out[:, at] = torch.stack([_hit_rate(hits, size), _mean_recall(hits, size)]).cpu().numpy()
        return out

    def _hits(self, slots: Ints) -> Iterator[tuple[Ints, Tensor, Tensor]]:
        """Positions within `slots`, right predictions and number of the holdout's items, both (n, classes) int64."""
        for at, block, rows in self._groups(slots):
            hidden = block.hidden
            hits = self.learner.class_hits(block.state, block.pool, rows, hidden.X, hidden.labels, hidden.count)
            yield at, hits, hidden.size[rows]

    def holdout_probabilities(self, slots: Ints) -> Iterator[tuple[Ints, Tensor, Tensor]]:
        """Positions within `slots`, (n, classes, items) probabilities and (n, items) labels of holdouts, -1 padding."""
        for at, block, rows in self._groups(slots):
            hidden = block.hidden
            yield (
                at,
                self.learner.predict_proba(block.state, block.pool, rows, hidden.features(rows)),
                hidden.labels[rows],
            )

    def trial_accuracy(self, slots: Ints, queries: Ints) -> NDArray[np.float64]:
        """(n,) holdout accuracy if `queries` were labelled next. For privileged policies alone; nothing changes."""
        groups = [(b, rows, save_rows(b.pool, b.state, rows)) for _, b, rows in self._groups(slots)]
        counts = self._count.copy(), self._round.copy()
        try:
            self.reveal(slots, queries)
            return self.accuracy(slots)
        finally:
            self._count, self._round = counts
            for block, rows, saved in groups:
                restore_rows(block.pool, block.state, rows, saved)


def _hit_rate(hits: Tensor, size: Tensor) -> Tensor:
    return hits.sum(dim=1).double() / size.sum(dim=1)


def _mean_recall(hits: Tensor, size: Tensor) -> Tensor:
    return (hits.double() / size.clamp(min=1)).sum(dim=1) / (size > 0).sum(dim=1)
