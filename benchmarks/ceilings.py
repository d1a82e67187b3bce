"""What would UHerding gain from knowledge it lacks? Upper bounds by peeking at labels, for docs/model-card.md.

    python benchmarks/ceilings.py --data DIR --datasets FILE      # run: rows to benchmarks/results/policy_search
    python benchmarks/ceilings.py                                 # fill the page from the kept rows

Each policy is UHerding with a shrinking radius over unit-length features and all candidates, but for one thing: it is
told which items the model gets wrong (`errors`), or which items are of one class (`classes`), or it puts in place of
the latter the agreement of the model's own answers, which needs no label (`agreement`). `ratio` is `agreement`, told
how often each class occurs in the pool: gains are multiplied by the square root of how much too rare the expected class
of an item is among the labels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from page_tables import fill, of, points, table, versus  # noqa: E402

import al_gym  # noqa: E402
from al_gym.evaluation.metrics import campaign_table, score_array  # noqa: E402
from al_gym.policies.base import Choice, Context, Policy  # noqa: E402
from al_gym.pool import PoolView  # noqa: E402
from al_gym.strategies import make_strategy  # noqa: E402

RAW = ROOT / "benchmarks" / "results" / "policy_search" / "ceilings.csv.gz"
PAGE = ROOT / "docs" / "model-card.md"
SEEDS = 4
PLAIN = "UHerding"
TOLD = {PLAIN: "nothing", "errors": "which items the model gets wrong", "agreement": "nothing: the model's own answers",
        "ratio": "the same, and how often each class occurs", "classes": "which items are of one class"}  # fmt: skip
Array = NDArray[np.float64]


class Told(Policy):
    """UHerding with one of its ingredients exchanged.

    Args:
        what: a key of `TOLD`.
    """

    privileged = True

    def __init__(self, what: str) -> None:
        self.name = self.what = what
        self.strategies = (make_strategy("uherding"),)  # for the name of the choice alone

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        size = np.minimum(context.batch_size, context.remaining)
        queries = np.full((len(context), int(size.max())), -1)
        assert context.campaign is not None
        for at, view in context.views:
            block = next(b for b in context.campaign._blocks.values() if b.pool is view.arrays)
            hidden = block.hidden.y[view.rows].numpy()
            for row, position in enumerate(at):
                picked = self._batch(view, row, hidden[row], int(size[position]))
                queries[position, : len(picked)] = picked
        return context.choice(np.zeros(len(context), np.int64))._replace(queries=queries)

    def _batch(self, view: PoolView, row: int, hidden: NDArray[np.int64], k: int) -> list[int]:
        n, d, c = int(view.n_items[row]), int(view.n_features[row]), int(view.n_classes[row])
        known = view.order[row, : int(view.n_labelled[row])].numpy()
        p = view.proba[row, :c, :n].numpy().T.astype(np.float64)
        X = view.X[row, :n, :d].numpy().astype(np.float64)
        u = 1 - view.margin[row, :n].numpy().astype(np.float64)
        if self.what == "errors":
            u = 0.02 + (p.argmax(1) != hidden[:n])
        kernel = _kernel(X, known)
        if self.what == "classes":
            kernel *= hidden[:n, None] == hidden[None, :n]
        elif self.what in ("agreement", "ratio"):
            kernel *= np.square(np.sqrt(p) @ np.sqrt(p).T)
        share, counts = np.bincount(hidden[:n], minlength=c) / n, np.bincount(hidden[known], minlength=c) + 0.5
        allowed, covered, picked = view.candidates[row, :n].numpy().copy(), kernel[known].max(0), []
        for _ in range(k):
            gain = np.maximum(kernel - covered, 0) @ u
            if self.what == "ratio":
                gain *= np.sqrt(p @ ((share * counts.sum() + 0.5) / counts))
            gain[~allowed] = -1
            picked.append(int(gain.argmax()))
            counts += p[picked[-1]]
            allowed[picked[-1]] = False
            covered = np.maximum(covered, kernel[picked[-1]])
        return picked


def _kernel(X: Array, known: NDArray[np.int64]) -> Array:
    """(n, n) Gaussian kernel of unit-length rows; its h is the least distance between labelled items over sqrt 2."""
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    square = np.maximum(2 - 2 * unit @ unit.T, 0)
    between = square[np.ix_(known, known)]
    h2 = between[between > 1e-10].min(initial=2.0) / 2
    kernel: Array = np.exp(-square / (2 * h2))
    return kernel


def run(data: str, datasets: str, what: Sequence[str]) -> pd.DataFrame:
    """One row a campaign of the policies `what`: dataset, seed, policy, aulc."""
    result = al_gym.evaluate(
        {name: Told(name) for name in what}, data=data, datasets=datasets, seeds=SEEDS, jobs=1, progress=True
    )
    rows = campaign_table(result.results, result.summary["budgets"])
    return rows[["dataset", "seed", "policy", "aulc"]].round(6)


def ceilings(rows: pd.DataFrame) -> str:
    """The table."""
    scores, lines = score_array(rows, "aulc"), []
    base = of(scores, PLAIN)
    for what, told in TOLD.items():
        mine = of(scores, what)
        gap, spread, wins = ("", "", "") if what == PLAIN else versus(mine, base)
        lines.append([told, what, points(float(mine.mean())), gap, spread, wins])
    count = len(scores.datasets)
    heads = ["told", "policy", "AULC", "over UHerding", "95 %", "win / tie / loss"]
    return table(heads, lines) + f"\n{count} datasets of train and valid, {SEEDS} seeds, 20 rounds of 5; points.\n"


def main() -> None:
    """Run, or fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of datasets; with it the policies run")
    parser.add_argument("--datasets", help="file with one name a line")
    parser.add_argument("--only", choices=TOLD, action="append", help="a policy to run; the rows of the others stay")
    options = parser.parse_args()
    if options.data:
        what = options.only or list(TOLD)
        rows = run(options.data, options.datasets, what)
        if options.only:
            old = pd.read_csv(RAW)
            rows = pd.concat([old[~old["policy"].isin(what)], rows], ignore_index=True)
        rows.to_csv(RAW, index=False, compression={"method": "gzip", "mtime": 0})
    page = fill(PAGE.read_text(encoding="utf-8"), {"ceilings": ceilings(pd.read_csv(RAW))})
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
