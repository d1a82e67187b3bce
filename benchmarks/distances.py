"""What distances cost: the compiled functions against the same in SciPy and numpy, turn by turn in one process.

    python benchmarks/distances.py    # writes benchmarks/results/distances.json

Made-up pools of several shapes. Three things are computed: the kernel of a pool with its bandwidth (mean distance to
the 20 nearest others), the distances to the nearest labelled item after 5 new labels, and a k-center batch of 10. CPU
seconds of the fastest of several turns; the results are compared too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from one_core import measure_rows

ROOT = Path(__file__).resolve().parent.parent
RAW = ROOT / "benchmarks" / "results" / "distances.json"
SHAPES = ((500, 16), (500, 64), (500, 384), (1078, 64), (3000, 32))
"""Items, features."""
TURNS, LABELS, BATCH = 9, 5, 10


def plain_kernel(X: Any) -> Any:
    """Kernel values (items, items), as a user would write them."""
    import numpy as np
    from scipy.spatial.distance import cdist

    d2 = cdist(X, X, "sqeuclidean").astype(np.float32)
    near = np.partition(d2, 20, axis=1)[:, :21]  # an item is nearest to itself
    h = (np.sqrt(near).sum(axis=1) / 20).mean()
    return np.exp(d2 * np.float32(-0.5 / h**2))


def plain_nearest(X: Any, near: Any, labels: Any) -> Any:
    """Squared distances to the nearest labelled item after new labels."""
    import numpy as np
    from scipy.spatial.distance import cdist

    return np.minimum(near, cdist(X[labels], X, "sqeuclidean").min(axis=0))


def plain_k_center(X: Any, near: Any) -> list[int]:
    """A greedy batch."""
    import numpy as np

    near, picks = near.copy(), []
    for _ in range(BATCH):
        picks.append(int(near.argmax()))
        near = np.minimum(near, ((X - X[picks[-1]]) ** 2).sum(axis=1))
    return picks


def compiled(X: Any, labels: Any) -> dict[str, Callable[[], Any]]:
    """The same calls on the project's storage, with one pool in it."""
    import numpy as np
    import torch

    from al_gym.kernels import geometry, greedy
    from al_gym.pool.tiles import as_tiles

    n, d = X.shape
    pool = torch.from_numpy(X)[None]
    tiles, row, items, features = as_tiles(pool), torch.tensor([0]), torch.tensor([n]), torch.tensor([d])
    mean, h, K, near = torch.zeros(1, n), torch.ones(1), torch.zeros(1, n, n), torch.zeros(1, n)
    order, count = torch.from_numpy(labels)[None], torch.tensor([len(labels)])
    allowed, k = np.ones((1, n), np.bool_), np.array([BATCH])
    keys, first, out = np.zeros(1, np.uint64), np.array([-1]), np.full((1, BATCH), -1)

    def kernel() -> Any:
        geometry.kernel_matrices(tiles, row, items, features, torch.zeros(1, dtype=torch.bool), mean, h, K)
        return K[0].numpy()

    def nearest() -> Any:
        geometry.update_nearest(tiles, row, items, features, order, count, torch.zeros(1, dtype=torch.int64), near)
        return near[0].numpy()

    def k_center() -> Any:
        arrays = (row.numpy(), items.numpy(), features.numpy(), near.numpy(), allowed, k, keys, first, out)
        greedy.k_center(pool.numpy(), tiles.numpy(), *arrays)
        return out[0]

    return {"kernel": kernel, "nearest": nearest, "k-center": k_center}


def measure(n: int, d: int) -> dict[str, Any]:
    """Microseconds of each call on one pool, both ways."""
    import numpy as np

    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((n, d)).astype(np.float32), rng.choice(n, LABELS, replace=False)
    ours, unknown = compiled(X, labels), np.full(n, np.inf, np.float32)
    near = plain_nearest(X, unknown, labels).astype(np.float32)
    theirs: dict[str, Callable[[], Any]] = {
        "kernel": lambda: plain_kernel(X), "nearest": lambda: plain_nearest(X, unknown, labels),
        "k-center": lambda: plain_k_center(X, near),
    }  # fmt: skip
    seconds: dict[str, list[float]] = {}
    for name, call in ours.items():
        np.testing.assert_allclose(call(), theirs[name](), rtol=1e-4, atol=1e-5, err_msg=f"{name}, {n} x {d}")
    for _ in range(TURNS):
        for name in ours:
            for who, calls in (("scipy", theirs), ("al_gym", ours)):
                start, repeats = time.process_time(), 0
                while repeats < 3 or time.process_time() - start < 0.02:
                    calls[name]()
                    repeats += 1
                seconds.setdefault(f"{name}, {who}", []).append((time.process_time() - start) / repeats)
    return {"items": n, "features": d, "microseconds": {key: 1e6 * min(values) for key, values in seconds.items()}}


if __name__ == "__main__":
    measure_rows(__doc__, RAW, measure, SHAPES)
