"""The modAL adapters: with modAL where it is installed, and with an object of its interface everywhere."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from loops import network_policy, our_queries, task_of
from pool_blocks import make_block, make_view
from sample_data import blobs
from sklearn.linear_model import LogisticRegression

import al_gym
from al_gym.errors import DatasetError, ParameterError, PolicyError, StrategyError
from al_gym.integrations.modal import ModalQueryStrategy, ModalStrategy
from al_gym.policies import Policy
from al_gym.policies.calling import CallablePolicy
from al_gym.strategies import make_strategy


class Light:
    """The part of modAL's `ActiveLearner` that a query strategy meets."""

    def __init__(self, estimator: Any, query_strategy: Any, X_training: Any = None, y_training: Any = None) -> None:
        self.estimator, self.query_strategy = estimator, query_strategy
        self.X_training, self.y_training = X_training, y_training
        if X_training is not None:
            estimator.fit(X_training, y_training)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.estimator.predict_proba(X)

    def query(self, X_pool: np.ndarray, **arguments: Any) -> tuple[np.ndarray, np.ndarray]:
        indices, _ = self.query_strategy(self, X_pool, **arguments)
        return indices, X_pool[indices]

    def teach(self, X: np.ndarray, y: np.ndarray) -> None:
        self.X_training, self.y_training = np.vstack([self.X_training, X]), np.append(self.y_training, y)
        self.estimator.fit(self.X_training, self.y_training)


def real() -> Any:
    return pytest.importorskip("modAL.models").ActiveLearner


@pytest.fixture(params=["light", "modAL"])
def active_learner(request: pytest.FixtureRequest) -> Any:
    return Light if request.param == "light" else real()


def exact() -> LogisticRegression:
    return LogisticRegression(C=1, tol=1e-8, max_iter=10000)


class Loop:
    """A user's loop: a pool that shrinks, labels that come from the data."""

    def __init__(self, kind: Any, strategy: Any, classes: int = 3, labels: list[Any] | None = None) -> None:
        self.data, self.task = task_of(classes)
        X, y = self.task.arrays()[0].astype(np.float64), self.data.y[self.task.pool]
        self.X, self.y = X, y if labels is None else np.array(labels, dtype=object)[y]
        self.left = np.setdiff1d(np.arange(len(X)), self.task.seed_set)
        seeds = self.task.seed_set
        self.learner = kind(exact(), strategy, X_training=X[seeds], y_training=self.y[seeds])

    def round(self, batch: int) -> list[int]:
        indices, rows = self.learner.query(self.X[self.left], n_instances=batch)
        items = self.left[indices]
        np.testing.assert_array_equal(rows, self.X[items])
        self.learner.teach(self.X[items], self.y[items])
        self.left = np.setdiff1d(self.left, items)
        return items.tolist()


# --- export ------------------------------------------------------------------------------------------------------
def test_a_trained_policy_asks_as_in_our_own_loop(active_learner: Any) -> None:
    """Same features, same model, same observations (up to the solver's tolerance): the same questions."""
    for seed in (0, 1):
        strategy = ModalQueryStrategy(network_policy(seed), classes=[0, 1, 2], budget=20, scaling="none")
        loop = Loop(active_learner, strategy)
        theirs = [loop.round(4) for _ in range(5)]
        assert strategy.remaining == 4, "as of the last query"
        assert [set(batch) for batch in theirs] == [
            set(batch) for batch in our_queries(network_policy(seed), loop.task, 5, 4)
        ]


def test_policies_see_rounds_budget_and_their_last_choice() -> None:
    seen: list[tuple[int, int, int, int, int]] = []

    def policy(context: Any) -> str:
        seen.append(
            (
                *(int(a[0]) for a in (context.rounds, context.spent, context.remaining, context.last_strategy)),
                context.batch_size,
            )
        )
        return ("margin", "entropy")[len(seen) % 2]

    loop = Loop(Light, ModalQueryStrategy(CallablePolicy(policy, name="spy"), classes=[0, 1, 2], budget=10))
    loop.round(2)
    loop.round(2)
    loop.round(3)
    assert seen == [(0, 0, 10, -1, 2), (1, 2, 8, 0, 2), (2, 4, 6, 1, 3)]


def test_asking_twice_gives_the_same_answer(active_learner: Any) -> None:
    loop = Loop(active_learner, ModalQueryStrategy("random", classes=[0, 1, 2], budget=30))
    first, _ = loop.learner.query(loop.X[loop.left], n_instances=5)
    second, _ = loop.learner.query(loop.X[loop.left], n_instances=5)
    fewer, _ = loop.learner.query(loop.X[loop.left], n_instances=2)
    np.testing.assert_array_equal(first, second)
    assert set(fewer) <= set(first)
    one, row = loop.learner.query(loop.X[loop.left])
    assert len(one) == 1 and row.shape == (1, loop.X.shape[1])


def test_labels_of_any_kind_and_classes_not_seen_yet(active_learner: Any) -> None:
    strategy = ModalQueryStrategy("margin", classes=["dog", "cat", "fox", "eel"], budget=12)
    loop = Loop(active_learner, strategy, labels=["cat", "dog", "eel"])
    assert len({item for _ in range(2) for item in loop.round(4)}) == 8
    loop.learner.query(loop.X[loop.left], n_instances=1)
    campaign = strategy._campaign
    assert campaign is not None
    ((_, view),) = campaign._campaign.views(np.zeros(1, np.int64))
    assert view.seen[0, :4].tolist() == [True, True, False, True]
    proba = loop.learner.predict_proba(campaign._model._X)  # columns in alphabetic order: cat, dog, eel
    expected = np.column_stack([proba[:, 1], proba[:, 0], np.zeros(100), proba[:, 2]])
    np.testing.assert_allclose(view.proba[0, :4, :100].T, expected, atol=1e-6)
    answers = [["dog", "cat", "fox", "eel"][label] for label in view.y[0, view.labelled[0]]]
    assert sorted(answers) == sorted(loop.learner.y_training)


def test_a_pool_from_which_nothing_is_removed(active_learner: Any) -> None:
    loop = Loop(active_learner, ModalQueryStrategy("margin", classes=[0, 1, 2], budget=20))
    asked: list[int] = []
    for _ in range(4):
        indices, rows = loop.learner.query(loop.X, n_instances=5)
        asked += indices.tolist()
        loop.learner.teach(rows, loop.y[indices])
    assert len(set(asked)) == 20
    assert not set(asked) & set(loop.task.seed_set.tolist())


def test_another_pool_is_another_campaign_with_what_is_left_of_the_budget() -> None:
    strategy = ModalQueryStrategy("kcenter", classes=[0, 1, 2], budget=20)
    loop = Loop(Light, strategy)
    loop.round(5)
    loop.X = loop.X + 1.0
    assert len(set(loop.round(5))) == 5
    assert strategy.remaining == 15
    loop.round(5)
    assert strategy.remaining == 10
    fresh = Loop(Light, strategy)
    fresh.round(5)
    assert strategy.remaining == 20


def test_a_part_of_the_pool_may_be_offered() -> None:
    strategy = ModalQueryStrategy("margin", classes=[0, 1, 2], budget=20)
    loop = Loop(Light, strategy)
    loop.round(4)
    part = loop.left[::5]
    indices, rows = loop.learner.query(loop.X[part], n_instances=3)
    np.testing.assert_array_equal(rows, loop.X[part[indices]])
    margins = np.sort(loop.learner.predict_proba(loop.X[part]), axis=1)
    lowest = np.argsort(margins[:, -1] - margins[:, -2])[:3]
    assert set(indices) == set(lowest)
    assert strategy.remaining == 16


def test_equal_items() -> None:
    X = np.repeat(np.arange(8.0), 5)[:, None] * [1.0, -1.0]
    y = (X[:, 0] > 3).astype(int)
    learner = Light(exact(), ModalQueryStrategy("margin", classes=[0, 1], budget=30), X[[0, 39]], y[[0, 39]])
    left = np.delete(np.arange(40), [0, 39])
    for _ in range(6):
        indices, rows = learner.query(X[left], n_instances=5)
        assert len(set(indices.tolist())) == 5
        learner.teach(rows, y[left[indices]])
        left = np.delete(left, indices)
    assert learner.query_strategy.remaining == 5
    with pytest.raises(ParameterError, match="a batch of 1 is not between 1 and the 0 labels left"):
        learner.query(X[left])


def test_without_training_data_items_are_random() -> None:
    X = np.random.default_rng(0).standard_normal((50, 3))
    ask = [ModalQueryStrategy("margin", classes=[0, 1], budget=9, seed=seed) for seed in (0, 0, 1)]
    picks = [strategy(Light(exact(), strategy), X, n_instances=6)[0].tolist() for strategy in ask]
    assert picks[0] == picks[1] != picks[2]
    assert len(set(picks[0])) == 6
    with pytest.raises(ParameterError, match="n_instances=10"):
        ask[0](Light(exact(), None), X, n_instances=10)


def test_what_cannot_be_done() -> None:
    with pytest.raises(ParameterError, match="classes"):
        ModalQueryStrategy("margin", classes=["a", "a"], budget=5)
    with pytest.raises(PolicyError, match="hidden labels"):
        Loop(Light, ModalQueryStrategy("oracle", classes=[0, 1, 2], budget=5)).round(1)
    with pytest.raises(ParameterError, match="budget"):
        Loop(Light, ModalQueryStrategy("margin", classes=[0, 1, 2], budget=0)).round(1)
    loop = Loop(Light, ModalQueryStrategy("margin", classes=[0, 1, 2], budget=5))
    with pytest.raises(ParameterError, match="batch of 6"):
        loop.round(6)
    with pytest.raises(ParameterError, match="not among classes"):
        Loop(Light, ModalQueryStrategy("margin", classes=[0, 1], budget=5)).round(1)
    with pytest.raises(DatasetError, match="finite"):
        loop.learner.query(np.full((4, 4), np.nan))
    loop.round(3)
    loop.learner.teach(loop.X[loop.left[:3]], loop.y[loop.left[:3]])
    with pytest.raises(ParameterError, match="6 labels came, 5 remain"):
        loop.round(1)


def test_a_policy_that_wants_to_stop() -> None:
    class Stopper(Policy):
        name = "stopper"
        strategies = (make_strategy("margin"),)

        def act(self, context: Any) -> Any:
            return context.choice(np.zeros(len(context)))._replace(stop=np.ones(len(context), np.bool_))

    with pytest.raises(PolicyError, match="wants to stop"):
        Loop(Light, ModalQueryStrategy(Stopper(), classes=[0, 1, 2], budget=5)).round(1)


# --- import ------------------------------------------------------------------------------------------------------
def lowest_margin(classifier: Any, X: np.ndarray, n_instances: int = 1, sign: float = 1.0) -> np.ndarray:
    """As modAL writes them, without its scores."""
    top = np.sort(classifier.predict_proba(X), axis=1)
    return np.argsort(sign * (top[:, -1] - top[:, -2]), kind="stable")[:n_instances]


def picks_of(strategy: Any, view: Any, k: list[int]) -> list[list[int]]:
    out = strategy.select(view, torch.tensor(k), view.stream(strategy.name))
    return [row[:size].tolist() for row, size in zip(out, k, strict=True)]


def test_a_function_becomes_a_strategy() -> None:
    view = make_view(make_block([50, 31], features=[3, 8], classes=[2, 5], labels=20, seed=1))
    assert picks_of(ModalStrategy(lowest_margin), view, [5, 4]) == picks_of(make_strategy("margin"), view, [5, 4])
    widest = picks_of(ModalStrategy(lowest_margin, arguments={"sign": -1}), view, [5, 4])
    assert widest != picks_of(make_strategy("margin"), view, [5, 4])
    alone = view.take(torch.tensor([1]))
    assert (
        picks_of(ModalStrategy(lowest_margin), alone, [4]) == picks_of(ModalStrategy(lowest_margin), view, [5, 4])[1:]
    )


def test_ties_are_broken_by_the_task() -> None:
    arrays = make_block([40] * 20, labels=6, seed=2)
    arrays.proba[:, :3, :40] = 1 / 3
    picks = picks_of(ModalStrategy(lowest_margin), make_view(arrays), [2] * 20)
    assert len(set(map(tuple, picks))) > 15


def test_a_fitted_learner_for_functions_that_need_one() -> None:
    def novel(classifier: Any, X: np.ndarray, n_instances: int = 1) -> tuple[np.ndarray, np.ndarray]:
        p = classifier.predict_proba(X + 0.5)
        return np.argsort(p[:, 0])[:n_instances], np.zeros(n_instances)

    view = make_view(make_block([40], labels=12, seed=3))
    with pytest.raises(StrategyError, match="learner="):
        picks_of(ModalStrategy(novel), view, [3])

    def fit(X: np.ndarray, y: np.ndarray) -> Light:
        return Light(exact(), None, X, y)

    (picks,) = picks_of(ModalStrategy(novel, learner=fit), view, [3])
    order = view.order[0, :12]
    X = view.X[0, :40, :5].double().numpy()
    model = exact().fit(X[order], view.y[0, order].numpy())
    free = np.flatnonzero(view.candidates[0])
    assert set(picks) == set(free[np.argsort(model.predict_proba(X[free] + 0.5)[:, 0])[:3]])


@pytest.mark.parametrize("answer", [[0, 0], [0], [0.5, 1.0]])
def test_a_function_with_a_wrong_answer(answer: list[float]) -> None:
    view = make_view(make_block([30], seed=4))
    with pytest.raises(StrategyError, match="2 distinct indices"):
        picks_of(ModalStrategy(lambda *_, **__: np.array(answer), name="wrong"), view, [2])


def test_names() -> None:
    assert ModalStrategy(lowest_margin).name == "lowest-margin"
    with pytest.raises(ParameterError, match="name="):
        ModalStrategy(lambda *_: 0)
    with pytest.raises(ParameterError, match="function"):
        ModalStrategy("margin")  # type: ignore[arg-type]


def test_in_environments_and_evaluations() -> None:
    data = blobs()
    imported = ModalStrategy(lowest_margin)
    env = gym.make("al_gym/Strategy-v0", tasks=data, strategies=["margin", imported], pool_size=60, budget=10)
    curves = []
    for action in (0, 1):
        env.reset(seed=3)
        curves.append([env.step(action)[4]["validation_accuracy"] for _ in range(2)])
    assert curves[0] == curves[1], "the same strategy under another name"
    result = al_gym.evaluate({"theirs": imported, "ours": "margin"}, tasks=data, seeds=2, rounds=3, jobs=1)
    mean = result.results.groupby("policy")["test_accuracy"].mean()
    assert mean["theirs"] == mean["ours"]


# --- with modAL itself -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("margin_sampling", "margin"), ("entropy_sampling", "entropy"), ("uncertainty_sampling", "least-confidence")],
)
def test_parity_of_uncertainty(theirs: str, ours: str) -> None:
    function = getattr(pytest.importorskip("modAL.uncertainty"), theirs)
    for seed in range(5):
        view = make_view(make_block([60, 35], classes=[4, 3], labels=20, seed=seed))
        mine = picks_of(make_strategy(ours), view, [6, 5])
        assert [set(p) for p in picks_of(ModalStrategy(function), view, [6, 5])] == [set(p) for p in mine]


def test_parity_of_ranked_batch() -> None:
    function = pytest.importorskip("modAL.batch").uncertainty_batch_sampling
    for seed in range(5):
        view = make_view(make_block([60, 35], classes=[4, 3], labels=20, seed=seed))
        assert picks_of(ModalStrategy(function), view, [6, 5]) == picks_of(make_strategy("ranked-batch"), view, [6, 5])


def test_committees() -> None:
    models = pytest.importorskip("modAL.models")
    disagreement = pytest.importorskip("modAL.disagreement")

    def committee(X: np.ndarray, y: np.ndarray) -> Any:
        members = [models.ActiveLearner(LogisticRegression(C=c), X_training=X, y_training=y) for c in (0.01, 1, 100)]
        return models.Committee(members)

    view = make_view(make_block([50], classes=3, labels=25, seed=5))
    (picks,) = picks_of(ModalStrategy(disagreement.vote_entropy_sampling, learner=committee), view, [4])
    assert len(set(picks)) == 4
    strategy = ModalQueryStrategy("margin", classes=[0, 1, 2], budget=8)
    loop = Loop(models.ActiveLearner, strategy)
    voters = committee(loop.X[loop.task.seed_set], loop.y[loop.task.seed_set])
    voters.query_strategy = strategy
    indices, _ = voters.query(loop.X[loop.left], n_instances=3)
    proba = np.sort(voters.predict_proba(loop.X[loop.left]), axis=1)
    assert set(indices) == set(np.argsort(proba[:, -1] - proba[:, -2])[:3])
