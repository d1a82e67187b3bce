"""Pool-based active learning as Gymnasium environments: train, evaluate and use query policies.

`import al_gym` registers the environments of the namespace `al_gym` and is cheap: everything below is imported
when it is first used.
"""

from __future__ import annotations

import importlib
import os
from importlib import metadata
from typing import TYPE_CHECKING, Any

from al_gym.envs.registration import register_environments

# MKL's products depend on the alignment of their arrays, so that a task's result would depend on its place in the
# batch (promise P5). MKL reads this once, at its first call: see "Conditional Numerical Reproducibility" in its guide.
os.environ.setdefault("MKL_CBWR", "AUTO")

if TYPE_CHECKING:
    from al_gym.envs.sharded import ShardedVectorEnv
    from al_gym.evaluation.api import EvaluationResult, evaluate
    from al_gym.integrations.sb3 import make_sb3_vec_env
    from al_gym.learners import list_learners, register_learner
    from al_gym.policies import Policy, list_policies, load_policy, register_policy
    from al_gym.strategies import list_strategies, register_strategy
    from al_gym.tasks import Dataset, list_suites, load_tasks
    from al_gym.tasks.distribution import TaskDistribution
    from al_gym.tasks.task import Task

__version__: str

_LAZY = {
    "Dataset": "al_gym.tasks",
    "EvaluationResult": "al_gym.evaluation.api",
    "Policy": "al_gym.policies",
    "ShardedVectorEnv": "al_gym.envs.sharded",
    "Task": "al_gym.tasks.task",
    "TaskDistribution": "al_gym.tasks.distribution",
    "evaluate": "al_gym.evaluation.api",
    "list_learners": "al_gym.learners",
    "list_policies": "al_gym.policies",
    "list_strategies": "al_gym.strategies",
    "list_suites": "al_gym.tasks",
    "load_policy": "al_gym.policies",
    "load_tasks": "al_gym.tasks",
    "make_sb3_vec_env": "al_gym.integrations.sb3",
    "register_learner": "al_gym.learners",
    "register_policy": "al_gym.policies",
    "register_strategy": "al_gym.strategies",
}

__all__ = [
    "Dataset",
    "EvaluationResult",
    "Policy",
    "ShardedVectorEnv",
    "Task",
    "TaskDistribution",
    "__version__",
    "evaluate",
    "list_learners",
    "list_policies",
    "list_strategies",
    "list_suites",
    "load_policy",
    "load_tasks",
    "make_sb3_vec_env",
    "register_learner",
    "register_policy",
    "register_strategy",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("al-gym")
    if name not in _LAZY:
        raise AttributeError(f"module 'al_gym' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_environments()
