"""Blocks of pools filled by hand, for tests that need no campaign."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from al_gym.learners.base import write_scores
from al_gym.pool import Geometry, PoolArrays, PoolView, Shape


class LinearAccess:
    """A stand-in for a bound learner: its representation is the features, its model random."""

    def embed(self, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        return X

    def predict_proba(self, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        W = torch.linspace(-1, 1, X.shape[2] * arrays.seen.shape[1]).reshape(arrays.seen.shape[1], -1)
        classes = torch.arange(arrays.seen.shape[1])[None, :] < arrays.n_classes[rows][:, None]
        logits = (W @ X.transpose(1, 2)).masked_fill(~classes[:, :, None], -torch.inf)
        return logits.softmax(1)


def make_block(
    sizes: Sequence[int],
    *,
    features: int | Sequence[int] = 5,
    classes: int | Sequence[int] = 3,
    labels: int | Sequence[int] = 4,
    budget: int = 50,
    seed: int = 0,
    shape: Shape | None = None,
) -> PoolArrays:
    """Random features, probabilities and labels; sizes, features, classes and labels may differ from task to task."""
    rng = np.random.default_rng(seed)
    d, C, L = (np.broadcast_to(np.asarray(value), len(sizes)) for value in (features, classes, labels))
    shape = shape or Shape.of(max(sizes), int(d.max()), int(C.max()), int(L.max()) + budget, 16)
    arrays = PoolArrays.allocate(shape, len(sizes), torch.device("cpu"))
    proba = torch.zeros(len(sizes), shape.classes, shape.items)
    for row, n in enumerate(sizes):
        arrays.n_items[row], arrays.n_features[row], arrays.n_classes[row] = int(n), int(d[row]), int(C[row])
        arrays.budget[row] = budget
        arrays.key[row] = rng.integers(2**63)
        arrays.X[row, :n, : d[row]] = torch.from_numpy(rng.standard_normal((n, d[row])).astype(np.float32))
        drawn = rng.dirichlet(np.full(C[row], 0.7), n).T
        proba[row, : C[row], :n] = torch.from_numpy(drawn.astype(np.float32))
        label(arrays, row, rng.permutation(n)[: L[row]], rng.integers(C[row], size=min(n, L[row])))
        arrays.initial[row] = arrays.count[row]
    write_scores(arrays, torch.arange(len(sizes)), proba)
    return arrays


def label(arrays: PoolArrays, row: int, items: Sequence[int] | np.ndarray, answers: Sequence[int] | np.ndarray) -> None:
    """Reveal labels of some items of one task, as a campaign does."""
    for item, answer in zip(items, answers, strict=True):
        slot = int(arrays.count[row])
        arrays.order[row, slot], arrays.yL[row, slot], arrays.XL[row, slot] = (
            int(item),
            int(answer),
            arrays.X[row, item],
        )
        arrays.labelled[row, item] = True
        arrays.y[row, item] = int(answer)
        arrays.seen[row, answer] = True
        arrays.count[row] += 1


def make_view(arrays: PoolArrays, rows: Sequence[int] | None = None, geometry: Geometry | None = None) -> PoolView:
    """The view of some rows, or of all, with fresh caches unless given."""
    chosen = torch.arange(len(arrays.key)) if rows is None else torch.tensor(rows)
    return PoolView(arrays, geometry or Geometry(arrays), chosen, LinearAccess())


def same_pool(arrays: PoolArrays, copies: int, seed: int = 1) -> PoolArrays:
    """The first task of `arrays`, `copies` times under different keys: for tests of distributions."""
    grown = arrays.grown(max(copies, len(arrays.key)))
    for name, value in vars(grown).items():
        if name == "key":
            value[:] = np.random.default_rng(seed).integers(2**63, size=len(value)).astype(np.uint64)
        elif len(value):  # there are no tiles here
            value[:] = value[0].clone()
    return grown
