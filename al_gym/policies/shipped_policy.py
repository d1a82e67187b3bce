"""The policies that come with the package."""

from __future__ import annotations

from pathlib import Path

from al_gym.errors import PolicyError
from al_gym.policies.base import register_policy
from al_gym.policies.learned import SPEC, LearnedPolicy

FOLDER = Path(__file__).parent / "shipped"
ROUND_COST_FOLDER = Path(__file__).parent / "shipped_round_cost"


@register_policy("shipped")
def shipped(*, deterministic: bool = True) -> LearnedPolicy:
    """The trained policy that comes with the package; safetensors and JSON, so that loading it runs no code.

    Args:
        deterministic: take the best action; else draw one by its probability.
    """
    return _load(FOLDER, deterministic)


@register_policy("shipped-round-cost")
def shipped_round_cost(*, deterministic: bool = True) -> LearnedPolicy:
    """A trained policy for campaigns in which a round costs something: it also chooses the size of each batch.

    Trained for a price of 0.002 AULC a round and a budget of 100 labels; see docs/round-cost.md.

    Args:
        deterministic: take the best action; else draw one by its probability.
    """
    return _load(ROUND_COST_FOLDER, deterministic)


def _load(folder: Path, deterministic: bool) -> LearnedPolicy:
    if not (folder / SPEC).is_file():
        raise PolicyError(
            f"this copy of al_gym ships no policy ({folder} holds none); train one with `python train_policy.py` "
            "and name its run folder instead."
        )
    return LearnedPolicy.load(folder, deterministic=deterministic)
