"""Measure the look-ahead strategies: speed against scikit-activeml, agreement with full refits by scikit-learn.

    python benchmarks/lookahead.py            # about half an hour; writes benchmarks/results/lookahead.json
    python benchmarks/lookahead.py --quick    # one state a dataset

A pool has 200 items, a batch 10; everything runs in one thread and in one process. A state is a campaign after some
rounds of margin sampling. In each state the exact utilities come from refitting
`LogisticRegression(C=1, tol=1e-6)` with every label of every unlabelled item; scikit-activeml's `MonteCarloEER` (the
learner's default tolerance, risk on the unlabelled items) is timed on the same state. A round of al_gym is the query
and the refit of the model; all campaigns of a dataset (one a seed) run as one batch. `seconds` are wall clock,
`cpu_seconds` those of the process: on a busy machine theirs is the fair ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr, log_softmax
from scipy.stats import spearmanr
from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import MonteCarloEER
from sklearn.linear_model import LogisticRegression

from al_gym.campaign import Campaign
from al_gym.strategies import make_strategy
from al_gym.strategies.lookahead import LookAhead
from al_gym.tasks.bundled import load_bundled
from al_gym.tasks.task import Task, make_task
from al_gym.threads import pin_threads

POOL, BATCH, TASKS, REPEATS = 200, 10, 8, 3
DATASETS = ("breast_cancer", "digits")
ERROR, ENTROPY = "expected-error-reduction", "expected-pool-entropy-reduction"
LABEL, CHANGE = "expected-label-entropy-reduction", "expected-model-change"
STRATEGIES = (ERROR, ENTROPY, LABEL, CHANGE)
PEER = {ERROR: "misclassification_loss", ENTROPY: "log_loss"}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class State:
    """One campaign between two rounds: features, true labels of the pool, labelled and unlabelled positions."""

    X: Floats
    y: NDArray[np.int64]
    labelled: NDArray[np.int64]
    unlabelled: NDArray[np.int64]


def campaign_at(tasks: list[Task], rounds: int) -> Campaign:
    """Campaigns after some rounds of margin sampling, with budget left for one more."""
    campaign, slots = Campaign(len(tasks)), np.arange(len(tasks))
    campaign.load(slots, tasks, [BATCH * (rounds + 1 + REPEATS)] * len(tasks))
    for _ in range(rounds):
        play(campaign, "margin")
    return campaign


def play(campaign: Campaign, strategy: str) -> None:
    """One round of every campaign."""
    slots = np.arange(len(campaign.tasks))
    batch = np.full(len(slots), BATCH)
    campaign.reveal(slots, campaign.select(slots, [make_strategy(strategy)], np.zeros(len(slots), int), batch))


def state_of(campaign: Campaign, slot: int, task: Task) -> State:
    labelled = campaign.queries(slot)
    X = task.arrays()[0].astype(np.float64)
    return State(X, task.oracle_labels, labelled, np.setdiff1d(np.arange(len(X)), labelled))


def utilities(campaign: Campaign, strategy: str) -> list[Floats]:
    """Scores of every unlabelled item, one array a campaign."""
    made = make_strategy(strategy)
    assert isinstance(made, LookAhead)
    ((_, view),) = campaign.views(np.arange(len(campaign.tasks)))
    score = made.score(view, view.candidates, view.stream(made.name))
    return [row[mask].double().numpy() for row, mask in zip(score, view.candidates, strict=True)]


def exact_utilities(state: State) -> dict[str, Floats]:
    """The four utilities of every unlabelled item by full refits."""
    model = LogisticRegression(C=1, tol=1e-6, max_iter=10000).fit(state.X[state.labelled], state.y[state.labelled])
    theta = weights(model)
    p = np.exp(log_softmax(logits(model, state.X[state.unlabelled]), axis=1))
    values = np.zeros((len(STRATEGIES), *p.shape))
    for i, x in enumerate(state.unlabelled):
        rows = np.append(state.labelled, x)
        for c, label in enumerate(model.classes_):
            again = LogisticRegression(C=1, tol=1e-6, max_iter=10000, warm_start=True)
            again.classes_, again.coef_, again.intercept_ = model.classes_, model.coef_.copy(), model.intercept_.copy()
            again.fit(state.X[rows], np.append(state.y[state.labelled], label))
            after = np.exp(log_softmax(logits(again, state.X[state.unlabelled]), axis=1))
            entropy = entr(after).sum(1)
            values[0, i, c] = -(1 - after.max(1)).sum()
            values[1, i, c] = -entropy.sum()
            values[2, i, c] = entr(p[i]).sum() - entropy[i]
            values[3, i, c] = ((weights(again) - theta) ** 2).sum()
    return dict(zip(STRATEGIES, (values * p).sum(2), strict=True))


def weights(model: LogisticRegression) -> Floats:
    return np.column_stack([model.coef_, model.intercept_])


def logits(model: LogisticRegression, X: Floats) -> Floats:
    """(items, classes), the one logit of two classes spelled out."""
    z = X @ model.coef_.T + model.intercept_
    return np.column_stack([np.zeros(len(z)), z]) if z.shape[1] == 1 else z


def timed(run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def peer_round(state: State, strategy: str) -> dict[str, float]:
    """Time of scikit-activeml's query."""
    y = np.full(len(state.X), np.nan)
    y[state.labelled] = state.y[state.labelled]
    classes = np.unique(state.y[state.labelled])
    learner = SklearnClassifier(LogisticRegression(C=1, max_iter=10000), classes=classes, random_state=0)
    query = MonteCarloEER(method=PEER[strategy], random_state=0)
    return timed(lambda: query.query(state.X, y, learner, X_eval=state.X[state.unlabelled], batch_size=BATCH))[1]


def measure(dataset: str, rounds: int, seeds: int, exact: int) -> dict[str, list[dict[str, Any]]]:
    """Speed and agreement in one state of a dataset; `exact` campaigns are refitted in full."""
    tasks = [make_task(load_bundled(dataset), seed, pool_size=POOL, test_size=50) for seed in range(seeds)]
    campaign = campaign_at(tasks, rounds)
    states = [state_of(campaign, slot, task) for slot, task in enumerate(tasks)]
    key = {"dataset": dataset, "rounds_before": rounds}
    speed, agreement = [], []
    truth = [exact_utilities(state) for state in states[:exact]]
    for strategy in STRATEGIES:
        for seed, (ours, exactly) in enumerate(zip(utilities(campaign, strategy), truth, strict=False)):
            rho = float(spearmanr(ours, exactly[strategy])[0])
            row = {"strategy": strategy, "seed": seed, "labels": len(states[seed].labelled), "spearman": rho}
            agreement.append({**key, **row})
        best = best_round(tasks, rounds, strategy)
        speed.append({**key, "system": "al_gym", "strategy": strategy, "tasks": seeds, **best})
    for strategy in PEER:
        spent = peer_round(states[0], strategy)
        speed.append({**key, "system": "scikit-activeml", "strategy": strategy, "tasks": 1, **spent})
    return {"speed": speed, "agreement": agreement}


def best_round(tasks: list[Task], rounds: int, strategy: str) -> dict[str, float]:
    """Time of one round of all campaigns: the fastest of `REPEATS` from the same state."""
    times = []
    for _ in range(REPEATS):
        campaign = campaign_at(tasks, rounds)
        times.append(timed(lambda campaign=campaign: play(campaign, strategy))[1])
    return min(times, key=lambda spent: spent["seconds"])


def summary(speed: list[dict[str, Any]], agreement: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rounds a second over all states, the ratio to scikit-activeml's, and the lowest and mean rank correlation."""
    rows = []
    for dataset in DATASETS:
        for strategy in STRATEGIES:
            peer = strategy if strategy in PEER else ERROR
            row = {"dataset": dataset, "strategy": strategy, "peer": f"MonteCarloEER({PEER[peer]})"}
            for clock, name in (("seconds", "second"), ("cpu_seconds", "cpu_second")):
                rate = rate_of(speed, dataset, "al_gym", strategy, clock)
                other = rate_of(speed, dataset, "scikit-activeml", peer, clock)
                row |= {f"rounds_per_{name}": rate, f"peer_rounds_per_{name}": other, f"ratio_{clock}": rate / other}
            rho = [r["spearman"] for r in agreement if (r["dataset"], r["strategy"]) == (dataset, strategy)]
            row |= {"states": len(rho), "spearman_min": min(rho), "spearman_mean": float(np.mean(rho))}
            rows.append(row)
    return rows


def rate_of(speed: list[dict[str, Any]], dataset: str, system: str, strategy: str, clock: str) -> float:
    """Rounds a second: all rounds over all their time by one of the two clocks."""
    rows = [r for r in speed if (r["dataset"], r["system"], r["strategy"]) == (dataset, system, strategy)]
    return float(sum(r["tasks"] for r in rows) / sum(r[clock] for r in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/lookahead.json")
    parser.add_argument("--quick", action="store_true", help="one state a dataset")
    arguments = parser.parse_args()
    pin_threads()
    speed, agreement = [], []
    for dataset in DATASETS:
        play(campaign_at([make_task(load_bundled(dataset), 0, pool_size=POOL, test_size=50)], 0), ERROR)  # compiles
        for rounds in (3,) if arguments.quick else (1, 4, 8):
            exact = 1 if arguments.quick else 2 if dataset == "digits" else 6
            measured = measure(dataset, rounds, seeds=TASKS, exact=exact)
            speed += measured["speed"]
            agreement += measured["agreement"]
            print(f"{dataset}, {rounds} rounds: {[round(row['spearman'], 3) for row in measured['agreement']]}")
    packages = ("al-gym", "numpy", "numba", "scikit-activeml", "scikit-learn", "torch")
    processor = platform.processor() or platform.machine()
    report = {
        "summary": summary(speed, agreement),
        "speed": speed,
        "agreement": agreement,
        "threads": torch.get_num_threads(),
        "machine": {"processor": processor, "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {name: version(name) for name in packages},
        "arguments": {"pool": POOL, "batch": BATCH, "tasks": TASKS, "repeats": REPEATS},
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    for row in report["summary"]:
        print(row)


if __name__ == "__main__":
    main()
