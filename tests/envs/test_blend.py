"""The strategy `blend` and the environment `al_gym/Blend-v0`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view

from al_gym.errors import ParameterError
from al_gym.strategies import make_strategy
from al_gym.strategies.blend import PARAMETERS, Blend

BLOCK = {"sizes": [40, 64, 17], "features": [3, 9, 20], "classes": [2, 4, 7], "labels": [1, 6, 3]}


def select(spec, view, k):
    strategy = make_strategy(spec)
    return strategy.select(view, torch.as_tensor(k), view.stream("blend")).numpy()  # one stream, so that ties agree


@pytest.mark.parametrize(
    ("blend", "same"),
    [
        ("blend", "uherding:candidates=all"),
        ("blend:power=2,width=0.5", "uherding:candidates=all,power=2,width=0.5"),
        ("blend:temperature=3", "uherding:candidates=all,temperature=3"),
        ("blend:power=0", "maxherding"),
        ("blend:coverage=0,margin=1", "margin"),
        ("blend:coverage=0,entropy=2", "entropy"),
        ("blend:coverage=0,least_confidence=1", "least-confidence"),
    ],
)
def test_its_corners_are_known_strategies(blend, same):
    for seed in range(4):
        arrays = make_block(**BLOCK, seed=seed)
        k = [5, 12, 3]
        np.testing.assert_array_equal(select(blend, make_view(arrays), k), select(same, make_view(arrays), k))


def naive(view, task, k, p):
    """Greedy blending of one task, item by item, in float64."""
    n = int(view.n_items[task])
    X = view.X[task, :n].double().numpy()
    q = view.proba[task, :, :n].double().numpy() ** (1 / p["temperature"])
    q = np.sort(q / q.sum(0), axis=0)[::-1]
    candidates = np.flatnonzero(view.candidates[task, :n].numpy())
    labelled = np.flatnonzero(view.labelled[task, :n].numpy())
    distance = np.linalg.norm(X[:, None] - X[None], axis=2)
    near = np.sort(distance + np.diag(np.full(n, np.inf)), axis=1)[:, :20]
    near = np.where(np.isinf(near), np.nan, near)
    near = np.nanmean(near, axis=1)
    K = np.exp(-(distance**2) / (2 * (p["width"] * near.mean()) ** 2))
    signals = {
        "margin": 1 - q[0] + q[1],
        "entropy": -(q * np.log(np.where(q > 0, q, 1))).sum(0),
        "least_confidence": 1 - q[0],
        "typicality": -near,
        "novelty": distance[:, labelled].min(1),
    }
    weights = {name: p[name] for name in signals}
    base = np.zeros(n)
    for name, values in signals.items():
        low, high = values[candidates].min(), values[candidates].max()
        base += weights[name] * (values - low) / (high - low)
    total = sum(weights.values()) + p["coverage"]
    u, cover, batch, largest = signals["margin"] ** p["power"], K[:, labelled].max(1), [], None
    for _ in range(k):
        gain = (u * np.maximum(0, K - cover)).sum(1)
        largest = gain[candidates].max() if largest is None else largest
        score = (base + p["coverage"] * gain / largest) / total
        score -= p["diversity"] * (K[:, batch].max(1) if batch else 0)
        left = np.setdiff1d(candidates, batch)
        batch.append(int(left[score[left].argmax()]))
        cover = np.maximum(cover, K[:, batch[-1]])
    return batch


@pytest.mark.parametrize("numba", [True, False])
def test_against_a_naive_reference(numba, monkeypatch):
    if not numba:
        monkeypatch.setenv("AL_GYM_NO_NUMBA", "1")
    rng = np.random.default_rng(3)
    for seed in range(5):
        view, k = make_view(make_block(**BLOCK, seed=seed)), [5, 9, 3]
        rows = rng.uniform(0.2, 2.0, (3, len(PARAMETERS)))
        rows[:, PARAMETERS.index("random")], rows[:, PARAMETERS.index("ratio")] = 0, 1
        picks = Blend().select_with(view, torch.tensor(k), view.stream("blend"), torch.from_numpy(rows))
        for task in range(3):
            expected = naive(view, task, k[task], dict(zip(PARAMETERS, rows[task], strict=True)))
            assert picks[task, : k[task]].tolist() == expected


def test_each_task_has_parameters_of_its_own():
    arrays = make_block([50, 50, 50], seed=2)
    view, k = make_view(arrays), torch.tensor([4, 4, 4])
    specs = ["blend:coverage=0,margin=1", "blend:novelty=3,diversity=1,ratio=0.3", "blend:random=5,width=2"]
    rows = torch.tensor([make_strategy(spec).parameters for spec in specs], dtype=torch.float64)
    mixed = Blend().select_with(view, k, view.stream("blend"), rows).numpy()
    for task, spec in enumerate(specs):
        np.testing.assert_array_equal(mixed[task], select(spec, make_view(arrays), [4, 4, 4])[task])


def test_the_ratio_is_the_share_of_the_pool_that_is_considered():
    view = make_view(make_block([60] * 200, labels=10, seed=1))
    k = [1] * 200
    best, some = select("blend:coverage=0,margin=1", view, k), select("blend:coverage=0,margin=1,ratio=0.3", view, k)
    assert 0.2 < (best == some).mean() < 0.4, "the best item is among the candidates in 30 % of the tasks"
    everything = select("blend:ratio=0.01", view, [7] * 200)
    assert (everything >= 0).all(), "the batch is filled even if the share is smaller"


def test_diversity_keeps_the_batch_apart():
    arrays = make_block([60], labels=5, seed=4)
    arrays.X[0, 40:60] = arrays.X[0, 20:40]
    plain, spread = (select(f"blend:coverage=0,typicality=1,diversity={d}", make_view(arrays), [8]) for d in (0, 5))
    twins = [len(set((picks[0] % 20 + 20 * (picks[0] < 20)).tolist())) for picks in (plain, spread)]
    assert twins[1] == 8 > twins[0]


IMPOSSIBLE = ["margin=-1", "power=-1", "width=0", "temperature=0", "diversity=-1", "ratio=0", "ratio=2"]


@pytest.mark.parametrize("spec", IMPOSSIBLE)
def test_impossible_parameters(spec):
    with pytest.raises(ParameterError, match=spec.partition("=")[0]):
        make_strategy(f"blend:{spec}")
