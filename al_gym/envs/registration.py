"""Registers every environment with Gymnasium, from one table, on `import al_gym`."""

from __future__ import annotations

import gymnasium as gym

NAMESPACE = "al_gym"

# id -> (single entry point, vector entry point); strings, so that specs survive JSON.
ENVIRONMENTS = {
    "Strategy-v0": ("al_gym.envs.strategy:StrategyEnv", "al_gym.envs.strategy:StrategyVectorEnv"),
    "Budget-v0": ("al_gym.envs.budget:BudgetEnv", "al_gym.envs.budget:BudgetVectorEnv"),
    "StrategyBudget-v0": (
        "al_gym.envs.strategy_budget:StrategyBudgetEnv",
        "al_gym.envs.strategy_budget:StrategyBudgetVectorEnv",
    ),
    "Blend-v0": ("al_gym.envs.blend:BlendEnv", "al_gym.envs.blend:BlendVectorEnv"),
    "Candidate-v0": ("al_gym.envs.candidate:CandidateEnv", "al_gym.envs.candidate:CandidateVectorEnv"),
}


def register_environments() -> None:
    """Add the environments to Gymnasium's registry; harmless when done twice."""
    for name, (single, vector) in ENVIRONMENTS.items():
        if f"{NAMESPACE}/{name}" not in gym.registry:
            gym.register(f"{NAMESPACE}/{name}", entry_point=single, vector_entry_point=vector)
