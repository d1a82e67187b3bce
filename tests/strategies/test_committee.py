"""Committees, posterior draws, BALD and BatchBALD against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from lookahead_pools import Floats, Model, campaign_on, clusters, entropy, views_of
from numpy.typing import NDArray
from pool_blocks import make_block, make_view

from al_gym.errors import ParameterError
from al_gym.pool import PoolView
from al_gym.strategies import make_strategy
from al_gym.strategies.batchbald import greedy_batch, joint_entropies, sampled_joint
from al_gym.strategies.committee import bootstrap_weights, committee, laplace, mutual_information
from al_gym.strategies.consensus_kl import consensus_kl
from al_gym.strategies.surrogate import Surrogate, surrogates
from al_gym.strategies.vote_entropy import vote_entropy
from al_gym.streams import Stream

NAMES = ["vote-entropy", "consensus-kl", "bald", "batchbald"]


@pytest.fixture(scope="module")
def view() -> PoolView:
    """One task of four classes with more labels than features."""
    ((_, found),) = views_of(campaign_on([clusters(150, 5, 4, 4)], 3))
    return found


def only_model(view: PoolView) -> Surrogate:
    ((_, model),) = surrogates(view, 1.0)
    return model


def stream(seed: int = 0) -> Stream:
    return Stream(np.array([seed], np.uint64))


def opinions(classes: int, samples: int, items: int, seed: int = 0) -> torch.Tensor:
    """Random probabilities (classes, samples, items) float64."""
    drawn = np.random.default_rng(seed).dirichlet(np.full(classes, 0.6), (samples, items))
    return torch.from_numpy(drawn.transpose(2, 0, 1).copy())


# --- scores ------------------------------------------------------------------------------------------------------


def test_vote_entropy() -> None:
    p = opinions(3, 5, 8)
    for item, score in enumerate(vote_entropy(p)):
        votes = [int(p[:, member, item].argmax()) for member in range(5)]
        assert score == pytest.approx(entropy(np.array([votes.count(c) / 5 for c in range(3)])), abs=1e-6)


def test_consensus_kl_is_the_mutual_information() -> None:
    p = opinions(3, 5, 8)
    for item, (divergence, information) in enumerate(zip(consensus_kl(p), mutual_information(p), strict=True)):
        members = p[:, :, item].T.numpy()
        mean = members.mean(0)
        expected = np.mean([sum(q * np.log(q / m) for q, m in zip(member, mean, strict=True)) for member in members])
        assert divergence == pytest.approx(expected, rel=1e-6)
        assert information == pytest.approx(entropy(mean) - np.mean([entropy(q) for q in members]), rel=1e-6)


def test_unanimous_committees_score_zero() -> None:
    p = opinions(3, 1, 6).expand(-1, 4, -1)
    for score in (vote_entropy(p), consensus_kl(p), mutual_information(p)):
        torch.testing.assert_close(score, torch.zeros_like(score), atol=1e-7, rtol=0)


# --- members -----------------------------------------------------------------------------------------------------


def test_bootstrap_weights_are_exponential(view: PoolView) -> None:
    model = only_model(view)
    weights = bootstrap_weights(model, 400, stream())
    assert weights.shape == (400, len(model.labelled))
    torch.testing.assert_close(weights.mean(1), torch.ones(400))
    assert (weights > 0).all()
    n = weights.shape[1]
    assert float(weights.var()) == pytest.approx((n - 1) / (n + 1), rel=0.1)  # n times a flat Dirichlet
    assert not torch.equal(weights, bootstrap_weights(model, 400, stream(1)))


def test_members_are_weighted_fits(view: PoolView) -> None:
    """Members by short descent are close to scikit-learn's, much closer than to each other."""
    model, items = only_model(view), view.candidates[0].nonzero()[:, 0]
    found = committee(model, 6, stream()).proba(items)
    X, y = view.X[0, :, : int(view.n_features[0])].double().numpy(), view.y[0].numpy()
    labelled = model.labelled.numpy()
    for weight, p in zip(bootstrap_weights(model, 6, stream()), found.unbind(1), strict=True):
        exact = Model.fit(X[labelled], y[labelled], weight.double().numpy()).proba(X[items])
        assert np.abs(p.T.numpy() - exact).mean() < 0.01
    assert float((found - found.mean(1, keepdim=True)).abs().mean()) > 0.03


def logistic_posterior(X: Floats, y: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Weights (intercept last) and covariance of binary logistic regression with unit penalty."""
    model = Model.fit(X, y)
    p = model.proba(X)[:, 1]
    A = np.column_stack([X, np.ones(len(X))])
    H = (A * (p * (1 - p))[:, None]).T @ A + np.diag([1.0] * X.shape[1] + [0.0])
    return model.weights[0], np.linalg.inv(H)


@pytest.mark.parametrize("features", [4, 25], ids=["more labels than features", "more features than labels"])
def test_laplace_draws_have_the_posteriors_moments(features: int) -> None:
    """Two classes: the logit is Gaussian with the textbook mean and variance, outside the span included."""
    ((_, view),) = views_of(campaign_on([clusters(120, features, 2, 5, spread=0.5)], 2))
    model, items = only_model(view), view.candidates[0].nonzero()[:, 0]
    assert (model.basis is None) == (features == 4)
    X, labelled = view.X[0, :, :features].double().numpy(), model.labelled.numpy()
    weights, covariance = logistic_posterior(X[labelled], view.y[0].numpy()[labelled])
    A = np.column_stack([X[items], np.ones(len(items))])
    p = laplace(model, 4000, stream()).proba(items).double().clamp(min=1e-12)
    z = (p[1].log() - p[0].log()).numpy()
    deviation = np.sqrt((A @ covariance * A).sum(1))
    assert (np.abs(z.mean(0) - A @ weights) < 0.1 * deviation + 0.02).all()
    np.testing.assert_allclose(z.std(0), deviation, rtol=0.08)
    expected = A @ covariance @ A.T / np.outer(deviation, deviation)
    assert np.abs(np.corrcoef(z.T) - expected).max() < 0.1


# --- BatchBALD ---------------------------------------------------------------------------------------------------


def joint_information(p: Floats, batch: tuple[int, ...]) -> float:
    """I(y_batch; model) by enumeration; p is (classes, samples, items)."""
    classes, samples, _ = p.shape
    joint = 0.0
    for labels in itertools.product(range(classes), repeat=len(batch)):
        q = np.mean([np.prod([p[c, s, i] for c, i in zip(labels, batch, strict=True)]) for s in range(samples)])
        joint -= q * np.log(q)
    return joint - sum(np.mean([entropy(p[:, s, i]) for s in range(samples)]) for i in batch)


def test_greedy_batch_maximises_the_joint_information() -> None:
    for seed in range(5):
        p = opinions(3, 4, 7, seed)
        chosen = greedy_batch(p, 4, 10**6, torch.rand(7, dtype=torch.float64), stream()).tolist()
        for pick in range(4):
            gains = {
                item: joint_information(p.numpy(), (*chosen[:pick], item))
                for item in range(7)
                if item not in chosen[:pick]
            }
            assert gains[chosen[pick]] == pytest.approx(max(gains.values()), abs=1e-9)


def test_sampled_joint_entropies_are_near_the_exact_ones() -> None:
    p = opinions(3, 8, 6, 1)
    exact = torch.ones(1, 8, dtype=torch.float64)
    for item in (0, 1, 2):
        exact = (exact[:, None] * p[:, :, item]).reshape(-1, 8)
    sampled = sampled_joint(p[:, :, [0, 1, 2]], 40000, stream())
    assert sampled.shape == (40000, 8)
    torch.testing.assert_close(joint_entropies(p, sampled, False), joint_entropies(p, exact, True), atol=0.03, rtol=0)


def test_large_batches_are_sampled_and_distinct() -> None:
    p = opinions(4, 6, 30, 2)
    noise = torch.rand(30, dtype=torch.float64)
    chosen = greedy_batch(p, 12, 60, noise, stream())
    assert len(set(chosen.tolist())) == 12
    assert torch.equal(chosen, greedy_batch(p, 12, 60, noise, stream()))


def test_a_repeated_item_adds_little() -> None:
    """Two copies of the best item and one of the second: BALD takes the copies, BatchBALD does not."""
    p = opinions(2, 16, 6, 3)
    best, second = mutual_information(p).topk(2).indices
    copies = torch.cat([p[:, :, [best, best, second]], opinions(2, 1, 3).expand(-1, 16, -1)], dim=2)
    copies[:, :, 1] = 0.999 * copies[:, :, 0] + 0.001 * copies[:, :, 2]
    assert set(mutual_information(copies).topk(2).indices.tolist()) == {0, 1}
    chosen = greedy_batch(copies, 2, 1000, torch.zeros(6, dtype=torch.float64), stream())
    assert 2 in chosen.tolist()


def test_batches_of_one_are_bald(view: PoolView) -> None:
    shared = view.stream("shared")
    k = torch.ones(1, dtype=torch.int64)
    assert torch.equal(
        make_strategy("batchbald").select(view, k, shared), make_strategy("bald").select(view, k, shared)
    )


# --- strategies --------------------------------------------------------------------------------------------------


def test_committee_strategies_agree_where_they_are_the_same(view: PoolView) -> None:
    shared, k = view.stream("shared"), torch.tensor([6])
    picks = [
        make_strategy(spec).select(view, k, shared)
        for spec in ("consensus-kl:members=9", "bald:posterior=committee,samples=9", "bald:posterior=laplace,samples=9")
    ]
    assert torch.equal(picks[0], picks[1])
    assert not torch.equal(picks[1], picks[2])


@pytest.mark.parametrize("name", [*NAMES, "power-bald"])
def test_one_class_seen_is_random(name: str) -> None:
    view = make_view(make_block([30] * 20, labels=1, seed=4))
    picks = make_strategy(name).select(view, torch.full((20,), 2), view.stream(name))
    assert len(set(map(tuple, picks.tolist()))) > 10


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vote-entropy:members=1", "vote-entropy: members must be an integer of at least 2"),
        ("consensus-kl:members=2.5", "consensus-kl: members must be an integer"),
        ("vote-entropy:C=0", "vote-entropy: C must be a number above 0"),
        ("bald:samples=1", "bald: samples must"),
        ("bald:posterior=exact", "bald: posterior must be one of laplace, committee"),
        ("batchbald:configurations=8", "batchbald: configurations must be an integer of at least 32"),
        ("batchbald:candidates=0", "batchbald: candidates must"),
        ("batchbald:posterior=mean", "batchbald: posterior must"),
    ],
)
def test_impossible_parameters(spec: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make_strategy(spec)


def test_fewer_candidates_than_the_batch() -> None:
    view = make_view(make_block([30]))
    with pytest.raises(ParameterError, match="candidates=4 is fewer than the batch of 5"):
        make_strategy("batchbald:candidates=4").select(view, torch.tensor([5]), view.stream("batchbald"))


def test_candidates_of_batchbald_are_the_highest_bald_scores(view: PoolView) -> None:
    shared, k = view.stream("shared"), torch.tensor([8])
    batch = make_strategy("batchbald:candidates=8").select(view, k, shared)
    top = make_strategy("bald").select(view, k, shared)
    assert set(batch[0].tolist()) == set(top[0].tolist())
