"""The bandits' update rules against naive references, and whether they find a good arm."""

import math

import numpy as np
import pytest
from sample_data import blobs, campaigns
from scipy import stats

from al_gym.errors import ParameterError
from al_gym.evaluation.rollout import roll_out
from al_gym.policies import POLICIES
from al_gym.policies.base import decide, look
from al_gym.policies.mixture import draw

BANDITS = ("exp4p", "thompson", "ucb", "comb")
FEW = "random+margin+kcenter"


def play(policy, campaign, slots, last, batch_size=5):
    """One round; returns the context and queries before it, and the context after it."""
    before = look(policy, campaign, slots, last, batch_size)
    choice = decide(policy, before)
    queries = campaign.select(slots, policy.strategies, choice.strategy, choice.batch)
    return before, choice, queries


def reveal(policy, campaign, slots, choice, queries, batch_size=5):
    campaign.reveal(slots, queries)
    after = look(policy, campaign, slots, choice.strategy, batch_size, observe=False)
    policy.observe(after, queries)
    return after


def naive_advice(policy, campaign, slot, items):
    """(strategies, items) by asking every strategy, before the reveal."""
    one, rows = np.array([slot]), []
    ((_, view),) = campaign.views(one)
    candidates = int(view.candidates.sum())
    for strategy in policy.strategies:
        batch = campaign.select(one, [strategy], np.zeros(1, np.int64), np.array([len(items)]))[0].tolist()
        even = len(items) / candidates
        rows.append([even if strategy.name == "random" else float(item in batch) for item in items])
    return np.array(rows)


def predicted_share(campaign, slot):
    ((_, view),) = campaign.views(np.array([slot]))
    return [view.predicted[0, i].item() for i in range(view.y.shape[1]) if view.candidates[0, i]]


def entropy_of(predicted, classes):
    shares = [predicted.count(c) / len(predicted) for c in set(predicted)]
    return -sum(s * math.log(s) for s in shares) / math.log(classes)


@pytest.mark.parametrize("name", ["exp4p", "comb"])
def test_a_mixture_updates_as_written_down(name):
    budget, b, n = 30, 5, 3
    campaign, slots = campaigns(seeds=(0, 1), budget=budget)
    policy = POLICIES.make(f"{name}:strategies={FEW}")
    policy.begin(2, b)
    T = budget // b
    gamma = min(1.0, math.sqrt(n * math.log(n) / ((math.e - 1) * T)))
    floor = min(math.sqrt(math.log(n) / (n * T)), 1 / n) if name == "exp4p" else gamma / n
    weight = np.ones((2, n))
    iw = [{}, {}]
    last = np.full(2, -1)
    for _ in range(T):
        before, choice, queries = play(policy, campaign, slots, last, b)
        p = (1 - n * floor) * weight / weight.sum(1, keepdims=True) + floor
        assert np.allclose(policy.probabilities(before), p)
        assert p.sum(1) == pytest.approx(1)
        advice = [naive_advice(policy, campaign, slot, queries[slot].tolist()) for slot in (0, 1)]
        entropy = [entropy_of(predicted_share(campaign, slot), 3) for slot in (0, 1)]
        reveal(policy, campaign, slots, choice, queries, b)
        for slot in (0, 1):
            q = p[slot] @ advice[slot]
            iw[slot].update(dict(zip(queries[slot].tolist(), 1 / q, strict=True)))
            ((_, view),) = campaign.views(np.array([slot]))
            right = sum(w for item, w in iw[slot].items() if view.predicted[0, item] == view.y[0, item])
            now = entropy_of(predicted_share(campaign, slot), 3)
            albl = min(1.0, right / (int(view.n_items) * T))
            cem = (math.exp(now) - math.exp(entropy[slot]) - (1 - math.e)) / (2 * math.e - 2)
            reward = albl if name == "exp4p" else cem
            estimate = reward * (advice[slot] / q).mean(1)
            if name == "exp4p":
                bonus = math.sqrt(math.log(n / 0.1) / (n * T)) / p[slot]
                weight[slot] *= np.exp(floor / 2 * (estimate + bonus))
            else:
                weight[slot] *= np.exp(gamma * estimate / n)
        last = choice.strategy
    assert np.allclose(np.exp(policy.log_weight), weight / weight.max(1, keepdims=True))
    assert np.ptp(policy.log_weight, axis=1).min() > 0


def test_importance_weights_count_the_pool_without_bias():
    """The sum of 1 / q over a round's batch has the number of candidates as its mean over the draws."""
    campaign, slots = campaigns(seeds=tuple(range(150)), budget=5, dataset=blobs(n=80), pool_size=30, test_size=20)
    policy = POLICIES.make(f"exp4p:strategies={FEW}")
    policy.begin(len(slots), 5)
    _, choice, queries = play(policy, campaign, slots, np.full(len(slots), -1))
    reveal(policy, campaign, slots, choice, queries)
    total = policy._weight.sum(1)
    assert abs(total.mean() - 27) < 4 * total.std() / math.sqrt(len(slots))


@pytest.mark.parametrize("reward", ["balance", "mistake"])
def test_thompson_and_ucb_count_as_written_down(reward):
    campaign, slots = campaigns(seeds=(0, 1), budget=20)
    thompson = POLICIES.make(f"thompson:strategies={FEW},reward={reward},discount=0.8")
    ucb = POLICIES.make(f"ucb:strategies={FEW},reward={reward}")
    for policy in (thompson, ucb):
        policy.begin(2, 5)
    a, b = np.zeros((2, 3, 3)), np.zeros((2, 3, 3))
    total, rounds = np.zeros((2, 3)), np.zeros((2, 3))
    last = np.full(2, -1)
    for _ in range(4):
        _, choice, queries = play(thompson, campaign, slots, last)
        held = []
        for slot in (0, 1):
            ((_, view),) = campaign.views(np.array([slot]))
            counts = [int((view.y[0] == c).sum()) for c in range(3)]
            held.append((counts, view.predicted[0].tolist()))
        after = reveal(thompson, campaign, slots, choice, queries)
        ucb.observe(after, queries)
        a, b = a * 0.8, b * 0.8
        for slot in (0, 1):
            ((_, view),) = campaign.views(np.array([slot]))
            counts, predicted = held[slot]
            arm, gains = choice.strategy[slot], []
            for item in queries[slot].tolist():
                label = int(view.y[0, item])
                counted = reward == "balance" or predicted[item] != label
                for c in range(3):
                    (a if counted and c == label else b)[slot, arm, c] += 1
                value = [1 / max(1, n) for n in counts]
                gains.append(counted * value[label] / max(value))
            total[slot, arm] += np.mean(gains)
            rounds[slot, arm] += 1
        last = choice.strategy
    assert np.allclose(thompson.hits[:, :, :3], a)
    assert np.allclose(thompson.misses[:, :, :3], b)
    assert np.allclose(ucb.total, total)
    assert np.array_equal(ucb.rounds, rounds)
    assert 0 < total.max() <= 4


def test_thompson_draws_from_its_posterior():
    campaign, slots = campaigns(seeds=tuple(range(200)), budget=5, dataset=blobs(n=80), pool_size=30, test_size=20)
    policy = POLICIES.make("thompson:strategies=random+margin")
    policy.begin(len(slots), 5)
    policy.hits = np.tile([[[3.0], [1.0]]], (len(slots), 1, 3))
    policy.misses = np.tile([[[2.0], [3.0]]], (len(slots), 1, 3))
    share = decide(policy, look(policy, campaign, slots, np.full(len(slots), -1), 5)).strategy.mean()
    draws = [stats.beta(1 + a, 1 + b).rvs((100_000, 3), random_state=1).sum(1) for a, b in ((3, 2), (1, 3))]
    expected = (draws[1] > draws[0]).mean()
    assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / len(slots))


def test_ucb_tries_every_strategy_once_and_then_takes_the_largest_bound():
    campaign, slots = campaigns(budget=40)
    policy = POLICIES.make(f"ucb:strategies={FEW}")
    rounds = roll_out(policy, campaign, slots, 5)
    orders = [rounds.loc[rounds["slot"] == slot, "strategy"].tolist()[1:] for slot in slots]
    assert all(sorted(order[:3]) == [0, 1, 2] for order in orders)
    policy.begin(3, 5)
    policy.rounds[:] = [2, 3, 5]
    policy.total[:] = [[1.0, 2.0, 1.0], [2.0, 0.5, 0.1], [0.0, 0.0, 5.0]]
    bound = policy.total / policy.rounds + np.sqrt(2 * math.log(10) / policy.rounds)
    fresh, _ = campaigns(budget=40)
    chosen = decide(policy, look(policy, fresh, slots, np.full(3, -1), 5)).strategy
    assert chosen.tolist() == bound.argmax(1).tolist()
    assert len(set(chosen.tolist())) > 1


def rare(n=400):
    """Three of four items are of class 0, in one compact cluster; the other five classes lie around it."""
    rng = np.random.default_rng(0)
    y = np.where(rng.random(n) < 0.75, 0, rng.integers(1, 6, n))
    angle = y * 2 * np.pi / 5
    centre = np.where(y[:, None] == 0, 0.0, 6 * np.stack([np.cos(angle), np.sin(angle)], 1))
    dataset = blobs(n=n, d=2, classes=6)
    return type(dataset).from_arrays("rare", (centre + rng.normal(0, 1, (n, 2))).astype(np.float32), y)


@pytest.mark.parametrize("spec", ["thompson:discount=1.0,", "ucb:exploration=0.3,"])
def test_the_arm_that_finds_rare_classes_is_found(spec):
    """k-center reaches the classes around the centre far more often than random items do."""
    campaign, slots = campaigns(dataset=rare(), seeds=tuple(range(12)), budget=80, pool_size=240, test_size=60)
    rounds = roll_out(POLICIES.make(f"{spec}strategies=random+kcenter"), campaign, slots, 4)
    assert rounds.loc[rounds["round"] > 5, "strategy"].mean() > 0.6


@pytest.mark.parametrize(("name", "least"), [("exp4p", 0.5), ("comb", 0.5)])
def test_a_made_up_reward_finds_the_good_arm(name, least):
    """Reward 1 for batches of one strategy and 0 for the others moves nearly all weight to it."""
    campaign, slots = campaigns(dataset=rare(), budget=160, pool_size=240, test_size=60)
    policy = POLICIES.make(f"{name}:strategies=margin+kcenter+maxherding" + (",gamma=0.5" if name == "comb" else ""))
    policy.reward = lambda context, queries, chance: (context.last_strategy == 1).astype(float)
    rounds = roll_out(policy, campaign, slots, 2)
    late = rounds.loc[rounds["round"] > 60, "strategy"]
    assert (late == 1).mean() > least
    assert (policy.log_weight.argmax(1) == 1).all()


@pytest.mark.parametrize("name", BANDITS)
def test_a_campaign_does_not_depend_on_its_batch_mates(name):
    together, slots = campaigns(budget=30)
    everyone = roll_out(POLICIES.make(name), together, slots, 5)
    alone, one = campaigns(seeds=(1,), budget=30)
    single = roll_out(POLICIES.make(name), alone, one, 5)
    columns = ["round", "strategy", "n_labelled", "test_accuracy"]
    mine = everyone.loc[everyone["slot"] == 1, columns].reset_index(drop=True)
    assert mine.equals(single[columns])
    assert np.array_equal(together.queries(1), alone.queries(0))
    assert len(set(everyone["strategy"])) > 2


@pytest.mark.parametrize("name", BANDITS)
def test_beginning_again_forgets(name):
    policy = POLICIES.make(f"{name}:strategies={FEW}")
    runs = [roll_out(policy, *campaigns(budget=25), 5) for _ in range(2)]
    assert runs[0].equals(runs[1])


def test_draw_follows_the_probabilities():
    p = np.tile([0.2, 0.5, 0.3], (5, 1))
    assert draw(p, np.array([0.0, 0.19, 0.2, 0.69, 0.999])).tolist() == [0, 0, 1, 1, 2]
    assert draw(np.array([[0.5, 0.5 - 1e-12]]), np.array([1 - 1e-16])).tolist() == [1]


@pytest.mark.parametrize(
    "spec",
    ["exp4p:delta=1.0", "exp4p:delta=0", "exp4p:p_min=0.2", "comb:gamma=1.5", "comb:gamma=0", "thompson:discount=0",
     "thompson:discount=1.1", "thompson:reward=joy", "ucb:reward=joy", "ucb:exploration=-1"],
)  # fmt: skip
def test_impossible_parameters_are_refused(spec):
    parameter = spec.split(":")[1].split("=")[0]
    with pytest.raises(ParameterError, match=parameter):
        POLICIES.make(spec)
