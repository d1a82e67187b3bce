"""K-means and the strategies on clusters, against naive references and scikit-activeml."""

from __future__ import annotations

import naive
import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import KMeans

from al_gym.errors import ParameterError
from al_gym.pool import PoolView
from al_gym.strategies import make_strategy
from al_gym.strategies.cluster_margin import round_robin
from al_gym.strategies.diverse_mini_batch import central_items
from al_gym.strategies.kmeans import k_means
from al_gym.strategies.one_pool import Kept
from al_gym.strategies.probcover import pure_radius


def picks_of(spec: str, view: PoolView, k: list[int]) -> list[list[int]]:
    strategy = make_strategy(spec)
    out = strategy.select(view, torch.tensor(k), view.stream(strategy.name))
    return [row[:size].tolist() for row, size in zip(out, k, strict=True)]


def blobs(seed: int, groups: int = 6, size: int = 15) -> np.ndarray:
    """(groups * size, 4) float32, far apart."""
    rng = np.random.default_rng(seed)
    centers = 40 * np.eye(groups)[:, :4] + 25 * np.arange(groups)[:, None]
    return (centers[:, None, :] + rng.standard_normal((groups, size, 4))).reshape(-1, 4).astype(np.float32)


# --- k-means -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("weighted", [False, True])
def test_k_means_ends_at_a_fixed_point(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 3)).astype(np.float32)
    weight = rng.random(80) if weighted else None
    labels, centers = k_means(X, 7, rng.random(7), weight)
    w = np.ones(80) if weight is None else weight
    for c in np.unique(labels):
        own = labels == c
        np.testing.assert_allclose(centers[c], np.average(X[own].astype(float), axis=0, weights=w[own]), atol=1e-6)
    nearest = [min(range(7), key=lambda c, x=x: naive.distance(x, centers[c])) for x in X]
    assert labels.tolist() == nearest


def test_k_means_is_as_good_as_scikit_learn() -> None:
    X = np.random.default_rng(1).standard_normal((150, 5)).astype(np.float32)
    draws = np.random.default_rng(2).random((20, 8))

    def inertia(seed: np.ndarray) -> float:
        labels, centers = k_means(X, 8, seed)
        return float(((X - centers[labels]) ** 2).sum())

    theirs = [KMeans(8, n_init=1, init="k-means++", random_state=seed).fit(X).inertia_ for seed in range(20)]
    assert np.median([inertia(seed) for seed in draws]) <= 1.05 * np.median(theirs)


def test_k_means_finds_separated_groups_and_depends_on_the_draws() -> None:
    X = blobs(3)
    labels = k_means(X, 6, np.full(6, 0.5)).labels.reshape(6, 15)
    assert (labels == labels[:, :1]).all() and len(set(labels[:, 0])) == 6
    noise = np.random.default_rng(4).standard_normal((60, 2))
    results = {tuple(k_means(noise, 5, np.random.default_rng(seed).random(5)).labels) for seed in range(5)}
    assert len(results) > 1


def test_k_means_of_equal_items_leaves_clusters_empty() -> None:
    labels, centers = k_means(np.ones((9, 2), np.float32), 4, np.full(4, 0.3))
    assert len(set(labels)) == 1
    np.testing.assert_allclose(centers, 1.0)


def test_results_are_kept_by_content_and_settings() -> None:
    kept: Kept[int] = Kept(size=2)
    calls: list[int] = []

    def ask(array: np.ndarray, settings: str) -> int:
        return kept.get(array, settings, lambda: calls.append(1) or len(calls))

    a, b = np.arange(6.0), np.arange(6.0) + 1
    assert [ask(a, "s"), ask(a.copy(), "s"), ask(b, "s"), ask(a, "s")] == [1, 1, 2, 1]
    assert ask(a.reshape(2, 3), "s") == 3, "the shape counts, and the oldest result is dropped"
    assert ask(a, "t") == 4
    assert ask(b, "s") == 5


# --- TypiClust ---------------------------------------------------------------------------------------------------
def typical_first(X: np.ndarray, own: list[int], neighbours: int) -> int:
    """The item of the smallest mean distance to the nearest others of its cluster."""
    near = min(neighbours, len(own) // 2)
    if near == 0:
        return own[0]
    mean = {i: sum(sorted(naive.distance(X[i], X[j]) for j in own if j != i)[:near]) / near for i in own}
    return min(own, key=lambda i: mean[i])


@pytest.mark.parametrize(("neighbours", "min_size"), [(20, 5), (3, 0), (20, 200)])
def test_typiclust(neighbours: int, min_size: int) -> None:
    view = make_view(make_block([60, 43], features=[2, 5], labels=[3, 5], seed=1))
    draws = view.stream("typiclust").uniform(500, draw=1)
    for task, picks in enumerate(picks_of(f"typiclust:neighbours={neighbours},min_size={min_size}", view, [9, 9])):
        pool = naive.Pool(view, task)
        labels = k_means(pool.X, len(pool.labelled) + 9, draws[task, : len(pool.labelled) + 9]).labels
        members = {c: [i for i in range(len(pool.X)) if labels[i] == c] for c in set(labels.tolist())}
        held = {c: sum(i in pool.labelled for i in own) for c, own in members.items()}
        order = sorted(members, key=lambda c: (held[c], -len(members[c])))
        large = [c for c in order if len(members[c]) > min_size] or order
        expected: list[int] = []
        for turn in range(1000):
            cluster = large[turn % len(large)]
            own = [i for i in members[cluster] if i in pool.candidates and i not in expected]
            if own and len(expected) < 9:
                expected.append(typical_first(pool.X, own, neighbours))
        keys = [(held[labels[i]], len(members[labels[i]])) for i in expected]
        assert [(held[labels[i]], len(members[labels[i]])) for i in picks] == keys
        if len({(held[c], len(members[c])) for c in large}) == len(large):
            assert picks == expected


def test_typiclust_reaches_every_item() -> None:
    view = make_view(make_block([30], labels=4, seed=2))
    (picks,) = picks_of("typiclust:min_size=8", view, [26])
    assert sorted(picks) == naive.Pool(view, 0).candidates


def test_typiclust_parity_with_scikit_activeml() -> None:
    pool = pytest.importorskip("skactiveml.pool")
    X, labelled = blobs(5, groups=9, size=14), [0, 3, 20, 50]
    arrays = make_block([len(X)], features=4, labels=0)
    arrays.X[0, : len(X), :4] = torch.from_numpy(X)
    for item in labelled:
        arrays.order[0, labelled.index(item)], arrays.labelled[0, item] = item, True
    arrays.count[0] = len(labelled)
    view = make_view(arrays)
    count = len(labelled) + 5
    fixed = k_means(X, count, view.stream("typiclust").uniform(500, draw=1)[0, :count]).labels

    class Fixed:
        def __init__(self, n_clusters: int) -> None:
            assert n_clusters == count

        def fit_predict(self, X: np.ndarray) -> np.ndarray:
            return fixed

    y = np.full(len(X), np.nan)
    y[labelled] = 0
    theirs = pool.TypiClust(cluster_algo=Fixed, k=5, random_state=0).query(X, y, batch_size=5)
    (ours,) = picks_of("typiclust:neighbours=5", view, [5])
    sizes = np.bincount(fixed)
    assert len(set(ours)) == 5
    np.testing.assert_array_equal(sizes[fixed[ours]], sizes[fixed[theirs]])
    same = dict(zip(fixed[theirs], theirs, strict=True))  # clusters of one size come in any order
    assert all(item == same[cluster] for item, cluster in zip(ours, fixed[ours], strict=True) if cluster in same)


@pytest.mark.parametrize(
    "spec",
    [
        "typiclust:neighbours=0",
        "typiclust:min_size=-1",
        "typiclust:max_clusters=0",
        "typiclust:neighbours=2.5",
        "probcover:delta=0",
        "probcover:delta=wide",
        "probcover:purity=1.5",
        "probcover:purity=0",
        "probcover:delta=1,purity=0.9",
        "cluster-margin:factor=0.5",
        "cluster-margin:clusters=0",
        "cluster-margin:factor=many",
        "diverse-mini-batch:beta=0",
        "diverse-mini-batch:beta=inf",
    ],
)
def test_impossible_parameters(spec: str) -> None:
    parameter = spec.partition(":")[2].partition("=")[0]
    with pytest.raises(ParameterError, match=parameter):
        make_strategy(spec)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("typiclust", "neighbours=1"),
        ("typiclust", "min_size=0"),
        ("typiclust", "max_clusters=3"),
        ("probcover", "delta=0.7"),
        ("probcover", "purity=0.5"),
        ("cluster-margin", "factor=3"),
        ("cluster-margin", "clusters=25"),
        ("diverse-mini-batch", "beta=2"),
    ],
)
def test_every_parameter_does_something(name: str, change: str) -> None:
    views = [make_view(make_block([90, 60], classes=4, seed=seed)) for seed in range(4)]
    assert any(picks_of(f"{name}:{change}", view, [12, 12]) != picks_of(name, view, [12, 12]) for view in views)


# --- ProbCover ---------------------------------------------------------------------------------------------------
def test_pure_radius_is_the_largest_that_is_pure_enough() -> None:
    rng = np.random.default_rng(0)
    for purity in (0.5, 0.8, 0.95, 1.0):
        X, labels = rng.random((40, 2)), rng.integers(3, size=40)
        distance = np.linalg.norm(X[:, None] - X[None], axis=2)

        def share(delta: float, distance: np.ndarray = distance, labels: np.ndarray = labels) -> float:
            balls = distance < delta
            return float(np.mean([len(set(labels[ball])) <= 1 for ball in balls]))

        delta = pure_radius(distance, labels, purity)
        assert share(delta) >= purity
        assert share(np.nextafter(delta, np.inf)) < purity
    assert pure_radius(distance, np.zeros(40), 0.95) == np.inf


@pytest.mark.parametrize("delta", [0.4, 1.1, 2.5, "auto"])
def test_probcover(delta: float | str) -> None:
    view = make_view(make_block([50, 33], features=[2, 4], classes=[3, 4], labels=[2, 4], seed=3))
    for task, picks in enumerate(picks_of(f"probcover:delta={delta}", view, [5, 4])):
        pool = naive.Pool(view, task)
        radius = float(delta) if delta != "auto" else auto_radius(view, task)

        def gain(done: list[int], item: int, pool: naive.Pool = pool, radius: float = radius) -> float:
            near = [i for i in range(len(pool.X)) if naive.distance(pool.X[item], pool.X[i]) < radius]
            centers = pool.labelled + done
            return sum(all(naive.distance(pool.X[z], pool.X[i]) >= radius for z in centers) for i in near)

        naive.assert_greedy(picks, pool.candidates, gain)


def auto_radius(view: PoolView, task: int) -> float:
    """By k-means pseudo-labels from the stream of round 0, so that it is the same in each round."""
    X = naive.Pool(view, task).X
    classes = int(view.n_classes[task])
    labels = k_means(X.astype(np.float32), classes, view.stream("probcover").uniform(classes, draw=1)[task]).labels
    distance = np.array([[naive.distance(x, z) for z in X] for x in X])
    return pure_radius(distance, labels, 0.95)


def test_probcover_keeps_its_radius_from_round_to_round() -> None:
    arrays = make_block([70], classes=4, labels=3, seed=8)
    before = auto_radius(make_view(arrays), 0)
    arrays.round += 3
    view = make_view(arrays)
    (picks,) = picks_of("probcover", view, [4])
    (same,) = picks_of(f"probcover:delta={before!r}", view, [4])
    assert picks == same


@pytest.mark.filterwarnings("ignore:The maximum purity")
def test_probcover_parity_with_scikit_activeml() -> None:
    pool = pytest.importorskip("skactiveml.pool")
    for seed in range(5):
        view = make_view(make_block([45], features=3, labels=3, seed=seed))
        ours = naive.Pool(view, 0)
        y = np.full(45, np.nan)
        y[ours.labelled] = 0
        query = pool.ProbCover(n_classes=2, deltas=[1.3], random_state=seed)
        theirs, utilities = query.query(ours.X, y, batch_size=6, return_utilities=True)
        (picks,) = picks_of("probcover:delta=1.3", view, [6])
        edges = np.linalg.norm(ours.X[:, None] - ours.X[None], axis=2) < 1.3

        def covered(items: list[int], edges: np.ndarray = edges, known: list[int] = ours.labelled) -> list[int]:
            return [int(edges[known + items[: j + 1]].any(0).sum()) for j in range(len(items))]

        first = utilities[0]
        assert first[picks[0]] == np.nanmax(first)
        if np.sum(first == np.nanmax(first)) == 1:
            assert picks[0] == theirs[0]
        assert covered(picks)[0] == covered(theirs.tolist())[0]


# --- cluster-margin ----------------------------------------------------------------------------------------------
def test_round_robin() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels, noise, turns = rng.integers(5, size=25), rng.random(25), rng.random(5)
        groups = {c: sorted(np.flatnonzero(labels == c), key=lambda i: noise[i]) for c in set(labels.tolist())}
        visits = sorted(groups, key=lambda c: (len(groups[c]), turns[c]))
        expected = []
        while any(groups.values()):
            expected += [groups[c].pop(0) for c in visits if groups[c]]
        assert round_robin(labels, noise, turns).tolist() == expected


def test_cluster_margin() -> None:
    view = make_view(make_block([70, 50], features=[3, 2], labels=3, seed=6))
    for task, (picks, size) in enumerate(zip(picks_of("cluster-margin:factor=3", view, [6, 5]), (6, 5), strict=True)):
        pool = naive.Pool(view, task)
        low = sorted(pool.candidates, key=lambda item: pool.margin[item])[: 3 * size]
        labels = fcluster(linkage(pool.X, "average"), 10, "maxclust")
        groups = {c: [i for i in low if labels[i] == c] for c in {labels[i] for i in low}}
        taken: dict[int, int] = dict.fromkeys(groups, 0)
        assert set(picks) <= set(low)
        for item in picks:  # always a group with fewest visits, the smallest first
            cluster = labels[item]
            open_ = [c for c in groups if taken[c] < len(groups[c])]
            fewest = min(taken[c] for c in open_)
            assert taken[cluster] == fewest
            assert len(groups[cluster]) == min(len(groups[c]) for c in open_ if taken[c] == fewest)
            taken[cluster] += 1


# --- diverse mini-batch ------------------------------------------------------------------------------------------
def test_diverse_mini_batch() -> None:
    view = make_view(make_block([80, 44], features=[3, 2], labels=3, seed=9))
    draws = view.stream("diverse-mini-batch").uniform(5, draw=1)
    for task, picks in enumerate(picks_of("diverse-mini-batch:beta=4", view, [5, 5])):
        pool = naive.Pool(view, task)
        items = sorted(pool.candidates, key=lambda item: pool.margin[item])[:20]
        weight = np.array([1 - pool.margin[i] for i in items])
        labels, centers = k_means(pool.X[items].astype(np.float32), 5, draws[task], weight)
        expected = {
            min(
                (i for i in range(20) if labels[i] == c),
                key=lambda i: naive.distance(pool.X[items[i]], centers[labels[i]]),
            )
            for c in set(labels.tolist())
        }
        assert {items[i] for i in expected} == set(picks)


def test_beta_one_is_margin_and_weights_matter() -> None:
    view = make_view(make_block([50, 40], labels=3, seed=10))
    ours, margin = picks_of("diverse-mini-batch:beta=1", view, [6, 4]), picks_of("margin", view, [6, 4])
    assert [set(task) for task in ours] == [set(task) for task in margin]
    X, draws = np.array([[0.0], [1.0], [9.0], [10.0], [20.0]], np.float32), np.array([0.1])
    assert central_items(X, 1, draws, np.array([1, 100, 1, 1, 1.0], np.float32)).tolist() == [1]
    assert central_items(X, 1, draws, np.array([1, 1, 1, 100, 1.0], np.float32)).tolist() == [3]


def test_empty_clusters_leave_their_place_to_the_most_uncertain() -> None:
    X = np.zeros((6, 2), np.float32)
    assert central_items(X, 4, np.full(4, 0.5), np.ones(6, np.float32)).tolist() == [0, 1, 2, 3]
