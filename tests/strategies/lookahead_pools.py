"""Campaigns on small pools, and the look-ahead's utilities item by item with full refits by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from al_gym.campaign import Campaign
from al_gym.pool import PoolView
from al_gym.strategies import make_strategy
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.task import make_task

POOL_NAMES = ("expected-error-reduction", "expected-pool-entropy-reduction")
NAMES = (*POOL_NAMES, "expected-label-entropy-reduction", "expected-model-change")

Floats = NDArray[np.float64]


def clusters(items: int, features: int, classes: int, seed: int, spread: float = 1.0) -> Dataset:
    """Gaussian clusters, one a class, that overlap."""
    rng = np.random.default_rng(seed)
    y = np.arange(items) % classes
    X = rng.normal(size=(classes, features))[y] * spread + rng.normal(size=(items, features))
    return Dataset(f"clusters-{seed}", X.astype(np.float32), y, tuple(map(str, range(classes))))


def campaign_on(datasets: list[Dataset], rounds: int, batch: int = 5, pool: int = 60) -> Campaign:
    """Campaigns after some rounds of margin sampling, with the learner fitted tightly."""
    tasks = [make_task(dataset, 0, pool_size=pool, test_size=20) for dataset in datasets]
    campaign, slots = Campaign(len(tasks), learner="softmax:tol=0.0000005"), np.arange(len(tasks))
    campaign.load(slots, tasks, [batch * (rounds + 1)] * len(tasks))
    for _ in range(rounds):
        k = np.full(len(tasks), batch)
        campaign.reveal(slots, campaign.select(slots, [make_strategy("margin")], np.zeros(len(slots), int), k))
    return campaign


def views_of(campaign: Campaign) -> list[tuple[NDArray[np.int64], PoolView]]:
    return list(campaign.views(np.arange(len(campaign.tasks))))


@dataclass(frozen=True)
class Model:
    """One logistic regression in float64: probabilities and weights."""

    fitted: LogisticRegression

    @classmethod
    def fit(cls, X: Floats, y: NDArray[np.int64], weight: Floats | None = None) -> Model:
        return cls(LogisticRegression(C=1, tol=1e-8, max_iter=10000).fit(X, y, sample_weight=weight))

    def proba(self, X: Floats) -> Floats:
        """(items, classes seen)."""
        return self.fitted.predict_proba(X)

    @property
    def weights(self) -> Floats:
        return np.column_stack([self.fitted.coef_, self.fitted.intercept_])


def entropy(p: Floats) -> float:
    return float(-sum(q * np.log(q) for q in p if q > 0))


def exact_utilities(X: Floats, y: NDArray[np.int64], labelled: list[int], items: list[int]) -> dict[str, Floats]:
    """Name -> (len(items),): the look-ahead's definitions with full refits; of `y` only `labelled` is read."""
    before = Model.fit(X[labelled], y[labelled])
    unlabelled = [i for i in range(len(X)) if i not in labelled]
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for item in items:
        p = before.proba(X[[item]])[0]
        total = dict.fromkeys(NAMES, 0.0)
        for label, weight in zip(before.fitted.classes_, p, strict=True):
            after = Model.fit(X[[*labelled, item]], np.append(y[labelled], label))
            pool = after.proba(X[unlabelled])
            own = entropy(p) - entropy(after.proba(X[[item]])[0])
            change = float(((after.weights - before.weights) ** 2).sum())
            values = (-sum(1 - max(q) for q in pool), -sum(entropy(q) for q in pool), own, change)
            for name, value in zip(NAMES, values, strict=True):
                total[name] += weight * value
        for name in NAMES:
            found[name].append(total[name])
    return {name: np.array(values) for name, values in found.items()}
