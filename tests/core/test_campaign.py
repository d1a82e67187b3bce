"""The one loop, against a plain re-implementation and its own promises."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from al_gym.campaign import Campaign
from al_gym.errors import LearnerError, ParameterError, StrategyError
from al_gym.learners.softmax import Softmax
from al_gym.strategies import Strategy, make_strategy
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.task import Task, make_task


def blobs(name: str, n: int, d: int, classes: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    X = rng.normal(size=(classes, d))[y] * 1.5 + rng.normal(size=(n, d))
    return Dataset(name, X.astype(np.float32), y, tuple(map(str, range(classes))))


TASKS = [
    make_task(blobs("a", 200, 3, 2, 0), 0, pool_size=80, test_size=60),
    make_task(blobs("b", 300, 12, 5, 1), 1, pool_size=80, test_size=60),
    make_task(blobs("c", 150, 40, 3, 2), 2, pool_size=80, test_size=60),
    make_task(blobs("d", 90, 3, 2, 3), 3, pool_size=80, test_size=60),
]


def run(
    tasks: list[Task], strategies: list[str], rounds: int = 4, batch: int = 5
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Accuracies (tasks, rounds + 1) and queries, task i by strategy i modulo their number."""
    campaign = Campaign(len(tasks))
    slots = np.arange(len(tasks))
    campaign.load(slots, tasks, [rounds * batch] * len(tasks))
    made = [make_strategy(s) for s in strategies]
    accuracy = [campaign.accuracy(slots)]
    for _ in range(rounds):
        k = np.minimum(batch, campaign.remaining(slots))
        campaign.reveal(slots, campaign.select(slots, made, slots % len(made), k))
        accuracy.append(campaign.accuracy(slots))
    return np.array(accuracy).T, [campaign.queries(slot) for slot in slots]


def test_margin_campaign_equals_a_plain_scikit_learn_loop() -> None:
    accuracy, queries = run(TASKS, ["margin"])
    for task, curve, order in zip(TASKS, accuracy, queries, strict=True):
        X, holdout, labels = task.arrays()
        y = task.oracle_labels
        seeds = len(task.seed_set)
        for round_ in range(5):
            used = order[: seeds + 5 * round_]
            model = LogisticRegression(C=1, tol=1e-8, max_iter=10000).fit(X[used].astype(np.float64), y[used])
            assert abs((model.predict(holdout) == labels).mean() - curve[round_]) <= 1.5 / len(labels)
            if round_ < 4:
                p = np.sort(model.predict_proba(X), axis=1)
                margin = p[:, -1] - p[:, -2]
                margin[used] = np.inf
                batch = order[seeds + 5 * round_ : seeds + 5 * round_ + 5]
                assert margin[batch].max() <= np.sort(margin)[4] + 2e-3


def test_a_task_does_not_depend_on_its_batch_mates() -> None:
    names = ["badge", "maxherding", "margin-kcenter", "random"]
    together, queries = run(TASKS, names)
    for i, task in enumerate(TASKS):
        alone, (order,) = run([task], [names[i]])
        assert np.array_equal(queries[i], order)
        assert np.allclose(together[i], alone[0], atol=1e-6)


def test_slots_are_reused_without_traces() -> None:
    campaign = Campaign(2)
    slots = np.arange(2)
    margin = [make_strategy("margin")]
    for first, second in ((TASKS[1], TASKS[2]), (TASKS[0], TASKS[3]), (TASKS[1], TASKS[1])):
        campaign.load(slots, [first, second], [10, 10])
        for _ in range(2):
            campaign.reveal(slots, campaign.select(slots, margin, np.zeros(2, int), np.array([5, 5])))
    expected, (order,) = run([TASKS[1]], ["margin"], rounds=2)
    assert np.array_equal(campaign.queries(0), order) and np.array_equal(campaign.queries(1), order)
    assert np.allclose(campaign.accuracy(slots), expected[0, -1], atol=1e-6)


def test_restart_equals_a_fresh_load() -> None:
    campaign = Campaign(1)
    slot, margin = np.zeros(1, int), [make_strategy("maxherding")]
    campaign.load(slot, [TASKS[1]], [20])
    orders = []
    for _ in range(2):
        for _ in range(3):
            campaign.reveal(slot, campaign.select(slot, margin, slot, np.array([5])))
        orders.append(campaign.queries(0))
        campaign.restart(slot)
    assert np.array_equal(*orders)


def test_ends_at_the_budget_and_at_an_exhausted_pool() -> None:
    task = make_task(blobs("e", 40, 2, 2, 0), 0, pool_size=500, test_size=10)
    campaign = Campaign(2)
    slots = np.arange(2)
    campaign.load(slots, [task, task], [10, 1000])
    assert campaign.remaining(slots).tolist() == [10, 22]
    campaign.reveal(slots, campaign.select(slots, [make_strategy("random")], np.zeros(2, int), np.array([10, 22])))
    assert campaign.remaining(slots).tolist() == [0, 0]
    assert campaign.n_labelled(slots).tolist() == [12, 24]


def test_pickled_campaigns_go_on_identically() -> None:
    campaign = Campaign(4)
    slots = np.arange(4)
    campaign.load(slots, TASKS, [40] * 4)
    made = [make_strategy("maxherding"), make_strategy("kcenter")]
    step = lambda c: c.reveal(slots, c.select(slots, made, slots % 2, np.full(4, 5)))  # noqa: E731
    step(campaign)
    copy = pickle.loads(pickle.dumps(campaign))
    for c in (campaign, copy):
        step(c)
        step(c)
    assert all(np.array_equal(campaign.queries(s), copy.queries(s)) for s in range(4))
    assert np.array_equal(campaign.accuracy(slots), copy.accuracy(slots))


def test_trial_accuracy_changes_nothing_and_tells_the_truth() -> None:
    campaign = Campaign(4)
    slots = np.arange(4)
    campaign.load(slots, TASKS, [40] * 4)
    before = campaign.accuracy(slots)
    queries = campaign.select(slots, [make_strategy("margin")], np.zeros(4, int), np.full(4, 5))
    promised = campaign.trial_accuracy(slots, queries)
    assert np.array_equal(campaign.accuracy(slots), before) and (campaign.rounds(slots) == 0).all()
    campaign.reveal(slots, queries)
    assert np.array_equal(campaign.accuracy(slots), promised)


def test_balanced_accuracy_is_the_mean_recall() -> None:
    campaign = Campaign(1)
    campaign.load(np.zeros(1, int), [TASKS[1]], [5])
    X, holdout, labels = TASKS[1].arrays()
    seeds = TASKS[1].seed_set
    model = LogisticRegression(C=1, tol=1e-8, max_iter=10000).fit(
        X[seeds].astype(np.float64), TASKS[1].oracle_labels[seeds]
    )
    hit = model.predict(holdout) == labels
    recalls = [hit[labels == c].mean() for c in np.unique(labels)]
    assert np.isclose(campaign.accuracy(np.zeros(1, int), balanced=True)[0], np.mean(recalls), atol=0.02)


class Cheat(Strategy):
    """Returns a labelled item."""

    name = "cheat"

    def select(self, view, k, stream):
        return view.order[:, : int(k.max())]


class Broken(Softmax):
    """Fails or returns NaN on one task."""

    name = "broken"

    def __init__(self, how: str, at: int = 0) -> None:
        super().__init__()
        self.how = how
        self.at = at

    def score_pool(self, state, arrays, rows):
        super().score_pool(state, arrays, rows)
        guilty = rows[(arrays.n_items[rows] == 54) & (arrays.round[rows] >= self.at)]  # task d
        if self.how == "raise" and len(guilty):
            raise ZeroDivisionError("no")
        arrays.top1[guilty] = float("nan")


def test_impossible_selections_are_refused_by_name() -> None:
    campaign = Campaign(1)
    campaign.load(np.zeros(1, int), [TASKS[0]], [5])
    with pytest.raises(StrategyError, match="'cheat'"):
        campaign.select(np.zeros(1, int), [Cheat()], np.zeros(1, int), np.array([2]))


@pytest.mark.parametrize("numba", [True, False])
@pytest.mark.parametrize("how", ["raise", "nan"])
def test_failing_learners_are_named_with_task_and_round(how: str, numba: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AL_GYM_NO_NUMBA", "0" if numba else "1")
    with pytest.raises(LearnerError, match=r"'broken' failed on task 'd' \(seed 3\), round 0"):
        Campaign(4, learner=Broken(how)).load(np.arange(4), TASKS, [5] * 4)


@pytest.mark.parametrize("how", ["raise", "nan"])
def test_a_trial_that_fails_changes_nothing(how: str) -> None:
    campaign = Campaign(1, learner=Broken(how, at=1))
    slot = np.zeros(1, int)
    campaign.load(slot, [TASKS[3]], [20])
    before, queries = campaign.accuracy(slot), np.array([[7, 8, 9]])
    for _ in range(3):
        with pytest.raises(LearnerError, match="round 1"):
            campaign.trial_accuracy(slot, queries)
    assert campaign.n_labelled(slot)[0] == 2 and len(campaign.queries(0)) == 2
    assert np.array_equal(campaign.accuracy(slot), before)


def test_budgets_and_slots_must_be_positive() -> None:
    with pytest.raises(ParameterError, match="budget"):
        Campaign(1).load(np.zeros(1, int), [TASKS[0]], [0])
    with pytest.raises(ParameterError, match="slot"):
        Campaign(0)
