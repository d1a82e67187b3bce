"""What a batch of labels brought, measured inside the campaign: the rewards of `adaptive`."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray

from al_gym.policies.base import Context, Floats, Ints
from al_gym.policies.selectal import without
from al_gym.pool import PoolView

LEAST = 1e-2  # smaller probabilities count as this: one impossible label must not outweigh a campaign


def log_loss(proba: NDArray[np.float32], label: Ints, counted: NDArray[np.bool_]) -> Floats:
    """(tasks,) mean -log p of the labels that are counted; NaN where none is.

    Args:
        proba: (tasks, classes, n). label: (tasks, n), -1 for none. counted: (tasks, n).
    """
    p = np.take_along_axis(proba, label.clip(min=0)[:, None, :], axis=1)[:, 0]
    loss = -np.log(np.maximum(p, LEAST))
    total = np.where(counted, loss, 0.0).sum(axis=1)
    number = counted.sum(axis=1)
    return np.divide(total, number, out=np.full(len(total), np.nan), where=number > 0)


class Progress(ABC):
    """Measures the fall of a log-loss from round to round.

    Attributes:
        lag: how many rounds ago the batch was bought that a reward is owed to.
    """

    lag: int = 0

    @abstractmethod
    def begin(self, n_campaigns: int) -> None:
        """Forget everything."""

    @abstractmethod
    def before(self, context: Context) -> None:
        """Look at the model that is about to buy a batch."""

    @abstractmethod
    def after(self, context: Context, queries: Ints) -> Floats:
        """(n,) fall of the loss, NaN where nothing can be said yet; after the reveal of `queries` (n, width)."""


class Prequential(Progress):
    """The new batch judges the batch before it: both models of which it is a part of neither's training.

    The batch of round t is new to the models before and after batch t - 1; the fall of the log-loss between them on its
    labels is what batch t - 1 brought. No label is held back, none is used twice; it is measured where the policy asks.
    """

    lag = 1

    def begin(self, n_campaigns: int) -> None:
        """See `Progress.begin`."""
        self._models: list[tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]] = [(None, None)] * n_campaigns

    def before(self, context: Context) -> None:
        """See `Progress.before`."""
        for at, view in context.views:
            for slot, proba in zip(context.slots[at].tolist(), view.proba.cpu().numpy(), strict=True):
                self._models[slot] = (self._models[slot][1], proba.copy())

    def after(self, context: Context, queries: Ints) -> Floats:
        """See `Progress.after`."""
        fall = np.full(len(context), np.nan)
        for at, view in context.views:
            labels = view.y.cpu().numpy()
            for row, index in enumerate(at.tolist()):
                older, newer = self._models[int(context.slots[index])]
                if older is None or newer is None:
                    continue
                items = queries[index][queries[index] >= 0]
                label, counted = labels[row, items][None], np.ones((1, len(items)), np.bool_)
                losses = [log_loss(model[None, :, items], label, counted)[0] for model in (older, newer)]
                fall[index] = losses[0] - losses[1]
        return fall


class Validated(Progress):
    """Labels that were bought at random judge every batch, by models that are fitted without them.

    The models are those of the default learner. A label serves here and in the campaign's own model, which keeps it.
    """

    def begin(self, n_campaigns: int) -> None:
        """See `Progress.begin`."""
        self._held = np.zeros((n_campaigns, 0), np.bool_)
        self._loss = np.full(n_campaigns, np.nan)

    def number(self, slots: Ints) -> Ints:
        """(n,) validation labels so far."""
        return self._held[slots].sum(axis=1)

    def hold(self, context: Context, queries: Ints, which: NDArray[np.bool_]) -> None:
        """The batches `queries` (n, width) of the campaigns `which` (n,) are validation labels from now on."""
        width = max((view.y.shape[1] for _, view in context.views), default=0)
        missing = max(0, width - self._held.shape[1])
        self._held = np.pad(self._held, ((0, 0), (0, missing)))
        row, column = np.nonzero((queries >= 0) & which[:, None])
        self._held[context.slots[row], queries[row, column]] = True

    def before(self, context: Context) -> None:
        """See `Progress.before`: nothing to do, the loss after the last batch is known."""

    def after(self, context: Context, queries: Ints) -> Floats:
        """See `Progress.after`."""
        fall = np.full(len(context), np.nan)
        for at, view in context.views:
            slots = context.slots[at]
            loss = self.loss(view, slots)
            fall[at] = self._loss[slots] - loss
            self._loss[slots] = loss
        return fall

    def loss(self, view: PoolView, slots: Ints) -> Floats:
        """(tasks,) log-loss on the validation labels of models without them; NaN without such labels."""
        order = view.order.cpu().numpy()
        real = order >= 0
        held = np.zeros(order.shape, np.bool_)
        if self._held.shape[1]:
            held = self._held[slots[:, None], order.clip(min=0)] & real
        kept = torch.from_numpy(real & ~held).to(view.rows.device)
        proba = without(view.arrays, view.rows, kept).cpu().numpy()
        return log_loss(proba, view.gather(view.arrays.yL).cpu().numpy(), held)
