"""Markdown tables of paired comparisons, and pages whose tables are replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from al_gym.evaluation import statistics as st
from al_gym.evaluation.metrics import Scores

Floats = NDArray[np.float64]


def of(scores: Scores, name: str) -> Floats:
    """(datasets, seeds) of one policy."""
    values: Floats = scores.values[scores.policies.index(name)]
    return values


def points(value: float, sign: bool = False) -> str:
    """A share as points."""
    return f"{100 * value:+.2f}" if sign else f"{100 * value:.2f}"


def versus(first: Floats, second: Floats) -> tuple[str, str, str]:
    """Difference, interval and wins of (datasets, seeds) scores, as text."""
    difference, interval = st.paired_difference(first, second)
    spread = "-" if interval is None else f"{points(interval[0], True)} to {points(interval[1], True)}"
    win, tie, loss = st.win_tie_loss(first.mean(axis=1), second.mean(axis=1))
    return points(difference, True), spread, f"{win} / {tie} / {loss}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown: the first column left, the others right."""
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def fill(page: str, content: Mapping[str, str]) -> str:
    """The page with its tables replaced."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"<!-- table {name} -->\n\n{content[name]}\n<!-- end -->" if name in content else match.group(0)

    return re.sub(r"<!-- table (\S+) -->\n.*?<!-- end -->", replace, page, flags=re.DOTALL)
