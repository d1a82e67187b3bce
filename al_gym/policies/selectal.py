"""SelectAL: a derivative test tells whether typical, random or uncertain items help most at this budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.learners import make_learner
from al_gym.policies.base import Choice, Context, Floats, Ints, Policy, register_policy
from al_gym.policies.strategy_lists import parse_strategies
from al_gym.pool import PoolView, Shape
from al_gym.pool.arrays import PoolArrays
from al_gym.strategies import Strategy
from al_gym.strategies.checks import number, whole

DEFAULT_TRIO = ("typiclust", "random", "margin")


def without(arrays: PoolArrays, rows: Tensor, kept: Tensor) -> Tensor:
    """(tasks, classes, labels) float32: probabilities of every labelled item by the default learner fitted to some.

    Args:
        arrays: the block's storage. rows: (tasks,) int64.
        kept: (tasks, labels) bool, the labels that are fitted, by their number in `arrays.order`.
    """
    order = (~kept).to(torch.int8).argsort(dim=1, stable=True)
    count = kept.sum(dim=1)
    real = torch.arange(kept.shape[1], device=rows.device)[None, :] < count[:, None]
    X = arrays.XL[rows]
    XL = X.gather(1, order[:, :, None].expand_as(X)).masked_fill(~real[:, :, None], 0.0)
    yL = arrays.yL[rows].gather(1, order).masked_fill(~real, -1)
    classes = torch.arange(arrays.seen.shape[1], device=rows.device)
    seen = (yL[:, None, :] == classes[None, :, None]).any(dim=2)
    sizes = {name: getattr(arrays, name)[rows] for name in ("n_features", "n_classes", "n_items")}
    scratch = replace(arrays, XL=XL, yL=yL, count=count, seen=seen, **sizes)
    learner, every = make_learner("softmax"), torch.arange(len(rows), device=rows.device)
    shape = Shape(arrays.y.shape[1], X.shape[2], len(classes), X.shape[1], 0)
    state = learner.allocate(shape, len(rows), rows.device)
    learner.fit(state, scratch, every)
    return learner.predict_proba(state, scratch, every, X)


def removed(score: Tensor, among: Tensor, share: float) -> Tensor:
    """(tasks, labels) bool: the share of `among` (tasks, labels) with the highest `score`, at least one of them."""
    size = (among.sum(dim=1) * share).round().clamp(min=1)
    rank = score.masked_fill(~among, -torch.inf).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return among & (rank < size[:, None])


def derivative_test(view: PoolView, folds: int, share: float, name: str) -> Floats:
    """(tasks, 3) share of held-out labels that are foreseen after typical, random, or uncertain labels were removed.

    Args:
        view: the campaigns, each with at least `folds` + 1 labels. folds: of the cross-validation.
        share: of the training labels that is removed. name: key of the random draws.
    """
    rows, arrays = view.rows, view.arrays
    order = view.order.clamp(min=0)
    real = torch.arange(order.shape[1], device=rows.device)[None, :] < view.n_labelled[:, None]
    noise = torch.from_numpy(view.stream(name).uniform(order.shape[1])).to(rows.device)
    fold = noise.masked_fill(~real, 2.0).argsort(dim=1).argsort(dim=1) % folds
    chance = torch.from_numpy(view.stream(name).uniform(order.shape[1], draw=1)).to(rows.device)
    typical = -view.neighbour_distance().gather(1, order)
    right = torch.zeros(len(view), 3, dtype=torch.float64, device=rows.device)
    for index in range(folds):
        held_out, train = real & (fold == index), real & (fold != index)
        top = without(arrays, rows, train).topk(2, dim=1).values
        for column, score in enumerate((typical, chance, top[:, 1] - top[:, 0])):
            proba = without(arrays, rows, train & ~removed(score, train, share))
            right[:, column] += ((proba.argmax(dim=1) == arrays.yL[rows]) & held_out).sum(dim=1)
    return (right / view.n_labelled[:, None]).cpu().numpy()


def verdict(accuracy: Floats) -> Ints:
    """(n,) column of `accuracy` (n, 3) whose removal hurts most; the middle one unless another is alone the lowest."""
    lowest = accuracy == accuracy.min(axis=1, keepdims=True)
    return np.where(lowest.sum(axis=1) == 1, lowest.argmax(axis=1), 1)


@register_policy("selectal")
class SelectAL(Policy):
    r"""SelectAL: each round a typicality, a random or an uncertainty strategy, whichever a derivative test points to.

    What would help most if it were added is guessed from what hurts most if it is removed. The labelled items are cut
    into folds. For each fold a model is fitted to the other folds without a small share of their labels: the most
    typical ones (smallest mean distance to the 20 nearest items of the pool), random ones, or the most uncertain ones
    (smallest margin of a model of all other folds). Accuracies on the held-out labels are pooled over the folds; the
    strategy of the removal with the lowest accuracy takes the batch, the random one where the lowest is shared. Before
    there are `least` labels a fold the typicality strategy takes it.

    **Source:** Hacohen & Weinshall 2023, *How to select which active learning strategy is best suited for your
    specific problem and budget*. Adapted: typical and uncertain labels are ranked rather than
    chosen by the strategies themselves, folds replace repeated training of a network, and the test is made every
    round with the default learner. **Assumes** that gain and loss mirror each other (the derivative exists), and
    enough labels to see a difference of a few held-out items: with 50 labels one item is 2 points. **Cost:** four
    fits a fold and round.

    Args:
        strategies: three, as a list or as text such as 'typiclust+random+margin': for typical, random and uncertain.
        folds: of the cross-validation, at least 2.
        share: of the training labels that is removed (at least one label), in (0, 0.5].
        least: labels a fold before the first test, at least 2.

    Raises:
        ParameterError: a value outside these ranges, or not three strategies.
    """

    name = "selectal"

    def __init__(
        self,
        *,
        strategies: str | Sequence[str | Strategy] = DEFAULT_TRIO,
        folds: int = 5,
        share: float = 0.1,
        least: int = 2,
    ) -> None:
        self.strategies = parse_strategies(strategies)
        if len(self.strategies) != 3:
            raise ParameterError(
                f"selectal: strategies must be three (typical+random+uncertain), got {'+'.join(self.labels)!r}."
            )
        self.folds = whole(self.name, "folds", folds, 2)
        self.share = number(self.name, "share", share, 0, above=True)
        self.least = whole(self.name, "least", least, 2)
        if self.share > 0.5:
            raise ParameterError(f"selectal: share must lie in (0, 0.5], got {share!r}.")

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        strategy = np.zeros(len(context), np.int64)
        for at, view in context.views:
            enough = np.flatnonzero(view.n_labelled.cpu().numpy() >= self.folds * self.least)
            if len(enough):
                part = view.take(torch.from_numpy(enough).to(view.rows.device))
                strategy[at[enough]] = verdict(derivative_test(part, self.folds, self.share, self.name))
        return context.choice(strategy)
