"""A campaign that another library drives: it owns the model and asks for the labels, a policy says what to ask for.

The campaign, the observation and the strategies are those of environments and evaluations (promise P1). What differs is
where answers and probabilities come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.campaign import Campaign
from al_gym.errors import DatasetError, ParameterError, PolicyError
from al_gym.learners.base import Learner, write_scores
from al_gym.policies.base import Policy, decide, look
from al_gym.pool.arrays import PoolArrays, Shape
from al_gym.pool.view import PoolView
from al_gym.strategies import Strategy
from al_gym.strategies.nested import RestrictedView
from al_gym.streams import Stream
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.scaling import Scaler, resolve_scaling
from al_gym.tasks.task import Task
from al_gym.threads import one_thread

Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]
Predict = Callable[[Floats], Floats]

_SLOT = np.zeros(1, np.int64)


class OutsideModel(Learner):
    """The class probabilities of somebody else's model, for one campaign.

    Args:
        X: (items, features) the pool as the model takes it.
        scaler: what the campaign sees of it.
    """

    name = "outside"

    def __init__(self, X: Floats, scaler: Scaler) -> None:
        self._X, self._scaler = X, scaler

    def update(self, predict: Predict) -> None:
        """Take over the model as it is now; its own errors come through."""
        self._predict, self._proba = predict, predict(self._X)

    def allocate(self, shape: Shape, rows: int, device: torch.device) -> dict[str, Tensor]:
        """See `Learner.allocate`; nothing is kept here."""
        return {}

    def fit(self, state: Any, arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.fit`; the other library fits."""

    def predict_proba(self, state: Any, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.predict_proba`; the scaling is undone first."""
        factor = np.where(self._scaler.factor == 0, 1.0, self._scaler.factor)
        scaled = X[0, :, : len(factor)].double().numpy()
        return _padded(self._predict(scaled / factor + self._scaler.shift), arrays, X.shape[1])

    def score_pool(self, state: Any, arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.score_pool`."""
        write_scores(arrays, rows, _padded(self._proba, arrays, arrays.X.shape[1]))


def _padded(proba: Floats, arrays: PoolArrays, items: int) -> Tensor:
    """(1, classes, items) float32 from (n, classes)."""
    out = torch.zeros(1, arrays.seen.shape[1], items)
    out[0, : proba.shape[1], : len(proba)] = torch.from_numpy(proba.T.astype(np.float32))
    return out


class _Allowed(Strategy):
    """A strategy that is offered only some of the candidates."""

    def __init__(self, strategy: Strategy, allowed: NDArray[np.bool_]) -> None:
        self.strategy, self.allowed = strategy, torch.from_numpy(allowed)
        self.name = strategy.name  # type: ignore[misc]

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        mask = torch.zeros_like(view.candidates)
        mask[:, : len(self.allowed)] = self.allowed
        return self.strategy.select(RestrictedView(view, view.candidates & mask), k, stream)


class _Open(Campaign):
    """A campaign whose answers arrive as they are given."""

    def answer(self, items: Ints, labels: Ints) -> None:
        """Note what the oracle says about `items` (n,) of slot 0."""
        for _, block, rows in self._groups(_SLOT):
            block.hidden.y[rows[0], torch.from_numpy(items)] = torch.from_numpy(labels)


class FollowedCampaign:
    """One campaign of a policy on data that somebody else labels.

    Args:
        policy: decides which strategy takes the next batch; the caller decides how many labels that is.
        X: (items, features) the whole pool, labelled items included.
        items: (n,) positions labelled so far, at least one: the seed set.
        labels: (n,) their classes, from 0.
        predict: class probabilities (m, classes) of any rows (m, features) by the model as it is now.
        class_names: all classes, in the order of the columns of `predict`.
        budget: labels that can still be bought.
        scaling: of the features, for strategies and observation.
        seed: of ties and random draws.

    Raises:
        DatasetError: `X` is not a finite matrix.
        PolicyError: the policy reads hidden labels.
    """

    def __init__(
        self, policy: Policy, X: Floats, items: Ints, labels: Ints, predict: Predict, *,
        class_names: Sequence[Any], budget: int, scaling: str = "standardize", seed: int = 0,
    ) -> None:  # fmt: skip
        if policy.privileged:
            raise PolicyError(f"policy {policy.name!r} reads hidden labels, which nobody has here; choose another one.")
        if isinstance(budget, bool) or not isinstance(budget, int | np.integer) or budget < 1:
            raise ParameterError(f"budget must be a positive number of labels, got {budget!r}.")
        X = check_features(X)
        answers = np.zeros(len(X), np.int64)
        answers[items] = labels
        names = tuple(map(str, class_names))
        data = Dataset("outside", X, answers, names, check=False)
        scaling, pool = resolve_scaling(scaling, data.modality), np.arange(len(X))
        task = Task(data, seed, pool, np.zeros(0, np.int64), scaling, items)
        self.policy = policy
        self.labels = {int(item): int(label) for item, label in zip(items, labels, strict=True)}
        self._model = OutsideModel(X, Scaler(X, scaling))
        self._model.update(predict)
        self._campaign = _Open(1, learner=self._model)
        with one_thread():
            self._campaign.load(_SLOT, [task], [int(budget)])
        self._last, self._strategy = -1, -1
        self._begun = False

    @property
    def remaining(self) -> int:
        """Labels that can still be bought."""
        return int(self._campaign.remaining(_SLOT)[0])

    def ask(self, batch: int, allowed: NDArray[np.bool_] | None = None) -> Ints:
        """The items to label next; asking again changes nothing.

        Args:
            batch: number of items, at least 1.
            allowed: (items,) which unlabelled items may be asked for; all if None.

        Returns:
            (batch,) int64 positions.

        Raises:
            ParameterError: the batch is larger than what is left of the budget or of the items allowed.
            PolicyError: the policy wants to stop, which the other library cannot do.
        """
        left = self.remaining if allowed is None else min(self.remaining, int(allowed.sum()))
        if not 1 <= batch <= left:
            raise ParameterError(
                f"a batch of {batch} is not between 1 and the {left} labels left ({self.remaining} of the budget)."
            )
        with one_thread():
            if self._strategy < 0:
                self._strategy = self._decide(batch)
            strategy = self.policy.strategies[self._strategy]
            offered = strategy if allowed is None else _Allowed(strategy, allowed)
            return self._campaign.select(_SLOT, [offered], _SLOT, np.array([batch]))[0]

    def _decide(self, batch: int) -> int:
        """Index of the policy's strategy for this round; it is asked once a round."""
        if not self._begun:
            self.policy.begin(1, batch)
            self._begun = True
        choice = decide(self.policy, look(self.policy, self._campaign, _SLOT, np.array([self._last]), batch))
        if choice.stop[0]:
            raise PolicyError(f"policy {self.policy.name!r} wants to stop; end the loop, or use a policy without stop.")
        return int(choice.strategy[0])

    def tell(self, items: Ints, labels: Ints, predict: Predict) -> None:
        """Go on with the answers to a batch.

        Args:
            items: (n,) positions, unlabelled so far. labels: (n,) classes, from 0.
            predict: the model after it has learned from them.

        Raises:
            ParameterError: more labels than remain of the budget.
        """
        if len(items) > self.remaining:
            raise ParameterError(f"{len(items)} labels came, {self.remaining} remain of the budget; raise budget.")
        self._model.update(predict)
        self._last, self._strategy = self._strategy, -1
        with one_thread():
            self._campaign.answer(items, labels)
            self._campaign.reveal(_SLOT, items[None, :])
            if self._last >= 0:
                context = look(self.policy, self._campaign, _SLOT, np.array([self._last]), len(items), observe=False)
                self.policy.observe(context, items[None, :])
        self.labels |= {int(item): int(label) for item, label in zip(items, labels, strict=True)}


def check_features(X: Any) -> Floats:
    """(items, features) float64.

    Raises:
        DatasetError: not a dense finite matrix.
    """
    if hasattr(X, "toarray"):
        raise DatasetError("sparse features cannot be used; pass X.toarray().")
    try:
        out = np.asarray(X, np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"X must be a matrix of numbers: {error}.") from error
    if out.ndim != 2 or not np.isfinite(out).all():
        raise DatasetError(f"X must be a finite (items, features) matrix, got shape {out.shape}.")
    return out


def align(proba: Floats, columns: Sequence[Any], classes: Sequence[Any]) -> Floats:
    """(n, classes) float64: columns of a model put in the order of `classes`, 0 for classes it does not know.

    Raises:
        ParameterError: the model knows a class that is not in `classes`.
    """
    place = {label: at for at, label in enumerate(classes)}
    unknown = [label for label in columns if label not in place]
    if unknown:
        raise ParameterError(f"the model knows the classes {unknown}, which are not among classes={list(classes)!r}.")
    out = np.zeros((len(proba), len(classes)))
    out[:, [place[label] for label in columns]] = proba
    return out


def encode(labels: Sequence[Any], classes: Sequence[Any]) -> Ints:
    """(n,) int64 positions of `labels` in `classes`.

    Raises:
        ParameterError: a label that is not in `classes`.
    """
    place = {label: at for at, label in enumerate(classes)}
    unknown = sorted({repr(label) for label in labels if label not in place})
    if unknown:
        raise ParameterError(f"the labels {', '.join(unknown)} are not among classes={list(classes)!r}.")
    return np.array([place[label] for label in labels], np.int64)


def random_items(X: Floats, seed: int, batch: int, allowed: NDArray[np.bool_]) -> Ints:
    """(batch,) random allowed positions: where nothing is labelled yet, there is nothing to observe."""
    key = np.array([np.random.SeedSequence([seed, *X.shape]).generate_state(1, np.uint64)[0]])
    noise = Stream.of(key, np.zeros(1, np.int64), "seed-set").uniform(len(X))[0]
    return np.argsort(np.where(allowed, noise, 2.0), kind="stable")[:batch]
