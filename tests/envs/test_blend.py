"""The strategy `blend` and the environment `al_gym/Blend-v0`."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from pool_blocks import make_block, make_view

import al_gym
from al_gym.envs.blend import parameters_of
from al_gym.envs.engine import Settings
from al_gym.errors import ParameterError, PolicyError
from al_gym.policies.agent import AgentSpec
from al_gym.policies.learned import LearnedPolicy
from al_gym.policies.network import Network
from al_gym.strategies import make_strategy
from al_gym.strategies.blend import PARAMETERS, SIGNALS, Blend

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


# --- the environment ---------------------------------------------------------------------------------------------

SMALL = {"tasks": "synthetic-small", "pool_size": 60, "validation_size": 40, "budget": 15}


def test_the_middle_of_the_space_is_the_blend_of_equal_weights():
    values = dict(zip(PARAMETERS, parameters_of(np.zeros((1, 12)))[0], strict=True))
    assert {values[name] for name in SIGNALS} == {0.5}
    others = {key: values[key] for key in PARAMETERS if key not in SIGNALS}
    assert others == {"power": 1, "width": 1, "temperature": 1, "diversity": 0.5, "ratio": 0.55}
    low, high = parameters_of(np.array([[-1.0] * 12, [1.0] * 12]))
    assert low.tolist() == [0.0] * 8 + [0.25, 0.25, 0, 0.1]
    np.testing.assert_allclose(high, [1] * 7 + [4, 4, 4, 1, 1])


def test_names_are_in_the_order_of_the_action():
    env = gym.make("al_gym/Blend-v0", **SMALL, allow_stop=True).unwrapped
    assert env.action_names[:3] == ["weight_margin", "weight_entropy", "weight_least_confidence"]
    assert env.action_names[7:] == ["power", "width", "temperature", "diversity", "ratio", "stop"]
    assert env.action_space.shape == (13,)


def test_an_action_of_one_weight_is_that_strategy():
    margin = np.full(12, -1, np.float32)
    margin[[0, -1]] = 1
    margin[9] = 0  # temperature 1
    blended, plain = gym.make("al_gym/Blend-v0", **SMALL), gym.make("al_gym/Strategy-v0", **SMALL)
    index = plain.unwrapped.action_names.index("margin")
    blended.reset(seed=2)
    plain.reset(seed=2)
    for _ in range(3):
        np.testing.assert_array_equal(blended.step(margin)[4]["queries"], plain.step(index)[4]["queries"])


def test_stop_is_heard_from_the_second_round_on():
    env = gym.make("al_gym/Blend-v0", **SMALL, allow_stop=True)
    action = np.zeros(13, np.float32)
    action[-1] = 1
    _, info = env.reset(seed=0)
    assert info["action_mask"].tolist() == [1] * 12 + [0]
    _, _, ended, _, info = env.step(action)
    assert not ended and info["batch"] == 5 and info["action_mask"].all()
    _, _, ended, _, info = env.step(action)
    assert ended and info["batch"] == 0 and info["strategy"] == -1


def test_other_strategies_are_refused():
    with pytest.raises(ParameterError, match="margin"):
        gym.make("al_gym/Blend-v0", strategies=["margin"])


def constant_policy(action):
    spec = AgentSpec.of_settings("al_gym/Blend-v0", Settings(strategies=["blend"]))
    weight = torch.zeros(12, len(spec.observation_names))
    return LearnedPolicy(spec, Network({"mlp.0.weight": weight, "mlp.0.bias": torch.as_tensor(action)}))


def test_a_learned_policy_equals_the_strategy_of_its_parameters(tmp_path):
    """Files, inference and evaluation in one: a constant network against `blend` with the same parameters."""
    action = np.linspace(-1.5, 1, 12).astype(np.float32)
    constant_policy(action).save(tmp_path)
    policy = al_gym.load_policy(tmp_path)
    values = parameters_of(action.clip(-1, 1)[None])[0]
    fixed = make_strategy("blend")
    fixed.parameters = tuple(values)
    result = al_gym.evaluate(
        {"learned": policy, "fixed": fixed}, tasks="bundled", datasets=["wine"], seeds=3, rounds=4, jobs=1
    ).results
    learned, other = (result[result["policy"] == name]["test_accuracy"].tolist() for name in ("learned", "fixed"))
    assert learned == other
    one, many = policy.predict(np.zeros(policy.observer.shape)), policy.predict(np.zeros((2, *policy.observer.shape)))
    assert one.shape == (12,) and many.shape == (2, 12) and one.dtype == np.float32
    with pytest.raises(PolicyError, match="deterministic"):
        LearnedPolicy.load(tmp_path, deterministic=False)
