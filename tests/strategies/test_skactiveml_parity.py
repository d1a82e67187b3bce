"""The same picks as scikit-activeml on the same probabilities, and as modAL by its formulas; ties aside."""

from __future__ import annotations

import naive
import numpy as np
import pytest
import torch
from lookahead_pools import campaign_on, clusters, views_of
from pool_blocks import make_block, make_view
from scipy.stats import entropy as scipy_entropy
from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import MonteCarloEER, uncertainty_scores
from skactiveml.pool._bald import batch_bald
from skactiveml.pool._query_by_committee import average_kl_divergence
from skactiveml.pool._query_by_committee import vote_entropy as peer_vote_entropy
from sklearn.linear_model import LogisticRegression

from al_gym.pool import PoolView
from al_gym.strategies import make_strategy
from al_gym.strategies.batchbald import greedy_batch
from al_gym.strategies.committee import mutual_information
from al_gym.strategies.consensus_kl import consensus_kl
from al_gym.strategies.vote_entropy import vote_entropy
from al_gym.streams import Stream

UNCERTAINTY = {"least-confidence": "least_confident", "margin": "margin_sampling", "entropy": "entropy"}


def picks_of(view: PoolView, spec: str, k: int) -> list[list[int]]:
    strategy = make_strategy(spec)
    return strategy.select(view, torch.full((len(view),), k), view.stream(strategy.name)).tolist()


def best(pool: naive.Pool, scores: np.ndarray, k: int) -> list[int]:
    """The k candidates of the highest score; a tie would make the comparison void."""
    order = sorted(pool.candidates, key=lambda item: -scores[item])[: k + 1]
    assert np.all(np.diff(scores[order]) < -1e-7)
    return order[:k]


def committee(members: int, items: int, classes: int, seed: int) -> np.ndarray:
    """(members, items, classes) random probabilities."""
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.7), (members, items))


def class_major(p: np.ndarray) -> torch.Tensor:
    """(classes, members, items) from (members, items, classes)."""
    return torch.from_numpy(p.transpose(2, 0, 1).copy())


@pytest.mark.parametrize("name", UNCERTAINTY)
@pytest.mark.parametrize("classes", [2, 5])
def test_uncertainty_sampling(name: str, classes: int) -> None:
    view = make_view(make_block([50, 30], classes=classes, seed=1))
    for task, picks in enumerate(picks_of(view, name, 8)):
        pool = naive.Pool(view, task)
        proba = pool.p / pool.p.sum(1, keepdims=True)
        assert picks == best(pool, uncertainty_scores(proba, method=UNCERTAINTY[name]), 8)


@pytest.mark.parametrize("name", UNCERTAINTY)
def test_uncertainty_by_the_formulas_of_modal(name: str) -> None:
    """modAL.uncertainty: 1 - max, the gap of the two largest by partition, scipy's entropy."""
    view = make_view(make_block([50, 30], classes=4, seed=2))
    for task, picks in enumerate(picks_of(view, name, 8)):
        pool = naive.Pool(view, task)
        part = np.partition(-pool.p, 1, axis=1)
        scores = {
            "least-confidence": 1 - pool.p.max(axis=1),
            "margin": -(-part[:, 0] + part[:, 1]),
            "entropy": scipy_entropy(pool.p.T),
        }
        assert picks == best(pool, scores[name], 8)


def test_vote_entropy() -> None:
    p = committee(7, 40, 4, 0)
    expected = peer_vote_entropy(p.argmax(2).T, classes=np.arange(4))
    np.testing.assert_allclose(vote_entropy(class_major(p)), expected, atol=1e-6)


def test_consensus_kl() -> None:
    p = committee(7, 40, 4, 1)
    np.testing.assert_allclose(consensus_kl(class_major(p)), average_kl_divergence(p), atol=1e-5)


def test_bald_is_the_first_row_of_batchbald() -> None:
    p = committee(9, 40, 3, 2)
    np.testing.assert_allclose(mutual_information(class_major(p)), batch_bald(p.copy(), 1)[0], atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_batchbald_picks(seed: int) -> None:
    """Exact joint entropies in both: their limit on configurations is raised beyond 3 ** 4."""
    p = committee(9, 40, 3, seed)
    utilities = batch_bald(p.copy(), 5, n_MC_samples=10**4)
    stream = Stream(np.array([seed], np.uint64))
    chosen = greedy_batch(class_major(p), 5, 10**4, torch.rand(40, dtype=torch.float64), stream)
    assert chosen.tolist() == np.nanargmax(utilities, axis=1).tolist()


@pytest.mark.parametrize(
    ("name", "method"),
    [("expected-error-reduction", "misclassification_loss"), ("expected-pool-entropy-reduction", "log_loss")],
)
@pytest.mark.parametrize("classes", [2, 3])
def test_expected_error_reduction_picks(name: str, method: str, classes: int) -> None:
    """Converged refits on both sides; the risk is summed over the unlabelled items."""
    ((_, view),) = views_of(campaign_on([clusters(90, 4, classes, 11)], 1, pool=40))
    pool = naive.Pool(view, 0)
    y = np.where(view.y[0, : len(pool.X)] < 0, np.nan, view.y[0, : len(pool.X)])
    learner = SklearnClassifier(
        LogisticRegression(C=1, tol=1e-8, max_iter=10000), classes=range(classes), random_state=0
    )
    query = MonteCarloEER(method=method, random_state=0)
    _, utilities = query.query(pool.X, y, learner, X_eval=pool.X[pool.candidates], return_utilities=True)
    assert picks_of(view, f"{name}:steps=60,pool=all,candidates=all", 6)[0] == best(pool, utilities[0], 6)
