"""The scikit-activeml adapters with scikit-activeml itself."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from loops import network_policy, our_queries, task_of
from pool_blocks import make_block, make_view
from sample_data import blobs
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import al_gym
from al_gym.errors import ParameterError, PolicyError, StrategyError
from al_gym.strategies import make_strategy

pool = pytest.importorskip("skactiveml.pool", reason="scikit-activeml is not installed")
from skactiveml.classifier import MixtureModelClassifier, ParzenWindowClassifier, SklearnClassifier  # noqa: E402
from skactiveml.exceptions import MappingError  # noqa: E402

from al_gym.integrations.skactiveml import PolicyQueryStrategy, SkactivemlStrategy  # noqa: E402


def exact(classes: list[Any], missing: Any = np.nan) -> SklearnClassifier:
    model = LogisticRegression(C=1, tol=1e-8, max_iter=10000)
    return SklearnClassifier(model, classes=classes, missing_label=missing)


def picks_of(strategy: Any, view: Any, k: list[int]) -> list[list[int]]:
    out = strategy.select(view, torch.tensor(k), view.stream(strategy.name))
    return [row[:size].tolist() for row, size in zip(out, k, strict=True)]


# --- import ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "ours"),
    [("margin_sampling", "margin"), ("entropy", "entropy"), ("least_confident", "least-confidence")],
)
def test_parity_of_uncertainty(method: str, ours: str) -> None:
    imported = SkactivemlStrategy(pool.UncertaintySampling(method=method))
    for seed in range(4):
        view = make_view(make_block([60, 35], features=[3, 8], classes=[4, 3], labels=20, seed=seed))
        assert picks_of(imported, view, [6, 5]) == picks_of(make_strategy(ours), view, [6, 5])


def test_parity_of_kcenter_and_herding() -> None:
    # A sixth item can be one of a pair that covers only each other: an exact tie.
    for seed in range(4):
        view = make_view(make_block([60], features=3, labels=5, seed=seed))
        assert picks_of(SkactivemlStrategy(pool.CoreSet()), view, [5]) == picks_of(make_strategy("kcenter"), view, [5])
        gamma = {"gamma": 1 / (2 * float(view.bandwidth()[0]) ** 2)}
        theirs = SkactivemlStrategy(pool.MaxHerding(metric_dict=gamma, normalize_samples=False))
        assert picks_of(theirs, view, [5]) == picks_of(make_strategy("maxherding"), view, [5])


SIMPLE = {
    "random": pool.RandomSampling(),
    "typiclust": pool.TypiClust(),
    "badge": pool.Badge(),
    "contrastive": pool.ContrastiveAL(),
    "falcun": pool.Falcun(),
    "probcover": pool.ProbCover(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SIMPLE)
def test_their_strategies_run_reproducibly(name: str) -> None:
    strategy = SkactivemlStrategy(SIMPLE[name], name=name)
    view = make_view(make_block([45, 30], features=[3, 6], classes=[3, 3], labels=12, seed=1))
    picks = picks_of(strategy, view, [5, 4])
    for task, chosen in enumerate(picks):
        assert len(set(chosen)) == (5, 4)[task]
        assert view.candidates[task, chosen].all()
    assert picks_of(strategy, view, [5, 4]) == picks
    assert picks_of(strategy, view.take(torch.tensor([1])), [4]) == picks[1:]
    assert SIMPLE[name].random_state is None, "the object that was given stays as it was"


def test_a_strategy_that_needs_the_classes() -> None:
    view = make_view(make_block([30, 24], classes=[3, 2], labels=6, seed=2))
    imported = SkactivemlStrategy(lambda classes: pool.Quire(classes=classes), name="their-quire")
    assert imported.name == "their-quire"
    assert all(len(set(chosen)) == 3 for chosen in picks_of(imported, view, [3, 3]))
    with pytest.raises(ParameterError, match="not a SingleAnnotatorPoolQueryStrategy"):
        SkactivemlStrategy(lambda classes: len(classes))


def test_a_strategy_that_refits_needs_a_classifier() -> None:
    view = make_view(make_block([20], classes=2, labels=8, seed=3))
    with pytest.raises(StrategyError, match="clf="):
        picks_of(SkactivemlStrategy(pool.MonteCarloEER()), view, [1])
    refitting = SkactivemlStrategy(pool.MonteCarloEER(), clf=ParzenWindowClassifier())
    assert len(picks_of(refitting, view, [2])[0]) == 2


def test_arguments_that_are_missing() -> None:
    with pytest.raises(ParameterError, match="needs ensemble"):
        SkactivemlStrategy(pool.QueryByCommittee())
    members = SklearnClassifier(LogisticRegression(), classes=[0, 1, 2])
    ensemble = [clone(members).set_params(estimator=LogisticRegression(C=c)) for c in (0.1, 10)]
    committee = SkactivemlStrategy(pool.QueryByCommittee(), arguments={"ensemble": ensemble})
    view = make_view(make_block([30], classes=3, labels=12, seed=4))
    assert len(set(picks_of(committee, view, [3])[0])) == 3
    with pytest.raises(ParameterError, match="query strategy object"):
        SkactivemlStrategy(pool.TypiClust)
    with pytest.raises(ParameterError, match="query strategy object"):
        SkactivemlStrategy("margin")


def test_within_a_subset_in_environments_and_evaluations() -> None:
    data, imported = blobs(), SkactivemlStrategy(pool.UncertaintySampling(method="margin_sampling"), name="theirs")
    subset = al_gym.strategies.STRATEGIES.get("subset")(strategy=imported, candidates=8)
    view = make_view(make_block([40], labels=12, seed=5))
    same = make_strategy("subset:strategy=margin,candidates=8")
    assert len(set(picks_of(subset, view, [4])[0])) == len(set(picks_of(same, view, [4])[0])) == 4
    env = gym.make("al_gym/Strategy-v0", tasks=data, strategies=["margin", imported], pool_size=60, budget=10)
    curves = []
    for action in (0, 1):
        env.reset(seed=3)
        curves.append([env.step(action)[4]["validation_accuracy"] for _ in range(2)])
    assert curves[0] == curves[1], "the same strategy under another name"
    result = al_gym.evaluate({"theirs": imported, "ours": "margin"}, tasks=data, seeds=2, rounds=3, jobs=1)
    mean = result.results.groupby("policy")["test_accuracy"].mean()
    assert mean["theirs"] == mean["ours"]


# --- export ------------------------------------------------------------------------------------------------------
def test_a_trained_policy_asks_as_in_our_own_loop() -> None:
    for seed in (0, 1):
        data, task = task_of()
        X, answers = task.arrays()[0].astype(np.float64), data.y[task.pool]
        y = np.full(len(X), np.nan)
        y[task.seed_set] = answers[task.seed_set]
        query = PolicyQueryStrategy(network_policy(seed), classes=[0, 1, 2], budget=20, scaling="none", random_state=0)
        theirs = []
        for _ in range(5):
            chosen = query.query(X, y, exact([0, 1, 2]), batch_size=4)
            y[chosen] = answers[chosen]
            theirs.append(set(chosen.tolist()))
        assert theirs == [set(batch) for batch in our_queries(network_policy(seed), task, 5, 4)]


def data_of(n: int = 40, labelled: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, y with missing labels, and the truth."""
    data = blobs(n=n, seed=seed)
    y = np.full(n, np.nan)
    y[:labelled] = data.y[:labelled]
    return data.X.astype(np.float64), y, data.y


@pytest.mark.parametrize("policy", ["margin", "switch", "kcenter"])
def test_queries(policy: str) -> None:
    X, y, truth = data_of()
    query = PolicyQueryStrategy(policy, classes=[0, 1, 2], budget=30, random_state=1)
    asked: list[int] = []
    for round_ in range(5):
        chosen, utilities = query.query(X, y, exact([0, 1, 2]), batch_size=3, return_utilities=True)
        again = query.query(X, y, exact([0, 1, 2]), batch_size=3)
        np.testing.assert_array_equal(chosen, again)
        assert utilities.shape == (3, len(X))
        np.testing.assert_array_equal(np.nanargmax(utilities, axis=1), chosen)
        assert np.isnan(utilities).sum(axis=1).tolist() == [9 + len(asked) + j for j in range(3)]
        y[chosen] = truth[chosen]
        asked += chosen.tolist()
        assert query.running_.campaign.remaining == 30 - 3 * round_
    assert len(set(asked)) == 15 and min(asked) >= 9


def test_other_data_are_another_campaign() -> None:
    X, y, truth = data_of()
    query = PolicyQueryStrategy("margin", classes=[0, 1, 2], budget=10, random_state=0)
    chosen = query.query(X, y, exact([0, 1, 2]), batch_size=4)
    y[chosen] = truth[chosen]
    query.query(X, y, exact([0, 1, 2]))
    assert query.running_.campaign.remaining == 6
    fewer = y.copy()
    fewer[chosen] = np.nan
    query.query(X, fewer, exact([0, 1, 2]))
    assert query.running_.campaign.remaining == 10, "labels were taken back"
    query.query(X + 1, y, exact([0, 1, 2]))
    assert query.running_.campaign.remaining == 10
    with pytest.raises(ParameterError, match="11 is not between 1 and the 10"):
        query.query(X, y, exact([0, 1, 2]), batch_size=11)


def test_parameters_are_kept_and_cloned() -> None:
    policy = network_policy()
    given = {
        "policy": policy,
        "classes": [0, 1],
        "budget": 7,
        "scaling": "none",
        "missing_label": -1,
        "random_state": 3,
    }
    query = PolicyQueryStrategy(**given)
    assert query.get_params() == given
    copied = clone(query)
    assert {key: value for key, value in copied.get_params().items() if key != "policy"} == {
        key: value for key, value in given.items() if key != "policy"
    }
    X, y, _ = data_of()
    first = PolicyQueryStrategy(network_policy(), classes=[0, 1, 2], random_state=0)
    second = clone(first)
    one = first.query(X, y, exact([0, 1, 2]), batch_size=5)
    np.testing.assert_array_equal(one, second.query(X, y, exact([0, 1, 2]), batch_size=5))
    np.testing.assert_array_equal(one, deepcopy(first).query(X, y, exact([0, 1, 2]), batch_size=5))


@pytest.mark.parametrize(
    ("missing", "classes", "kind"),
    [
        (np.nan, [1.0, 2.0], float),
        (0, [1, 2], int),
        (None, [1, 2], object),
        (None, ["A", "B"], object),
        ("", ["A", "B"], str),
    ],
)
def test_every_kind_of_label(missing: Any, classes: list[Any], kind: type) -> None:
    X = np.linspace(0, 1, 20).reshape(20, 1)
    y = np.full(20, missing, dtype=kind)
    y[0], y[-1] = classes
    for labels in (y, np.full(20, missing, dtype=kind)):
        query = PolicyQueryStrategy("margin", classes=classes, missing_label=missing, random_state=0)
        chosen = query.query(X, labels, exact(classes, missing), batch_size=3)
        assert len(set(chosen)) == 3 and not {0, 19} & set(chosen if labels is y else [])


def test_candidates() -> None:
    X, y, _ = data_of()
    query = PolicyQueryStrategy("margin", classes=[0, 1, 2], random_state=0)
    everything, utilities = query.query(X, y, exact([0, 1, 2]), batch_size=2, return_utilities=True)
    same, equal = query.query(X, y, exact([0, 1, 2]), candidates=np.arange(9, 40), batch_size=2, return_utilities=True)
    np.testing.assert_array_equal(everything, same)
    np.testing.assert_array_equal(utilities, equal)
    some, narrow = query.query(X, y, exact([0, 1, 2]), candidates=[12, 20, 33], batch_size=2, return_utilities=True)
    assert set(some) < {12, 20, 33}
    assert np.isnan(narrow[0]).sum() == 37
    with pytest.raises(MappingError):
        query.query(X, y, exact([0, 1, 2]), candidates=X[20:])
    with pytest.raises(ValueError, match="labeled"):
        query.query(X, y, exact([0, 1, 2]), candidates=[0, 12])
    with pytest.warns(UserWarning, match="batch_size"):
        assert len(query.query(X, y, exact([0, 1, 2]), candidates=[12, 20], batch_size=5)) == 2


def test_the_model_is_left_alone_or_fitted_on_request() -> None:
    X, y, _ = data_of()
    query = PolicyQueryStrategy("margin", classes=[0, 1, 2], random_state=0)
    unfitted, fitted = exact([0, 1, 2]), exact([0, 1, 2]).fit(X, y)
    first = query.query(X, y, unfitted, batch_size=4)
    assert not hasattr(unfitted, "estimator_")
    before = fitted.estimator_.coef_.copy()
    np.testing.assert_array_equal(query.query(X, y, fitted, fit_clf=False, batch_size=4), first)
    np.testing.assert_array_equal(fitted.estimator_.coef_, before)
    for model in (ParzenWindowClassifier(classes=[0, 1, 2]), MixtureModelClassifier(classes=[0, 1, 2], random_state=0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert len(set(clone(query).query(X, y, model, batch_size=4))) == 4


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"X": "string"}, (ValueError, TypeError)),
        ({"X": np.ones((80, 4))}, ValueError),
        ({"y": np.nan}, TypeError),
        ({"y": np.ones((2, 40))}, ValueError),
        ({"clf": "model"}, TypeError),
        ({"clf": GaussianNB()}, TypeError),
        ({"clf": SklearnClassifier(GaussianNB(), classes=[0, 1, 2], missing_label=-1)}, (TypeError, ValueError)),
        ({"fit_clf": "yes"}, TypeError),
        ({"batch_size": 0}, ValueError),
        ({"batch_size": 1.2}, TypeError),
        ({"return_utilities": "string"}, TypeError),
        ({"candidates": np.nan}, ValueError),
    ],
)
def test_wrong_arguments_of_query(arguments: dict[str, Any], error: Any) -> None:
    X, y, _ = data_of()
    given = {"X": X, "y": y, "clf": exact([0, 1, 2])} | arguments
    with pytest.raises(error):
        PolicyQueryStrategy("margin", classes=[0, 1, 2], random_state=0).query(**given)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"policy": "marginn"}, ValueError),
        ({"policy": "oracle"}, PolicyError),
        ({"policy": 3}, PolicyError),
        ({"classes": None}, ParameterError),
        ({"classes": [0, 1]}, ParameterError),
        ({"budget": 0}, ParameterError),
        ({"scaling": "some"}, ParameterError),
        ({"random_state": "state"}, ValueError),
        ({"missing_label": dict}, TypeError),
    ],
)
def test_wrong_parameters(arguments: dict[str, Any], error: Any) -> None:
    X, y, _ = data_of()
    given = {"policy": "margin", "classes": [0, 1, 2], "random_state": 0} | arguments
    with pytest.raises(error):
        PolicyQueryStrategy(**given).query(X, y, exact([0, 1, 2]))
