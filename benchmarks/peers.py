"""The same campaigns in plain scikit-learn, modAL and scikit-activeml: the loops that al_gym is timed against.

    python benchmarks/peers.py SYSTEM STRATEGY CAMPAIGNS.npz

prints one JSON line: rounds a CPU second and the final accuracy of each campaign. It needs numpy, scikit-learn and the
system alone, so that modAL can run under an interpreter of its own (it needs scikit-learn < 1.8). Every loop refits
`LogisticRegression(C=1)` on all labels, scores the pool, takes 10 items, and measures the validation accuracy.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

ROUNDS, BATCH = 20, 10
Campaign = dict[str, NDArray[Any]]


def model() -> LogisticRegression:
    """The learner of every system: scikit-learn's defaults, with enough iterations to converge."""
    return LogisticRegression(C=1.0, max_iter=1000)


def score(strategy: str, p: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The larger, the sooner."""
    if strategy == "random":
        return rng.random(len(p))
    if strategy == "entropy":
        return -(p * np.log(np.maximum(p, 1e-12))).sum(axis=1)
    top = np.partition(p, -2, axis=1)
    return top[:, -2] - top[:, -1]


def sklearn_loop(strategy: str, data: Campaign) -> float:
    """A loop as anyone would write it; random skips scoring."""
    rng = np.random.default_rng(0)
    X, y = data["X"], data["y"]
    labelled = list(data["seeds"])
    free = np.setdiff1d(np.arange(len(X)), labelled)
    accuracy = 0.0
    classifier = model().fit(X[labelled], y[labelled])
    for _ in range(ROUNDS):
        p = classifier.predict_proba(X[free]) if strategy != "random" else free
        picked = free[np.argpartition(-score(strategy, p, rng), BATCH)[:BATCH]]
        labelled += picked.tolist()
        free = np.setdiff1d(free, picked)
        classifier = model().fit(X[labelled], y[labelled])
        accuracy = classifier.score(data["X_val"], data["y_val"])
    return float(accuracy)


def modal_loop(strategy: str, data: Campaign) -> float:
    """The `ActiveLearner` of modAL with its own strategies."""
    from modAL.models import ActiveLearner
    from modAL.uncertainty import entropy_sampling, margin_sampling

    rng = np.random.default_rng(0)

    def random_sampling(_: Any, pool: NDArray[Any], n_instances: int = 1) -> NDArray[Any]:
        return rng.choice(len(pool), n_instances, replace=False)

    query = {"margin": margin_sampling, "entropy": entropy_sampling, "random": random_sampling}[strategy]
    seeds = data["seeds"]
    free = np.setdiff1d(np.arange(len(data["X"])), seeds)
    learner = ActiveLearner(model(), query, data["X"][seeds], data["y"][seeds])
    accuracy = 0.0
    for _ in range(ROUNDS):
        answer = learner.query(data["X"][free], n_instances=BATCH)
        picked = free[np.asarray(answer[0] if isinstance(answer, tuple) else answer)]
        learner.teach(data["X"][picked], data["y"][picked])
        free = np.setdiff1d(free, picked)
        accuracy = learner.score(data["X_val"], data["y_val"])
    return float(accuracy)


def skactiveml_loop(strategy: str, data: Campaign) -> float:
    """scikit-activeml's pool strategies on its own classifier wrapper."""
    from skactiveml.classifier import SklearnClassifier
    from skactiveml.pool import Badge, CoreSet, RandomSampling, UncertaintySampling

    query: Any = {
        "random": lambda: RandomSampling(random_state=0),
        "margin": lambda: UncertaintySampling(method="margin_sampling", random_state=0),
        "entropy": lambda: UncertaintySampling(method="entropy", random_state=0),
        "kcenter": lambda: CoreSet(random_state=0),
        "badge": lambda: Badge(random_state=0),
    }[strategy]()
    X, classes = data["X"], np.unique(data["y"])
    y = np.full(len(X), np.nan)
    y[data["seeds"]] = data["y"][data["seeds"]]
    classifier = SklearnClassifier(model(), classes=classes).fit(X, y)
    accuracy = 0.0
    for _ in range(ROUNDS):
        more = {} if strategy in ("random", "kcenter") else {"clf": classifier, "fit_clf": False}
        picked = query.query(X, y, batch_size=BATCH, **more)
        y[picked] = data["y"][picked]
        classifier = SklearnClassifier(model(), classes=classes).fit(X, y)
        accuracy = classifier.score(data["X_val"], data["y_val"])
    return float(accuracy)


LOOPS: dict[str, Callable[[str, Campaign], float]] = {
    "scikit-learn": sklearn_loop,
    "modAL": modal_loop,
    "scikit-activeml": skactiveml_loop,
}


def main() -> None:
    """Time one system on the campaigns of a file."""
    system, strategy, path = sys.argv[1:]
    warnings.simplefilter("ignore")
    with np.load(path) as stored:
        names = sorted({key.partition("/")[0] for key in stored.files})
        campaigns = [{k.partition("/")[2]: stored[k] for k in stored.files if k.startswith(f"{n}/")} for n in names]
    LOOPS[system](strategy, campaigns[0])  # imports and first-call costs are not timed
    start = time.process_time()
    accuracy = [LOOPS[system](strategy, campaign) for campaign in campaigns]
    seconds = time.process_time() - start
    rate = ROUNDS * len(campaigns) / seconds
    sys.stdout.write(json.dumps({"steps_per_second": rate, "final_accuracies": accuracy}) + "\n")


if __name__ == "__main__":
    main()
