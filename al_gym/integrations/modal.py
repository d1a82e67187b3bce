"""modAL, both ways: its query strategies as strategies here, policies from here as its query strategies.

The objects follow modAL's calling conventions and never import it: modAL 0.4.2.1 needs scikit-learn below 1.8, and an
import here would force that on everybody.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from al_gym.errors import ParameterError, StrategyError
from al_gym.integrations.following import (
    Floats,
    FollowedCampaign,
    Ints,
    Predict,
    align,
    check_features,
    encode,
    random_items,
)
from al_gym.policies import Policy, load_policy
from al_gym.policies.loading import PolicyLike
from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, no_picks
from al_gym.streams import Stream

QueryFunction = Callable[..., Any]
MakeLearner = Callable[[Floats, Ints], Any]


class PoolModel:
    """The campaign's model as modAL's functions see a learner: fitted, with probabilities of the pool's items.

    Attributes:
        X_training: (labels, features) float64. y_training: (labels,) int64.
        classes_: (classes,) int64, the classes that have a label.
        on_transformed: False.
    """

    on_transformed = False

    def __init__(self, X: Floats, y: Ints, classes: Ints, pool: Floats, proba: Floats) -> None:
        self.X_training, self.y_training, self.classes_ = X, y, classes
        self.estimator = self
        self._proba = {row.tobytes(): p for row, p in zip(pool, proba, strict=True)}

    def predict_proba(self, X: Floats) -> Floats:
        """(n, classes) of rows of the pool.

        Raises:
            StrategyError: a row is not in the pool.
        """
        try:
            return np.array([self._proba[row.tobytes()] for row in np.ascontiguousarray(X, np.float64)])
        except KeyError:
            raise StrategyError(
                "the query strategy asks for predictions outside the pool; give ModalStrategy a learner= to fit."
            ) from None

    def predict(self, X: Floats) -> Ints:
        """(n,) the most probable class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class ModalStrategy(Strategy):
    """A modAL query strategy as a strategy of al_gym: `gym.make(..., strategies=["margin", ModalStrategy(f)])`.

    The function gets the unlabelled items (scaled features) in an order that the task's stream shuffles, so that ties
    which it breaks by position are random and reproducible (`random_tie_break` would use numpy's global generator).

    Args:
        function: `function(classifier, X_pool, n_instances=..., **arguments)`; it returns indices, or indices and
            their scores.
        name: of the strategy; the function's own if None.
        learner: makes a modAL learner or committee from (X, y), for functions that refit or vote; None offers the
            campaign's own model, which predicts for pool items only.
        arguments: further keyword arguments of the function.

    Raises:
        ParameterError: `function` cannot be called, or has no name and none is given.
    """

    deterministic = False

    def __init__(
        self,
        function: QueryFunction,
        *,
        name: str | None = None,
        learner: MakeLearner | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        if not callable(function):
            raise ParameterError(f"ModalStrategy needs a query strategy function, got {function!r}.")
        chosen = name or getattr(function, "__name__", "").replace("_", "-")
        if not chosen or chosen == "<lambda>":
            raise ParameterError(f"{function!r} has no name; pass name=.")
        self.name = chosen  # type: ignore[misc]
        self.function = function
        self.learner = learner
        self.arguments = dict(arguments or {})

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`.

        Raises:
            StrategyError: the function returned something else than `k` distinct indices.
        """
        picked, noise = no_picks(k.cpu()), stream.uniform(view.valid.shape[1])
        candidates = view.candidates.cpu().numpy()
        for task, size in enumerate(k.tolist()):
            items = np.flatnonzero(candidates[task])
            items = items[np.argsort(noise[task, items], kind="stable")]
            X = view.X[task, :, : int(view.n_features[task])].cpu().numpy().astype(np.float64)
            answer = self.function(self._classifier(view, task, X), X[items], n_instances=size, **self.arguments)
            chosen = np.asarray(answer[0] if isinstance(answer, tuple) else answer).reshape(-1)
            if chosen.dtype.kind not in "iu" or len(chosen) != size or len(set(chosen.tolist())) != size:
                raise StrategyError(f"{self.name} returned {chosen.tolist()}; it must return {size} distinct indices.")
            picked[task, :size] = torch.from_numpy(items[chosen])
        return picked.to(k.device)

    def _classifier(self, view: PoolView, task: int, X: Floats) -> Any:
        """What the function gets as its first argument."""
        labelled = view.order[task, : int(view.n_labelled[task])].cpu().numpy()
        y = view.y[task].cpu().numpy()[labelled]
        if self.learner is not None:
            return self.learner(X[labelled], y)
        classes = torch.nonzero(view.seen[task])[:, 0]
        n = int(view.n_items[task])
        proba = view.proba[task, classes, :n].T.cpu().numpy().astype(np.float64)
        return PoolModel(X[labelled], y, classes.cpu().numpy(), X[:n], proba)


class ModalQueryStrategy:
    """A policy of al_gym as a modAL query strategy: `ActiveLearner(estimator, query_strategy=ModalQueryStrategy(...))`.

    One object follows one campaign. It knows the items by their features: what stands in `X_training` is labelled, in
    the order it was taught, and what stands in the pool of a query may be asked for, whether or not the caller removes
    what was taught. Items that were never seen start another campaign, with the labels of that moment as its seed set
    and with what is left of the budget; so does a learner with fewer labels than the first one, with the whole budget.
    A learner without training data gets random items.

    Args:
        policy: anything that `load_policy` takes, a trained policy or a strategy's name among them.
        classes: every class there is, seen or not.
        budget: labels that can be bought from the first query on.
        scaling: of the features, for strategies and observation; the estimator gets them as they are.
        seed: of ties and random draws.

    Raises:
        ParameterError: fewer than two classes, or an impossible budget (at the first query).
        PolicyError: the policy reads hidden labels.
    """

    def __init__(
        self, policy: PolicyLike, *, classes: Sequence[Any], budget: int, scaling: str = "standardize", seed: int = 0
    ) -> None:
        if len(set(classes)) != len(classes) or len(classes) < 2:
            raise ParameterError(f"classes must be two or more different labels, got {list(classes)!r}.")
        self.policy: Policy = load_policy(policy)
        self.classes = list(classes)
        self.budget = budget
        self.scaling = scaling
        self.seed = seed
        self._campaign: FollowedCampaign | None = None
        self._initial: int | None = None
        self._positions: dict[bytes, list[int]] = {}

    @property
    def remaining(self) -> int:
        """Labels that could still be bought at the last query."""
        return self.budget if self._campaign is None else self._campaign.remaining

    def __call__(self, classifier: Any, X_pool: Any, n_instances: int = 1) -> tuple[Ints, Floats]:
        """Indices into `X_pool` of the items to label next, and the model's uncertainty 1 - max p of each.

        Args:
            classifier: the modAL learner or committee.
            X_pool: (items, features) the unlabelled pool.
            n_instances: labels to buy now, at least 1.

        Raises:
            ParameterError: more instances than are left, or labels outside `classes`.
        """
        pool = check_features(X_pool)
        X, y = _training(classifier)
        if X is None or y is None:
            return self._first(pool, n_instances)
        predict = _predictor(classifier, self.classes)
        labels = encode(np.asarray(y).reshape(-1).tolist(), self.classes)
        where = self._follow(check_features(X), labels, pool, predict)
        assert self._campaign is not None  # for the type checker
        allowed = np.zeros(sum(map(len, self._positions.values())), np.bool_)
        allowed[where[where >= 0]] = True
        positions = self._campaign.ask(n_instances, allowed)
        row = {int(position): at for at, position in enumerate(where) if position >= 0}
        chosen = np.array([row[int(position)] for position in positions], np.int64)
        return chosen, 1 - predict(pool[chosen]).max(axis=1)

    def _first(self, pool: Floats, n_instances: int) -> tuple[Ints, Floats]:
        if not 1 <= n_instances <= min(len(pool), self.budget):
            raise ParameterError(f"n_instances={n_instances} is not between 1 and {min(len(pool), self.budget)}.")
        chosen = random_items(pool, self.seed, n_instances, np.ones(len(pool), np.bool_))
        return chosen, np.ones(n_instances)

    def _follow(self, X: Floats, labels: Ints, pool: Floats, predict: Predict) -> Ints:
        """Bring the campaign up to date; position of each pool row, -1 where it is labelled already."""
        if self._campaign is not None:
            taught, where = _match(self._positions, X, pool)
            known = list(self._campaign.labels.items())
            same = [(int(p), int(c)) for p, c in zip(taught, labels, strict=True)][: len(known)] == known
            if same and (taught >= 0).all() and (where > -2).all():
                new = taught[len(known) :]
                if len(new):
                    self._campaign.tell(new, labels[len(known) :], predict)
                return where
        return self._start(X, labels, pool, predict)

    def _start(self, X: Floats, labels: Ints, pool: Floats, predict: Predict) -> Ints:
        """Another campaign; a pool row that equals a labelled one stands for it."""
        labelled = {row.tobytes() for row in X}
        new = np.array([row.tobytes() not in labelled for row in pool], np.bool_)
        everything = np.concatenate([X, pool[new]])
        if self._initial is None or len(X) < self._initial:
            self._initial = len(X)
        left = self.budget - (len(X) - self._initial)
        if left < 1:
            raise ParameterError(f"the budget of {self.budget} labels is spent; raise budget.")
        self._positions = defaultdict(list)
        for position, row in enumerate(everything):
            self._positions[row.tobytes()].append(position)
        self._campaign = FollowedCampaign(
            self.policy, everything, np.arange(len(X)), labels, predict,
            class_names=self.classes, budget=left, scaling=self.scaling, seed=self.seed,
        )  # fmt: skip
        return _match(self._positions, X, pool)[1]


def _match(known: Mapping[bytes, Sequence[int]], X: Floats, pool: Floats) -> tuple[Ints, Ints]:
    """Positions of labelled rows X and of pool rows, each used once; -1 for what is taken, -2 for unknown rows."""
    free = {content: deque(positions) for content, positions in known.items()}

    def take(rows: Floats) -> Ints:
        out = np.full(len(rows), -2, np.int64)
        for at, row in enumerate(rows):
            queue = free.get(row.tobytes())
            if queue is not None:
                out[at] = queue.popleft() if queue else -1
        return out

    return take(X), take(pool)


def _training(classifier: Any) -> tuple[Any, Any]:
    """The training data of a learner, or of a committee's first learner; None where there is none."""
    if getattr(classifier, "X_training", None) is None and getattr(classifier, "learner_list", None):
        classifier = classifier.learner_list[0]
    return getattr(classifier, "X_training", None), getattr(classifier, "y_training", None)


def _predictor(classifier: Any, classes: Sequence[Any]) -> Predict:
    """Probabilities in the order of `classes`."""
    columns = getattr(classifier, "classes_", None)
    if columns is None:
        columns = classifier.estimator.classes_

    def predict(X: Floats) -> Floats:
        return align(classifier.predict_proba(X), np.asarray(columns).tolist(), classes)

    return predict
