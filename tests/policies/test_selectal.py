"""The derivative test against refits with scikit-learn, and what it decides."""

import numpy as np
import pytest
import torch
from sample_data import blobs, campaigns
from sklearn.linear_model import LogisticRegression

from al_gym.errors import ParameterError
from al_gym.evaluation.rollout import roll_out
from al_gym.policies import POLICIES
from al_gym.policies.base import decide, look
from al_gym.policies.selectal import derivative_test, removed, verdict, without
from al_gym.strategies import make_strategy


def labelled(rounds=6, **more):
    """Campaigns with some random labels."""
    campaign, slots = campaigns(budget=60, **more)
    for _ in range(rounds):
        random = [make_strategy("random")]
        queries = campaign.select(slots, random, np.zeros(len(slots), np.int64), np.full(len(slots), 5))
        campaign.reveal(slots, queries)
    return campaign, slots


def sklearn_proba(X, y, kept, classes):
    model = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(X[kept], y[kept])
    out = np.zeros((len(X), classes))
    out[:, model.classes_] = model.predict_proba(X)
    return out


def test_a_model_without_some_labels_is_that_of_scikit_learn():
    campaign, slots = labelled()
    ((_, view),) = campaign.views(slots)
    kept = (torch.arange(view.order.shape[1]) % 3 != 0) & (view.order >= 0)
    proba = without(view.arrays, view.rows, kept)
    for row in slots.tolist():
        items = campaign.queries(row)
        X, y = view.X[row, items].numpy(), view.y[row, items].numpy()
        expected = sklearn_proba(X, y, kept[row, : len(items)].numpy(), 3)
        assert np.abs(proba[row, :3, : len(items)].numpy().T - expected).max() < 1e-2


def test_removed_takes_the_highest_scores():
    score = torch.tensor([[5.0, 1.0, 4.0, 9.0, 3.0, 2.0]] * 2)
    among = torch.tensor([[1, 1, 1, 0, 1, 1], [1, 1, 0, 0, 0, 0]]).bool()
    assert removed(score, among, 0.4).tolist() == [[True, False, True, False, False, False], [True] + [False] * 5]
    assert removed(score, among, 0.01).sum(1).tolist() == [1, 1]


def test_the_derivative_test_equals_a_naive_one():
    campaign, slots = labelled(dataset=blobs(spread=2.5))
    ((_, view),) = campaign.views(slots)
    got = derivative_test(view, 4, 0.25, "selectal")
    for row in slots.tolist():
        items = campaign.queries(row)
        n = len(items)
        X, y = view.X[row, items].numpy(), view.y[row, items].numpy()
        pool = view.X[row, : int(view.n_items[row])].numpy()
        distance = np.sort(np.linalg.norm(X[:, None] - pool[None], axis=2), axis=1)[:, 1:21].mean(1)
        noise, chance = (view.stream("selectal").uniform(n, draw)[row] for draw in (0, 1))
        fold = np.argsort(np.argsort(noise)) % 4
        right = np.zeros(3)
        for f in range(4):
            train = np.flatnonzero(fold != f)
            ordered = np.sort(sklearn_proba(X, y, train, 3), axis=1)
            scores = (-distance, chance, ordered[:, -2] - ordered[:, -1])
            for column, score in enumerate(scores):
                size = max(1, round(0.25 * len(train)))
                gone = train[np.argsort(-score[train])[:size]]
                proba = sklearn_proba(X, y, np.setdiff1d(train, gone), 3)
                right[column] += (proba.argmax(1) == y)[fold == f].sum()
        assert np.abs(got[row] * n - right).max() <= 1
        assert got[row].min() > 0.2


def test_the_removal_that_hurts_most_decides():
    accuracy = np.array([[0.5, 0.6, 0.7], [0.7, 0.6, 0.5], [0.6, 0.5, 0.7], [0.5, 0.6, 0.5], [0.5, 0.5, 0.5]])
    assert verdict(accuracy).tolist() == [0, 2, 1, 1, 1]


def test_typicality_comes_first_and_the_test_decides_later():
    campaign, slots = campaigns(seeds=tuple(range(8)), budget=50, dataset=blobs(spread=2.5))
    rounds = roll_out(POLICIES.make("selectal"), campaign, slots, 5)
    by_round = rounds.groupby("round")["strategy"].apply(set)
    assert by_round[1] == by_round[2] == {0}
    assert set.union(*by_round[3:]) == {0, 1, 2}


def test_a_campaign_does_not_depend_on_its_batch_mates():
    campaign, slots = labelled()
    policy = POLICIES.make("selectal")
    everyone = decide(policy, look(policy, campaign, slots, np.full(3, -1), 5)).strategy
    for slot in slots.tolist():
        alone = decide(policy, look(policy, campaign, slots[slot : slot + 1], np.full(1, -1), 5)).strategy
        assert alone.tolist() == [everyone[slot]]


@pytest.mark.parametrize("spec", ["strategies=random+margin", "folds=1", "share=0", "share=0.6", "least=1"])
def test_impossible_parameters_are_refused(spec):
    with pytest.raises(ParameterError, match=spec.split("=")[0]):
        POLICIES.make(f"selectal:{spec}")
