"""The pictures of the model card: what the policy chooses, over rounds and over datasets."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd

MOST = 24  # strategies with a row of their own; the rest share one


def shares(choices: pd.DataFrame, by: str) -> pd.DataFrame:
    """Mean share of each strategy (rows, most chosen first) by `by` (columns: round or dataset); columns sum to 1."""
    cells = choices.groupby([by, "strategy"])["share"].sum().unstack(fill_value=0.0)
    table = cells.div(cells.sum(axis=1), axis=0).T
    table = table.loc[choices.groupby("strategy")["share"].sum().sort_values(ascending=False, kind="stable").index]
    if len(table) > MOST:
        rest = table.iloc[MOST - 1 :].sum().rename(f"{len(table) - MOST + 1} others")
        table = pd.concat([table.iloc[: MOST - 1], rest.to_frame().T])
    return table


def label(strategy: str, width: int = 30, lines: int = 3) -> str:
    """The strategy's name on a few lines, broken after commas; what does not fit becomes an ellipsis."""
    rows = [""]
    for piece in re.findall(r"[^,:]+[,:]?", strategy):
        if rows[-1] and len(rows[-1]) + len(piece) > width:
            rows.append("")
        rows[-1] += piece
    return "\n".join(rows if len(rows) <= lines else [*rows[: lines - 1], rows[lines - 1] + " ..."])


def heat_map(choices: pd.DataFrame, path: Path, title: str) -> None:
    """Two panels: strategies by round (mean over datasets), and datasets by strategy (mean over rounds)."""
    by_round, by_dataset = shares(choices, "round"), shares(choices, "dataset").T
    height = 2.6 + 0.22 * max(len(by_round), len(by_dataset))
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, height), layout="constrained")
    for axes, table in ((left, by_round), (right, by_dataset)):
        image = axes.imshow(
            table.to_numpy(), aspect="auto", cmap="viridis", vmin=0, vmax=max(0.01, table.to_numpy().max())
        )
        axes.set_yticks(range(len(table)), [label(name) for name in table.index], fontsize=7)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of rounds" if axes is right else "share of campaigns")
    step = max(1, len(by_round.columns) // 10)
    left.set_xticks(range(0, len(by_round.columns), step), by_round.columns[::step], fontsize=8)
    left.set(xlabel="round", title="by round")
    right.set_xticks(
        range(len(by_dataset.columns)),
        [label(name) for name in by_dataset.columns],
        rotation=30,
        ha="right",
        fontsize=7,
    )
    right.set(title="by dataset")
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)
