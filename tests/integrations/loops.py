"""What the tests of both adapters share: data, a policy with a network, and our own campaign to compare with."""

from __future__ import annotations

import numpy as np
import torch
from sample_data import blobs

from al_gym.campaign import Campaign
from al_gym.envs.engine import Settings
from al_gym.evaluation.rollout import roll_out
from al_gym.policies.agent import AgentSpec
from al_gym.policies.base import Policy
from al_gym.policies.learned import LearnedPolicy
from al_gym.policies.network import Network
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.task import Task, make_task

STRATEGIES = ("margin", "kcenter", "margin-kcenter", "ranked-batch")  # none of them near ties all the time


def network_policy(seed: int = 0, **settings: object) -> LearnedPolicy:
    """A policy whose random network makes its choice depend on the observation."""
    spec = AgentSpec.of_settings("al_gym/Strategy-v0", Settings(strategies=STRATEGIES, **settings))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    width = len(spec.observation_names)
    sizes = {"mlp.0.weight": (16, width), "mlp.0.bias": (16,), "mlp.1.weight": (4, 16), "mlp.1.bias": (4,)}
    return LearnedPolicy(spec, Network({key: torch.randn(size, generator=generator) for key, size in sizes.items()}))


def task_of(classes: int = 3, seed: int = 0) -> tuple[Dataset, Task]:
    """Data and a task without scaling, so that a model outside can be fitted to the same numbers."""
    data = blobs(classes=classes, n=200, seed=seed)
    return data, make_task(data, seed, pool_size=100, test_size=60, scaling="none")


def our_queries(policy: Policy, task: Task, rounds: int, batch: int) -> list[list[int]]:
    """Positions in the pool, round by round, of our own loop with the exact model."""
    campaign, slots = Campaign(1, learner="softmax:tol=1e-7,max_iter=20000"), np.zeros(1, np.int64)
    campaign.load(slots, [task], [rounds * batch])
    roll_out(policy, campaign, slots, batch)
    order = campaign.queries(0).tolist()[len(task.seed_set) :]
    return [order[at : at + batch] for at in range(0, len(order), batch)]
