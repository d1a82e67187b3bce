"""Temperature scaling on held-out labels, as UHerding does it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from al_gym.learners import make_learner
from al_gym.pool.arrays import PoolArrays, Shape
from al_gym.pool.view import PoolView

TEMPERATURES = [1.0 + 0.1 * step for step in range(190)]  # 1.0, 1.1, ..., 19.9


def temper(proba: Tensor, temperature: Tensor) -> Tensor:
    """softmax(logits / temperature) from probabilities.

    Args:
        proba: (tasks, classes, n) float32; classes of probability 0 keep it.
        temperature: (tasks,) float32, positive.
    """
    powered = proba.pow((1.0 / temperature)[:, None, None])
    return powered / powered.sum(1, keepdim=True).clamp(min=torch.finfo(powered.dtype).tiny)


def calibrated_temperature(view: PoolView) -> Tensor:
    """(tasks,) float32: the temperature of the smallest calibration error on the last 30 % of the labels.

    The default learner is fitted afresh to the first 70 % of the labels; 1 where either part is empty.
    """
    count = view.n_labelled
    fitted = count * 7 // 10
    usable = (fitted > 0) & (fitted < count)
    best = torch.ones(len(view), device=count.device)
    tasks = usable.nonzero()[:, 0]
    if not len(tasks):
        return best
    rows, fitted, count = view.rows[tasks], fitted[tasks], count[tasks]
    proba = _held_out_proba(view.arrays, rows, fitted)
    slot = torch.arange(proba.shape[2], device=rows.device)[None, :]
    held_out = (slot >= fitted[:, None]) & (slot < count[:, None])
    correct = proba.argmax(1) == view.arrays.yL[rows]
    for i, task in enumerate(tasks.tolist()):
        used = held_out[i].nonzero()[:, 0]
        best[task] = _best_temperature(proba[i][:, used], correct[i, used], view.arrays.n_classes[rows[i]])
    return best


def _best_temperature(proba: Tensor, correct: Tensor, classes: Tensor) -> Tensor:
    """The temperature of the smallest calibration error, the lowest of equals; all are tried at once.

    Args:
        proba: (classes, n) float32. correct: (n,) bool. classes: () int64, the number of bins.
    """
    temperature = torch.tensor(TEMPERATURES, device=proba.device)
    confidence = temper(proba.expand(len(temperature), -1, -1), temperature).amax(1)
    shape = confidence.shape
    error = calibration_error(
        confidence, correct.expand(shape), torch.ones_like(confidence, dtype=torch.bool), classes.expand(shape[0])
    )
    return temperature[error.argmin()]


def _held_out_proba(arrays: PoolArrays, rows: Tensor, fitted: Tensor) -> Tensor:
    """(tasks, classes, labels) float32: predictions for all labelled items by a model of the first `fitted` of them."""
    items, features, classes, labels = arrays.y.shape[1], arrays.X.shape[2], arrays.seen.shape[1], arrays.XL.shape[1]
    count = arrays.count.clone()
    count[rows] = fitted
    kept = torch.arange(labels, device=rows.device)[None, :] < count[:, None]
    yL = arrays.yL.masked_fill(~kept, -1)
    seen = torch.zeros_like(arrays.seen)
    seen[rows] = (yL[rows][:, None, :] == torch.arange(classes, device=rows.device)[None, :, None]).any(2)
    scratch = replace(arrays, count=count, yL=yL, seen=seen, XL=arrays.XL.masked_fill(~kept[:, :, None], 0.0))
    learner = make_learner("softmax")
    state = learner.allocate(Shape(items, features, classes, labels, 0), len(count), rows.device)
    learner.fit(state, scratch, rows)
    return learner.predict_proba(state, scratch, rows, arrays.XL[rows])


def calibration_error(confidence: Tensor, correct: Tensor, used: Tensor, bins: Tensor) -> Tensor:
    """(tasks,) float64: expected calibration error with equal-width bins over [0, 1].

    Args:
        confidence: (tasks, n) float32 in [0, 1].
        correct: (tasks, n) bool.
        used: (tasks, n) bool.
        bins: (tasks,) int64.
    """
    which = torch.minimum((confidence * bins[:, None]).long(), bins[:, None] - 1)
    gap = (correct.double() - confidence.double()) * used
    per_bin = torch.zeros(len(bins), int(bins.max()), dtype=torch.float64, device=bins.device).scatter_add_(
        1, which, gap
    )
    return per_bin.abs().sum(1) / used.sum(1)
