"""The look-ahead strategies against full refits, their kernels against torch, and expected gradient length."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from lookahead_pools import NAMES, POOL_NAMES, Model, campaign_on, clusters, entropy, exact_utilities, views_of
from pool_blocks import make_block, make_view
from scipy.stats import spearmanr

from al_gym import kernels
from al_gym.errors import ParameterError
from al_gym.pool import PoolView
from al_gym.strategies import make_strategy
from al_gym.strategies.lookahead import LookAhead, PoolLookAhead, Trial
from al_gym.strategies.refits import refit_with_label, refit_with_weights
from al_gym.strategies.surrogate import Surrogate, surrogates

SETS = [clusters(120, 4, 2, 1), clusters(120, 30, 4, 2), clusters(120, 6, 3, 3)]


@pytest.fixture(autouse=True, params=["numba", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here runs on both implementations."""
    monkeypatch.setenv("AL_GYM_NO_NUMBA", "1" if request.param == "torch" else "0")


def look_ahead(spec: str) -> LookAhead:
    strategy = make_strategy(spec)
    assert isinstance(strategy, LookAhead)
    return strategy


def scores(spec: str, view: PoolView) -> torch.Tensor:
    strategy = look_ahead(spec)
    return strategy.score(view, view.candidates, view.stream(strategy.name))


def pool_of(view: PoolView, task: int) -> tuple[np.ndarray, np.ndarray, list[int], list[int]]:
    """Features, revealed labels, labelled and unlabelled positions of one task."""
    n, d = int(view.n_items[task]), int(view.n_features[task])
    labelled = [int(item) for item in view.order[task] if item >= 0]
    X, y = view.X[task, :n, :d].numpy().astype(float), view.y[task, :n].numpy()
    return X, y, labelled, [item for item in range(n) if item not in labelled]


@dataclass(frozen=True)
class Exact:
    """One task: its view, some unlabelled items, and their utilities by full refits."""

    view: PoolView
    task: int
    items: list[int]
    utilities: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def exact() -> list[Exact]:
    """Tasks before the first and after the third round."""
    found = []
    for rounds in (0, 3):
        for _, view in views_of(campaign_on(SETS, rounds, pool=40)):
            for task in range(len(view)):
                X, y, labelled, unlabelled = pool_of(view, task)
                items = unlabelled[::3]
                found.append(Exact(view, task, items, exact_utilities(X, y, labelled, items)))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_rank_correlation_with_full_refits(name: str, exact: list[Exact]) -> None:
    for case in exact:
        score = scores(name, case.view)[case.task, case.items]
        assert spearmanr(score, case.utilities[name])[0] >= 0.95


@pytest.mark.parametrize("name", NAMES)
def test_many_steps_reach_the_full_refit(name: str, exact: list[Exact]) -> None:
    """The value itself, not its rank alone; the pool's risk before is a constant."""
    for case in exact:
        X, y, labelled, unlabelled = pool_of(case.view, case.task)
        found = scores(f"{name}:steps=60", case.view)[case.task, case.items].numpy().astype(float)
        expected = case.utilities[name]
        if name in POOL_NAMES:
            p = Model.fit(X[labelled], y[labelled]).proba(X[unlabelled])
            expected = expected + (sum(entropy(q) for q in p) if "entropy" in name else (1 - p.max(1)).sum())
        if name == "expected-model-change" and len(np.unique(y[labelled])) == 2:
            found = 2 * found  # one logit w is the two columns -w/2 and w/2
        np.testing.assert_allclose(found, expected, rtol=0.02, atol=2e-3)


def test_more_steps_are_closer() -> None:
    """Each step lowers the objective of every refit."""
    for _, view in views_of(campaign_on(SETS, 2)):
        for task, model in surrogates(view, 1.0):
            items = view.candidates[task].nonzero()[:5, 0]
            values = [objective(model, items, Trial.run(model, items, None, steps).theta) for steps in (0, 1, 2, 4, 30)]
            for earlier, later in itertools.pairwise(values):
                assert (later <= earlier + 1e-4).all()
            assert (values[2] - values[-1] < 0.5 * (values[0] - values[-1]) + 1e-4).all()


def objective(model: Surrogate, items: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """(P,): log-losses of old and new labels plus penalty, less the value before."""
    theta = theta.double()
    X, target = model.design.double(), model.target.double()[:, None]
    P0, Z0 = model.proba[:, model.labelled].double(), model.log_proba(model.labelled).double()
    Z = Z0[:, None] + theta @ X.T
    losses = (torch.logsumexp(Z, 0) - (Z * target).sum(0)).sum(1)
    slope = (target[:, 0] - P0) @ X  # penalty times the weights before, by stationarity
    penalty = (slope[:, None] * theta).sum((0, 2)) + 0.5 * (model.ridge * theta**2).sum((0, 2))
    m, K = len(items), model.n_classes
    which = torch.arange(m).repeat_interleave(K)
    z = model.log_proba(items).double()[:, which] + (theta * model.coordinates(items)[which]).sum(2)
    new = torch.logsumexp(z, 0) - z.gather(0, torch.arange(K).repeat(m)[None])[0]
    return losses + penalty + new


def test_weighted_refits_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for _, view in views_of(campaign_on(SETS, 3)):
        for task, model in surrogates(view, 1.0):
            X, y, labelled, unlabelled = pool_of(view, task)
            weight = rng.exponential(size=(3, len(labelled)))
            items = torch.tensor(unlabelled)
            theta = refit_with_weights(model, torch.from_numpy(weight).float(), 60)
            z = model.log_proba(items)[:, None] + theta @ model.coordinates(items).T
            for member, found in enumerate(torch.softmax(z, 0).unbind(1)):
                exact = Model.fit(X[labelled], y[labelled], weight[member]).proba(X[unlabelled])
                np.testing.assert_allclose(found.T.numpy(), exact, atol=5e-3)


def test_more_features_than_labels_change_nothing() -> None:
    """The span of the labelled items and what lies outside it, against plain features."""
    for _, view in views_of(campaign_on([clusters(120, 40, 3, 7)], 1)):
        ((_, model),) = surrogates(view, 1.0)
        assert model.basis is not None
        items = view.candidates[0].nonzero()[:6, 0]
        plain = Surrogate(model.phi, model.proba, model.labelled, model.target, model.penalty)
        plain.__dict__["basis"] = None
        theta, expected = (Trial.run(either, items, None, 3).theta for either in (model, plain))
        where = view.candidates[0].nonzero()[:, 0]
        inside = model.coordinates(where)
        inside[:, -1] = 0
        outside = model.residual_products(items, where) / model.coordinates(items)[:, -1:]
        change = theta @ inside.T + theta[:, :, -1:] * outside.repeat_interleave(3, 0)
        torch.testing.assert_close(change, expected @ plain.coordinates(where).T, atol=2e-3, rtol=2e-3)
        torch.testing.assert_close(theta.square().sum((0, 2)), expected.square().sum((0, 2)), atol=1e-4, rtol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_candidates_are_the_most_uncertain(name: str) -> None:
    for _, view in views_of(campaign_on(SETS, 1)):
        strategy = make_strategy(f"{name}:candidates=7")
        picks = strategy.select(view, torch.full((len(view),), 7), view.stream(name))
        margin = view.margin.masked_fill(~view.candidates, torch.inf)
        np.testing.assert_array_equal(picks.sort(1).values, margin.topk(7, largest=False).indices.sort(1).values)


@pytest.mark.parametrize("name", NAMES)
def test_outcomes_are_the_most_probable_labels(name: str) -> None:
    """Means over the two most probable of four labels, from the same refits one by one."""
    ((_, view),) = views_of(campaign_on(SETS[1:2], 3))
    strategy = look_ahead(f"{name}:outcomes=2")
    found = strategy.score(view, view.candidates, view.stream(name))[0]
    ((_, model),) = surrogates(view, 1.0)
    targets = strategy.targets(view, view.stream(name))[0].nonzero()[:, 0]
    for item in view.candidates[0].nonzero()[:4, 0]:
        p = model.proba[:, item]
        labels = sorted(range(4), key=lambda label: -float(p[label]))[:2]
        values = []
        for label in labels:
            tried = torch.tensor([[label]])
            trial = Trial(model, item[None], tried, refit_with_label(model, item[None], tried, 2))
            values.append(float(strategy.utility(trial, targets)))
        expected = sum(float(p[c]) * value for c, value in zip(labels, values, strict=True)) / float(p[labels].sum())
        assert float(found[item]) == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", POOL_NAMES)
def test_the_pool_is_a_random_subset(name: str) -> None:
    view = make_view(make_block([60, 40, 12], labels=[5, 6, 4], seed=3))
    strategy = look_ahead(f"{name}:pool=20")
    assert isinstance(strategy, PoolLookAhead)
    chosen = strategy.targets(view, view.stream(name))
    assert chosen.sum(1).tolist() == [20, 20, 8]
    assert not (chosen & ~view.candidates).any()
    view.arrays.round += 1
    assert (strategy.targets(view, view.stream(name)) != chosen).any()
    everything = look_ahead(f"{name}:pool=all")
    assert isinstance(everything, PoolLookAhead)
    assert torch.equal(everything.targets(view, view.stream(name)), view.candidates)


@pytest.mark.parametrize("name", NAMES)
def test_one_class_seen_is_random(name: str) -> None:
    arrays = make_block([30] * 20, classes=3, labels=1, seed=4)
    view = make_view(arrays)
    assert (scores(name, view) == 0).all()
    picks = make_strategy(name).select(view, torch.full((20,), 2), view.stream(name))
    assert len(set(map(tuple, picks.tolist()))) > 10


def test_the_penalty_counts() -> None:
    ((_, view),) = views_of(campaign_on(SETS[:1], 2))
    weak, strong = (scores(f"expected-model-change:C={C}", view)[0] for C in (10.0, 0.1))
    assert weak.max() > 3 * strong.max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "arguments",
    [
        "outcomes=0",
        "outcomes=few",
        "candidates=0",
        "candidates=some",
        "candidates=2.5",
        "C=0",
        "C=-1",
        "steps=-1",
        "steps=1.5",
        "C=inf",
    ],
)
def test_impossible_parameters(name: str, arguments: str) -> None:
    with pytest.raises(ParameterError, match=f"{name}: {arguments.split('=')[0]} must"):
        make_strategy(f"{name}:{arguments}")


@pytest.mark.parametrize("name", POOL_NAMES)
def test_impossible_pools(name: str) -> None:
    with pytest.raises(ParameterError, match="pool must be an integer"):
        make_strategy(f"{name}:pool=0")


@pytest.mark.parametrize("name", NAMES)
def test_fewer_candidates_than_the_batch(name: str) -> None:
    view = make_view(make_block([30]))
    with pytest.raises(ParameterError, match="candidates=4 is fewer than the batch of 5"):
        make_strategy(f"{name}:candidates=4").select(view, torch.tensor([5]), view.stream(name))


@pytest.mark.parametrize("kind", ["error", "entropy"])
def test_kernels_equal_torch(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refits and pool risk to the last digits of float32, with and without more features than labels."""
    found: dict[str, list[torch.Tensor]] = {}
    for switch in ("0", "1"):
        monkeypatch.setenv("AL_GYM_NO_NUMBA", switch)
        assert kernels.available() == (switch == "0")
        found[switch] = []
        for _, view in views_of(campaign_on(SETS, 2)):
            for task, model in surrogates(view, 1.0):
                items = view.candidates[task].nonzero()[:, 0]
                trial = Trial.run(model, items, 2, 2)
                found[switch] += [trial.theta, trial.pool_risk(items, kind).float()]
    for fast, slow in zip(found["0"], found["1"], strict=True):
        torch.testing.assert_close(fast, slow, atol=2e-4, rtol=2e-4)


def test_expected_gradient_length() -> None:
    """By finite differences of the loss in every weight and intercept."""
    view = make_view(make_block([14, 9], features=[3, 2], classes=[3, 2], seed=5))
    strategy = make_strategy("egl")
    score = strategy.score(view)  # type: ignore[attr-defined]
    for task, (d, C) in enumerate(((3, 3), (2, 2))):
        for item in range(int(view.n_items[task])):
            x = np.append(view.X[task, item, :d].numpy().astype(float), 1.0)
            p = view.proba[task, :C, item].numpy().astype(float)
            expected = sum(p[y] * np.linalg.norm(loss_gradient(np.log(p), x, y)) for y in range(C))
            assert score[task, item] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def loss_gradient(z: np.ndarray, x: np.ndarray, y: int) -> np.ndarray:
    """d(-log softmax(z + W x)[y]) / dW at W = 0, by central differences."""
    gradient, step = np.zeros((len(z), len(x))), 1e-5
    for index in np.ndindex(*gradient.shape):
        values = []
        for sign in (1, -1):
            W = np.zeros_like(gradient)
            W[index] = sign * step
            logits = z + W @ x
            values.append(np.log(np.exp(logits).sum()) - logits[y])
        gradient[index] = (values[0] - values[1]) / (2 * step)
    return gradient
