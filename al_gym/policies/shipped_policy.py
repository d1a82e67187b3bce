"""The policy that comes with the package."""

from __future__ import annotations

from pathlib import Path

from al_gym.errors import PolicyError
from al_gym.policies.base import register_policy
from al_gym.policies.learned import SPEC, LearnedPolicy

FOLDER = Path(__file__).parent / "shipped"


@register_policy("shipped")
def shipped(*, deterministic: bool = True) -> LearnedPolicy:
    """The trained policy that comes with the package; safetensors and JSON, so that loading it runs no code.

    Args:
        deterministic: take the best action; else draw one by its probability.
    """
    if not (FOLDER / SPEC).is_file():
        raise PolicyError(
            f"this copy of al_gym ships no policy ({FOLDER} holds none); train one with `python train_policy.py` "
            "and name its run folder instead."
        )
    return LearnedPolicy.load(FOLDER, deterministic=deterministic)
