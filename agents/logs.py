"""Logs that a resumed run continues: progress.csv and TensorBoard."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat, filter_excluded_keys
from torch.utils.tensorboard import SummaryWriter

from al_gym.evaluation.files import write_atomically

STEP = "time/total_timesteps"


class ProgressCsv(KVWriter):
    """One row a log entry; stable-baselines3's own writer empties the file when it opens it.

    Args:
        path: the file. until: rows of later time steps are dropped, None to start an empty file.
    """

    def __init__(self, path: Path, until: int | None) -> None:
        self.path = path
        self.rows: list[dict[str, str]] = []
        if until is not None and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                self.rows = [row for row in csv.DictReader(file) if _step(row) <= until]
        self.keys: list[str] = list(self.rows[0]) if self.rows else []
        self._rewrite()

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        row = {
            k: str(v.item() if isinstance(v, np.generic) else v)
            for k, v in filter_excluded_keys(key_values, key_excluded, "csv").items()
        }
        self.rows.append(row)
        new = sorted(row.keys() - self.keys)
        if new:
            self.keys += new
            self._rewrite()
        else:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.keys).writerow(row)

    def close(self) -> None:
        """Nothing is open between rows."""

    def _rewrite(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.keys, restval="")
        if self.keys:
            writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.path, lambda file: file.write(text.getvalue().encode("utf-8")))


def _step(row: dict[str, str]) -> float:
    """The time step of a row; infinite for a row that a kill cut short."""
    text = row.get(STEP) or ""
    return int(text) if text.isdigit() else float("inf")


class TensorBoard(TensorBoardOutputFormat):
    """An events file that hides what earlier ones of the folder hold from time step `purge` on."""

    def __init__(self, folder: Path, purge: int | None) -> None:
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=purge)
        self._is_closed = False


def make_logger(folder: Path, resumed_at: int | None) -> Logger:
    """The logger of a run.

    Args:
        folder: of the run. resumed_at: time step of the checkpoint that the run continues from, None for a new run.
    """
    board = TensorBoard(folder / "tensorboard", None if resumed_at is None else resumed_at + 1)
    return Logger(str(folder), [ProgressCsv(folder / "progress.csv", resumed_at), board])
