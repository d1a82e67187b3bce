"""What tiles of items bring: scores and hits from tiles against the same from rows, turn by turn in one process.

    python benchmarks/tiles.py    # writes benchmarks/results/tiles.json

Made-up pools of several shapes, one model each (`al_gym.kernels.softmax_score`); CPU seconds of the fastest of several
turns, each over all pools. Both layouts give the same bits, which is checked here too.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from one_core import measure_rows

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "benchmarks" / "results" / "tiles.json"
SHAPES = (
    (256, 500, 10, 2),
    (256, 500, 16, 4),
    (256, 2000, 16, 8),
    (64, 1078, 64, 10),
    (64, 6000, 32, 5),
    (64, 500, 384, 4),
)
"""Pools, items, features, classes."""
TURNS = 9


def block(pools: int, items: int, features: int, classes: int) -> dict[str, Any]:
    """Arguments of `score_softmax` for random features and weights, with their tiles beside them."""
    import torch

    from al_gym.pool.arrays import Shape
    from al_gym.pool.tiles import allocate_tiles, write_tiles

    g = torch.Generator().manual_seed(0)
    shape = Shape.of(items, features, classes, 10, 10, compiled=True)
    X = torch.zeros(pools, items, shape.features)
    X[:, :, :features] = torch.randn(pools, items, features, generator=g)
    W = torch.zeros(pools, shape.classes, shape.features + 1)
    W[:, :classes, :features] = torch.randn(pools, classes, features, generator=g) / features**0.5
    tiles = allocate_tiles(pools, items, shape.features)
    for row in range(pools):
        write_tiles(X[row].numpy(), tiles[row].numpy())
    seen = (torch.arange(shape.classes) < classes).repeat(pools, 1)
    sizes = {"n_items": torch.full((pools,), items), "n_features": torch.full((pools,), features)}
    return {"rows": X, "tiles": tiles, **sizes, "seen": seen, "W": W}


def measure(pools: int, items: int, features: int, classes: int) -> dict[str, Any]:
    """Microseconds a pool of both calls in both layouts."""
    import torch

    from al_gym.kernels import softmax_score

    given = block(pools, items, features, classes)
    rest = [given[name] for name in ("n_items", "n_features", "seen", "W")]
    y = torch.randint(0, classes, (pools, items), generator=torch.Generator().manual_seed(1))
    proba = torch.zeros(pools, given["seen"].shape[1], items)
    others = [torch.zeros(pools, items) for _ in range(3)] + [torch.zeros(pools, items, dtype=torch.int64)]
    calls = {
        (name, layout): call
        for layout in ("rows", "tiles")
        for name, call in (
            ("scores", lambda X=given[layout]: softmax_score.score_softmax(X, *rest, proba, *others)),
            ("hits", lambda X=given[layout]: softmax_score.class_hits_softmax(X, y, *rest)),
        )
    }
    found = []
    for layout in ("rows", "tiles"):
        calls["scores", layout]()
        found.append([proba.clone(), *(a.clone() for a in others), calls["hits", layout]()])
    if not all(torch.equal(a, b) for a, b in zip(*found, strict=True)):
        raise AssertionError(f"tiles change bits: {pools} pools of {items} x {features}, {classes} classes.")
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    repeats = max(1, int(2e7 / (pools * items * features)))
    for _ in range(TURNS):
        for key, call in calls.items():
            start = time.process_time()
            for _ in range(repeats):
                call()
            seconds[key].append((time.process_time() - start) / repeats)
    return {
        "pools": pools, "items": items, "features": features, "classes": classes,
        "microseconds": {f"{name}, {layout}": 1e6 * min(values) / pools for (name, layout), values in seconds.items()},
    }  # fmt: skip


if __name__ == "__main__":
    measure_rows(__doc__, RAW, measure, SHAPES)
