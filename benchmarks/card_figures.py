"""The pictures of the model card: what the policy chooses, over rounds and over datasets."""

from __future__ import annotations

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


def heat_map(choices: pd.DataFrame, path: Path, title: str) -> None:
    """Two panels: strategies by round (mean over datasets), and datasets by strategy (mean over rounds)."""
    by_round, by_dataset = shares(choices, "round"), shares(choices, "dataset").T
    height = 1.6 + 0.22 * max(len(by_round), len(by_dataset))
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, height), layout="constrained")
    for axes, table in ((left, by_round), (right, by_dataset)):
        image = axes.imshow(
            table.to_numpy(), aspect="auto", cmap="viridis", vmin=0, vmax=max(0.01, table.to_numpy().max())
        )
        axes.set_yticks(range(len(table)), table.index, fontsize=8)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of rounds" if axes is right else "share of campaigns")
    step = max(1, len(by_round.columns) // 10)
    left.set_xticks(range(0, len(by_round.columns), step), by_round.columns[::step], fontsize=8)
    left.set(xlabel="round", title="by round")
    right.set_xticks(range(len(by_dataset.columns)), by_dataset.columns, rotation=60, ha="right", fontsize=8)
    right.set(title="by dataset")
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)
