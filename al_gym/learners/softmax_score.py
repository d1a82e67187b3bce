"""Scores of linear softmax models in torch: the reference for `al_gym.kernels.softmax_score`."""

from __future__ import annotations

import torch
from torch import Tensor


def _logits(X: Tensor, n_features: Tensor, seen: Tensor, W: Tensor, rows: Tensor) -> Tensor:
    """(G, C, N) logits of `rows`; minus infinity for classes without a label."""
    weights = W[rows]
    true = torch.arange(X.shape[2], device=X.device) < n_features[rows][:, None, None]
    logits = torch.baddbmm(weights[:, :, -1:], weights[:, :, :-1] * true, X[rows].mT)
    return logits.masked_fill(~seen[rows][:, :, None], -torch.inf)


def score_softmax(
    X: Tensor,
    n_items: Tensor,
    n_features: Tensor,
    seen: Tensor,
    W: Tensor,
    proba: Tensor,
    top1: Tensor | None = None,
    top2: Tensor | None = None,
    entropy: Tensor | None = None,
    predicted: Tensor | None = None,
    rows: Tensor | None = None,
    n_classes: Tensor | None = None,
) -> None:
    """Write class probabilities, and what follows from them, for `rows`; padded items get 0.

    Every array is indexed by row: a subset of a block is scored without copying it.

    Args:
        X: (R, N, D) float32.
        n_items: (R,) int64 true sizes.
        n_features: (R,) int64 true sizes; what lies beyond is ignored.
        seen: (R, C) bool, classes with a label; the others get probability 0.
        W: (R, C, D + 1) float32, the intercept last.
        proba: (R, C, N) float32, out: softmax over the classes seen.
        top1: (R, N) float32, out: the largest probability of each item.
        top2: (R, N) float32, out: the second largest, 0 when one class is seen.
        entropy: (R, N) float32, out: in nats.
        predicted: (R, N) int64, out: the most probable class, the first of equals.
        rows: (G,) int64; all if None.
        n_classes: (R,) int64 true sizes, if what lies beyond them in `proba` is zero already, so that the kernel need
            not write it (this function writes it all the same); None if it may not be.
    """
    if rows is None:
        rows = torch.arange(len(X), device=X.device)
    padded = torch.arange(X.shape[1], device=X.device)[None] >= n_items[rows][:, None]
    logits = _logits(X, n_features, seen, W, rows).masked_fill(padded[:, None], 0.0)
    p = torch.softmax(logits, dim=1).masked_fill(padded[:, None], 0.0)
    proba[rows] = p
    if predicted is not None:
        predicted[rows] = logits.argmax(dim=1)
    if top1 is not None or top2 is not None:
        top = torch.nn.functional.pad(p, (0, 0, 0, 1)).topk(2, dim=1).values
        if top1 is not None:
            top1[rows] = top[:, 0]
        if top2 is not None:
            top2[rows] = top[:, 1]
    if entropy is not None:
        entropy[rows] = torch.special.entr(p).sum(dim=1)


def accuracy_softmax(
    X: Tensor, y: Tensor, n_items: Tensor, n_features: Tensor, seen: Tensor, W: Tensor, rows: Tensor | None = None
) -> Tensor:
    """Number of items whose most probable class is their label, (G,) int64.

    `y` (R, N) int64 holds labels, -1 where padded; the other arguments are those of `score_softmax`.
    """
    return class_hits_softmax(X, y, n_items, n_features, seen, W, rows).sum(dim=1)


def class_hits_softmax(
    X: Tensor, y: Tensor, n_items: Tensor, n_features: Tensor, seen: Tensor, W: Tensor, rows: Tensor | None = None
) -> Tensor:
    """Items of class c that were predicted as c, (G, C) int64, for balanced accuracy.

    The arguments are those of `accuracy_softmax`.
    """
    if rows is None:
        rows = torch.arange(len(X), device=X.device)
    labels = y[rows]
    valid = torch.arange(X.shape[1], device=X.device)[None] < n_items[rows][:, None]
    hit = valid & (_logits(X, n_features, seen, W, rows).argmax(dim=1) == labels)
    hits = torch.zeros(len(rows), W.shape[1], dtype=torch.int64, device=X.device)
    return hits.scatter_add_(1, labels.clamp_min(0), hit.to(torch.int64))
