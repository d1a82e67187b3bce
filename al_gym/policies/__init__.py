"""Policies: code that decides each round which strategy takes how many labels; one file each."""

from al_gym.policies.base import POLICIES, Choice, Context, Policy, register_policy
from al_gym.policies.fixed import FixedStrategy
from al_gym.policies.loading import load_policy, resolve_policies

__all__ = [
    "POLICIES",
    "Choice",
    "Context",
    "FixedStrategy",
    "Policy",
    "list_policies",
    "load_policy",
    "register_policy",
    "resolve_policies",
]


def list_policies() -> dict[str, str]:
    """Name -> one-line description of every registered policy."""
    return POLICIES.describe()
