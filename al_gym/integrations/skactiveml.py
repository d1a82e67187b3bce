"""scikit-activeml, both ways: its query strategies as strategies here, policies from here as one of its classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import Tensor

from al_gym.errors import MissingExtraError, ParameterError, StrategyError
from al_gym.integrations.following import Floats, FollowedCampaign, Ints, Predict, align, encode, random_items
from al_gym.policies import load_policy
from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, no_picks
from al_gym.streams import Stream

try:
    from skactiveml.base import SingleAnnotatorPoolQueryStrategy, SkactivemlClassifier
    from skactiveml.utils import MISSING_LABEL, check_equal_missing_label, check_scalar, check_type, is_labeled
except ImportError as error:
    raise MissingExtraError("scikit-activeml", "skactiveml") from error

MakeQueryStrategy = Callable[[list[int]], SingleAnnotatorPoolQueryStrategy]


class PoolClassifier(SkactivemlClassifier):
    """The campaign's model as scikit-activeml sees a classifier: fitted, with probabilities of the pool's items.

    Args:
        X: (items, features) float64, the pool.
        proba: (items, classes) float64.
    """

    def __init__(self, X: Floats, proba: Floats) -> None:
        super().__init__(classes=list(range(proba.shape[1])))
        self.X, self.proba = X, proba
        self.classes_ = np.arange(proba.shape[1])
        self.n_features_in_ = X.shape[1]
        self._rows = {row.tobytes(): p for row, p in zip(X, proba, strict=True)}

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SkactivemlClassifier:
        """Not possible: this model is the campaign's."""
        raise StrategyError("the query strategy refits its classifier; give SkactivemlStrategy a clf= to fit.")

    def predict_proba(self, X: Any) -> Floats:
        """(n, classes) of rows of the pool."""
        try:
            return np.array([self._rows[row.tobytes()] for row in np.ascontiguousarray(X, np.float64)])
        except KeyError:
            raise StrategyError(
                "the query strategy asks for predictions outside the pool; give SkactivemlStrategy a clf= to fit."
            ) from None

    def predict(self, X: Any) -> Ints:
        """(n,) the most probable class."""
        return self.predict_proba(X).argmax(axis=1)


class SkactivemlStrategy(Strategy):
    """A scikit-activeml query strategy as a strategy of al_gym, on the scaled features.

    Its `random_state` is set from the task's stream at each query, so that a task's picks are reproducible and do not
    depend on the tasks beside it.

    Args:
        query_strategy: a `SingleAnnotatorPoolQueryStrategy`, or a function that makes one from the list of classes.
        name: of the strategy; that of the class if None.
        clf: a scikit-activeml classifier that is fitted at each query, for query strategies that refit; None offers
            the campaign's own model, which predicts for pool items only.
        arguments: further keyword arguments of `query`, such as `ensemble` or `discriminator`.

    Raises:
        ParameterError: not such a query strategy, or `query` needs arguments that are not given.
    """

    deterministic = False

    def __init__(
        self,
        query_strategy: SingleAnnotatorPoolQueryStrategy | MakeQueryStrategy,
        *,
        name: str | None = None,
        clf: SkactivemlClassifier | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        if inspect.isclass(query_strategy) or not (
            isinstance(query_strategy, SingleAnnotatorPoolQueryStrategy) or callable(query_strategy)
        ):
            raise ParameterError(f"SkactivemlStrategy needs a query strategy object, got {query_strategy!r}.")
        self.query_strategy = query_strategy
        self.clf = clf
        self.arguments = dict(arguments or {})
        made = self._make([0, 1])
        self.name = name or type(made).__name__.lower()  # type: ignore[misc]
        parameters = inspect.signature(made.query).parameters
        self._takes = {key for key in ("clf", "fit_clf") if key in parameters}
        needed = {key for key, p in parameters.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
        absent = sorted(needed - {"X", "y", "clf", *self.arguments})
        if absent:
            raise ParameterError(f"{self.name}: query needs {', '.join(absent)}; pass it in arguments=.")

    def _make(self, classes: list[int]) -> SingleAnnotatorPoolQueryStrategy:
        """A fresh query strategy."""
        if isinstance(self.query_strategy, SingleAnnotatorPoolQueryStrategy):
            return clone(self.query_strategy)
        made = self.query_strategy(classes)
        if not isinstance(made, SingleAnnotatorPoolQueryStrategy):
            raise ParameterError(f"{self.query_strategy!r} made {made!r}, not a SingleAnnotatorPoolQueryStrategy.")
        return made

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`.

        Raises:
            StrategyError: the query strategy refits or predicts outside the pool, and there is no `clf`.
        """
        picked, candidates = no_picks(k.cpu()), view.candidates.cpu().numpy()
        for task, (size, seed) in enumerate(zip(k.tolist(), stream.seeds(), strict=True)):
            n, classes = int(view.n_items[task]), int(view.n_classes[task])
            X = view.X[task, :n, : int(view.n_features[task])].cpu().numpy().astype(np.float64)
            y = view.y[task, :n].cpu().numpy().astype(np.float64)
            y[y < 0] = np.nan
            query = self._make(list(range(classes))).set_params(random_state=seed)
            items = np.flatnonzero(candidates[task])
            model = self._model(view, task, X)
            try:
                chosen = query.query(X=X, y=y, candidates=items, batch_size=size, **model, **self.arguments)
            except NotFittedError as error:
                raise StrategyError(
                    f"{self.name} refits its classifier ({error}); give SkactivemlStrategy a clf= to fit."
                ) from error
            picked[task, :size] = torch.from_numpy(np.asarray(chosen, np.int64))
        return picked.to(k.device)

    def _model(self, view: PoolView, task: int, X: Floats) -> dict[str, Any]:
        """The arguments `clf` and `fit_clf`, as far as `query` takes them."""
        classes = int(view.n_classes[task])
        if "clf" not in self._takes:
            return {}
        if self.clf is not None:
            return {"clf": clone(self.clf).set_params(classes=list(range(classes)))}
        proba = view.proba[task, :classes, : len(X)].T.cpu().numpy().astype(np.float64)
        return {"clf": PoolClassifier(X, proba)} | ({"fit_clf": False} if "fit_clf" in self._takes else {})


class _Running(NamedTuple):
    """What a `PolicyQueryStrategy` is in the middle of."""

    settings: tuple[Any, ...]
    X: Floats
    campaign: FollowedCampaign


class PolicyQueryStrategy(SingleAnnotatorPoolQueryStrategy):
    """A policy of al_gym as a scikit-activeml query strategy.

    One object follows one campaign: as long as `X` stays the same and labels are only added, the policy sees the rounds
    that led here (the last strategy, how well the model foresaw the last labels, what is left of the budget). Other
    data start another campaign with the whole budget. A repeated query gives the same answer. Without any label the
    items are random.

    Parameters
    ----------
    policy : str, pathlib.Path or Policy, default='shipped'
        Anything that `al_gym.load_policy` takes: a run folder, a strategy's name, an object.
    classes : array-like of shape (n_classes,)
        Every class there is, seen or not.
    budget : int, default=100
        Labels that can be bought from the first query on.
    scaling : str, default='standardize'
        Of the features, for strategies and observation; the classifier gets them as they are.
    missing_label : scalar or string or np.nan or None, default=np.nan
        Value to represent a missing label.
    random_state : int or RandomState instance or None, default=None
        Controls ties and random draws.
    """

    def __init__(
        self,
        policy: Any = "shipped",
        classes: Sequence[Any] | None = None,
        budget: int = 100,
        scaling: str = "standardize",
        missing_label: Any = MISSING_LABEL,
        random_state: Any = None,
    ) -> None:
        super().__init__(missing_label=missing_label, random_state=random_state)
        self.policy = policy
        self.classes = classes
        self.budget = budget
        self.scaling = scaling

    def query(
        self,
        X: Any,
        y: Any,
        clf: SkactivemlClassifier,
        fit_clf: bool = True,
        candidates: Any = None,
        batch_size: int = 1,
        return_utilities: bool = False,
    ) -> Any:
        """Determine for which samples labels are to be queried.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The whole pool, labelled samples included.
        y : array-like of shape (n_samples,)
            Their labels, `missing_label` where there is none.
        clf : skactiveml.base.SkactivemlClassifier
            The model whose probabilities the policy sees.
        fit_clf : bool, default=True
            Whether a copy of `clf` is fitted to `X` and `y` first.
        candidates : None or array-like of shape (n_candidates,), dtype=int, default=None
            Indices of the unlabelled samples that may be queried; all of them if None.
        batch_size : int, default=1
            The number of samples to select.
        return_utilities : bool, default=False
            If true, also return utilities.

        Returns:
        -------
        query_indices : numpy.ndarray of shape (batch_size,)
            The samples in the order of picking.
        utilities : numpy.ndarray of shape (batch_size, n_samples)
            For each pick 1 for the sample picked, 0 for the other candidates, nan for the rest.
        """
        X, y, candidates, batch_size, return_utilities = self._validate_data(
            X, y, candidates, batch_size, return_utilities, reset=True, check_X_dict={"dtype": np.float64}
        )
        _, mapping = self._transform_candidates(candidates, X, y, enforce_mapping=True, allow_only_unlabeled=True)
        check_type(clf, "clf", SkactivemlClassifier)
        check_equal_missing_label(clf.missing_label, self.missing_label_)
        check_scalar(fit_clf, "fit_clf", bool)
        labelled = np.flatnonzero(is_labeled(y, self.missing_label_))
        labels = encode(y[labelled].tolist(), self._classes())
        allowed = np.zeros(len(X), np.bool_)
        allowed[mapping] = True
        if len(labelled):
            model = clone(clf).fit(X, y) if fit_clf else clf
            chosen = self._follow(X, labelled, labels, self._predictor(model)).ask(batch_size, allowed)
        else:
            chosen = random_items(X, self._seed(), batch_size, allowed)
        return (chosen, _utilities(chosen, allowed)) if return_utilities else chosen

    def _classes(self) -> list[Any]:
        if self.classes is None or isinstance(self.classes, str) or not hasattr(self.classes, "__len__"):
            raise ParameterError(f"PolicyQueryStrategy needs classes=, the list of every class, got {self.classes!r}.")
        return np.asarray(self.classes, dtype=object).tolist()

    def _seed(self) -> int:
        return int(self.random_state_.randint(2**31 - 1))

    def _predictor(self, model: SkactivemlClassifier) -> Predict:
        """Probabilities in the order of `classes`."""
        columns, classes = np.asarray(model.classes_).tolist(), self._classes()

        def predict(X: Floats) -> Floats:
            return align(model.predict_proba(X), columns, classes)

        return predict

    def _follow(self, X: Floats, labelled: Ints, labels: Ints, predict: Predict) -> FollowedCampaign:
        """The campaign, brought up to date, or another one if this is not its continuation."""
        settings = (self.policy, tuple(self._classes()), self.budget, self.scaling)
        now = dict(zip(labelled.tolist(), labels.tolist(), strict=True))
        running: _Running | None = getattr(self, "running_", None)
        if running is not None and running.settings == settings and np.array_equal(X, running.X):
            known = running.campaign.labels
            if known.items() <= now.items():
                new = np.array([item for item in now if item not in known], np.int64)
                if len(new):
                    running.campaign.tell(new, np.array([now[int(item)] for item in new]), predict)
                return running.campaign
        campaign = FollowedCampaign(
            load_policy(self.policy), X, labelled, labels, predict,
            class_names=self._classes(), budget=self.budget, scaling=self.scaling, seed=self._seed(),
        )  # fmt: skip
        self.running_ = _Running(settings, X.copy(), campaign)
        return campaign


def _utilities(chosen: Ints, allowed: NDArray[np.bool_]) -> Floats:
    """(batch, items): 1 for each pick, 0 for the other candidates that were left, nan elsewhere."""
    out = np.full((len(chosen), len(allowed)), np.nan)
    left = allowed.copy()
    for row, item in zip(out, chosen, strict=True):
        row[left] = 0.0
        row[item] = 1.0
        left[item] = False
    return out
