"""How the batch sizes of a policy are written: '2+5+10'."""

from __future__ import annotations

from collections.abc import Sequence

from al_gym.errors import ParameterError


def parse_batches(policy: str, batches: str | int | Sequence[int]) -> list[int]:
    """Labels a round from text, one number or a sequence.

    Args:
        policy: name for the error's text.
        batches: separated by '+' in text, as in '2+5+10'.

    Raises:
        ParameterError: no batch, or one that is no positive integer.
    """
    parts = batches.split("+") if isinstance(batches, str) else [batches] if isinstance(batches, int) else list(batches)
    try:
        values = [int(part) for part in parts]
    except (TypeError, ValueError):
        values = []
    exact = isinstance(batches, str) or values == parts
    if not values or min(values) < 1 or not exact:
        raise ParameterError(f"{policy}: batches must be positive integers, as in '2+5+10', got {batches!r}.")
    return values
