"""Promise P2: nothing that a policy sees or a strategy takes depends on a label that the run never reveals."""

import numpy as np
import pytest
import torch
from sample_data import blobs

from al_gym.campaign import Campaign
from al_gym.envs.engine import Settings
from al_gym.envs.observations import FEATURES, Observer, Setting
from al_gym.evaluation.rollout import roll_out
from al_gym.policies import POLICIES, FixedStrategy, Policy, load_policy
from al_gym.policies.agent import AgentSpec
from al_gym.policies.learned import SPEC, LearnedPolicy
from al_gym.policies.network import Network
from al_gym.policies.shipped_policy import FOLDER
from al_gym.strategies import STRATEGIES, make_strategy
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.task import Task, make_task

ABSENT = set() if (FOLDER / SPEC).is_file() else {"shipped"}
DEPLOYABLE = [name for name in POLICIES.names() if not getattr(POLICIES.get(name), "privileged", False)]
BUDGET = 30


class Watched(Policy):
    """Another policy, with every feature set observed each round and written down."""

    def __init__(self, inner):
        self.inner = inner
        self.name = inner.name
        self.seen = []
        strategies = inner.strategies or (make_strategy("margin"),)
        self.observer = Observer(Setting(strategies, (5,)), FEATURES.names())

    @property
    def strategies(self):
        return self.inner.strategies

    def begin(self, n_campaigns, batch_size):
        self.inner.begin(n_campaigns, batch_size)

    def act(self, context):
        self.seen.append(context.observation.copy())
        if self.inner.observer is None:
            return self.inner.act(context)
        return self.inner.act(context.__class__(**(vars(context) | {"observation": self.look(context)})))

    def look(self, context):
        return self.inner.observer.observe(self.campaign, context.slots, context.last_strategy)

    def observe(self, context, queries):
        self.inner.observe(context, queries)


class WatchedWithLabels(Watched):
    """The same for a policy that reads hidden labels."""

    privileged = True


def run(policy, task):
    """Observations and queries of a whole campaign, and its final accuracy."""
    watched = (WatchedWithLabels if policy.privileged else Watched)(policy)
    campaign, slot = Campaign(1), np.array([0])
    watched.campaign = campaign
    campaign.load(slot, [task], [BUDGET])
    roll_out(watched, campaign, slot, 5)
    return watched.seen, campaign.queries(0), campaign.accuracy(slot)[0]


def with_other_hidden_labels(task, revealed, rng):
    """The same task, seed set and revealed labels; all other labels of the dataset are permuted."""
    data = task.dataset
    hidden = np.setdiff1d(np.arange(data.n_items), revealed)
    y = data.y.copy()
    y[hidden] = rng.permutation(y[hidden])
    assert (y != data.y)[task.pool].sum() > 20
    assert (y != data.y)[task.holdout].sum() > 10
    changed = Dataset(data.name, data.X, y, data.class_names, data.modality)
    return Task(changed, task.seed, task.pool, task.holdout, task.scaling, task.seed_set)


def differences(policy, dataset, seed):
    """Whether observations, queries and accuracy change when hidden labels are permuted."""
    task = make_task(dataset, seed, pool_size=100, test_size=60)
    seen, queries, accuracy = run(policy, task)
    other = with_other_hidden_labels(task, task.pool[queries], np.random.default_rng(seed))
    seen_again, queries_again, accuracy_again = run(policy, other)
    same = len(seen) == len(seen_again) and all(map(np.array_equal, seen, seen_again))
    return not same, not np.array_equal(queries, queries_again), accuracy != accuracy_again


def random_agent():
    """An untrained network over every feature set."""
    spec = AgentSpec.of_settings("al_gym/StrategyBudget-v0", Settings(features=tuple(FEATURES.names())))
    rng = np.random.default_rng(0)
    sizes = (sum(spec.action_dims), len(spec.observation_names))
    weight = torch.from_numpy(rng.normal(size=sizes).astype(np.float32))
    return LearnedPolicy(spec, Network({"mlp.0.weight": weight, "mlp.0.bias": torch.zeros(sizes[0])}))


def check(policy):
    for seed, dataset in enumerate([blobs(n=180), blobs(n=200, d=6, classes=5, seed=3, modality="image-embedding")]):
        observations, queries, accuracy = differences(policy, dataset, seed)
        assert not observations, f"{policy.name}: an observation depends on labels that were never revealed"
        assert not queries, f"{policy.name}: a selection depends on labels that were never revealed"
        assert accuracy, "the test accuracy must change, or nothing was tested"


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_strategies_do_not_see_hidden_labels(name):
    check(FixedStrategy(make_strategy(name)))


@pytest.mark.parametrize("name", sorted(set(DEPLOYABLE) - ABSENT))
def test_policies_do_not_see_hidden_labels(name):
    check(load_policy(name))


def test_a_network_over_every_feature_does_not_see_hidden_labels():
    check(random_agent())


def test_a_policy_that_peeks_is_caught():
    with pytest.raises(AssertionError, match="never revealed"):
        check(load_policy("oracle"))
