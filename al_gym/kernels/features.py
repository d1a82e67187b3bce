"""Numba twins of the feature sets of `al_gym.envs.observations`: one pass over each pool, no sorting."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from al_gym.kernels.stamp import njit
from al_gym.pool.view import PoolView

Array = Any
BINS = 128
_REDUCE = {"contract", "nsz", "reassoc"}
_CHUNK = 256
"""Items whose bins are found together, which vectorises; counting them does not."""


@njit(cache=True, nogil=True)
def _quantiles(histogram: Array, count: int, levels: Array, out: Array) -> None:
    """Quantiles of values in [0, 1] from their histogram, linear inside a bin; clears the histogram."""
    if count > 0:
        for q in range(len(levels)):
            target, below, at = levels[q] * count, 0, 0
            while below + histogram[at] < target:
                below += histogram[at]
                at += 1
            while histogram[at] == 0:
                at += 1
            out[q] = (at + (target - below) / histogram[at]) / len(histogram)
    histogram[:] = 0


@njit(cache=True, nogil=True)
def _bin(value: float, bins: int) -> int:
    return min(max(int(value * np.float32(bins)), 0), bins - 1)


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _bins(values: Array, scale: np.float32, labelled: Array, out: Array) -> np.float32:
    """Write the bin of each of `values` over `scale`, BINS for labelled items; returns the sum of the others."""
    total = np.float32(0)
    for i in range(len(values)):
        value = values[i] / scale
        at = np.int32(value * np.float32(BINS))
        at = min(max(at, np.int32(0)), np.int32(BINS - 1))
        out[i] = np.int32(BINS) if labelled[i] else at
        total += np.float32(0) if labelled[i] else value
    return total


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _sums(top1: Array, predicted: Array, previous: Array, labelled: Array) -> tuple[np.float32, int, int]:
    """Over the unlabelled items: the sum of `top1`, how many predictions have changed, how many items there are."""
    total, flips, count = np.float32(0), np.int32(0), np.int32(0)
    for i in range(len(top1)):
        free = not labelled[i]
        total += top1[i] if free else np.float32(0)
        flips += np.int32(free and predicted[i] != previous[i])
        count += np.int32(free)
    return total, flips, count


@njit(cache=True, nogil=True)
def _uncertainty(
    entropy: Array, top1: Array, top2: Array, predicted: Array, previous: Array, labelled: Array, seen: Array,
    n_items: Array, rows: Array, levels: Array, out: Array,
) -> None:  # fmt: skip
    by_entropy, by_margin = np.zeros(BINS + 1, np.int64), np.zeros(BINS + 1, np.int64)
    margin, bins = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.int32)
    width = len(levels)
    for g in range(len(rows)):
        row = rows[g]
        most = np.float32(np.log(np.float32(max(seen[row].sum(), 2))))
        count, sums, flips = 0, np.zeros(3), 0
        for start in range(0, n_items[row], _CHUNK):
            end = min(start + _CHUNK, n_items[row])
            known, size = labelled[row, start:end], end - start
            sums[0] += _bins(entropy[row, start:end], most, known, bins)
            for i in range(size):
                by_entropy[bins[i]] += 1
            for i in range(size):
                margin[i] = top1[row, start + i] - top2[row, start + i]
            sums[1] += _bins(margin[:size], np.float32(1), known, bins)
            for i in range(size):
                by_margin[bins[i]] += 1
            total, changed, free = _sums(
                top1[row, start:end], predicted[row, start:end], previous[row, start:end], known
            )
            sums[2], flips, count = sums[2] + total, flips + changed, count + free
        n = max(count, 1)
        out[g, 0] = sums[0] / n
        _quantiles(by_entropy[:BINS], count, levels, out[g, 1 : 1 + width])
        out[g, 1 + width] = sums[1] / n
        _quantiles(by_margin[:BINS], count, levels, out[g, 2 + width : 2 + 2 * width])
        out[g, 2 + 2 * width] = sums[2] / n
        out[g, 3 + 2 * width] = flips / n


@njit(cache=True, nogil=True)
def _entropy(shares: Array) -> float:
    """In nats, of shares of which some may be 0."""
    total = 0.0
    for c in range(len(shares)):
        total -= shares[c] * np.log(shares[c]) if shares[c] > 0 else 0.0
    return total


@njit(cache=True, nogil=True)
def _classes(labels: Array, predicted: Array, seen: Array, n_classes: Array, rows: Array, out: Array) -> None:
    for g in range(len(rows)):
        k = n_classes[rows[g]]
        gap = 0.0
        for c in range(k):
            gap += abs(labels[g, c] - predicted[g, c])
        out[g, 0] = np.log(k) / np.log(100.0)
        out[g, 1] = seen[rows[g], :k].sum() / k
        out[g, 2] = _entropy(labels[g, :k]) / np.log(k)
        out[g, 3] = labels[g, :k].min() * k
        out[g, 4] = _entropy(predicted[g, :k]) / np.log(k)
        out[g, 5] = 0.5 * gap


@njit(cache=True, nogil=True, fastmath=_REDUCE)
def _class_means(
    proba: Array, yL: Array, labelled: Array, count: Array, n_classes: Array, n_items: Array, rows: Array,
    labels: Array, predicted: Array,
) -> None:  # fmt: skip
    """Label shares and mean probabilities over the unlabelled items, (tasks, classes) each."""
    for g in range(len(rows)):
        row = rows[g]
        n, m = n_items[row], count[row]
        for j in range(m):
            labels[g, yL[row, j]] += np.float32(1) / m
        for c in range(n_classes[row]):
            total = np.float32(0)
            for i in range(n):
                total += proba[row, c, i] * np.float32(not labelled[row, i])
            predicted[g, c] = total / max(n - m, 1)


@njit(cache=True, nogil=True)
def _progress(
    count: Array, initial: Array, n_items: Array, n_features: Array, n_classes: Array, budget: Array, rows: Array,
    out: Array,
) -> None:  # fmt: skip
    thousand, million = np.log(1e3), np.log(1e6)
    for g in range(len(rows)):
        row = rows[g]
        labels, features = count[row], n_features[row]
        out[g, 0] = (labels - initial[row]) / budget[row]
        out[g, 1] = labels / n_items[row]
        out[g, 2] = np.log(labels) / thousand
        out[g, 3] = np.log(1 + labels / n_classes[row]) / thousand
        out[g, 4] = np.tanh(0.5 * np.log(labels / features))
        out[g, 5] = np.log(features) / thousand
        out[g, 6] = np.log(n_items[row]) / million
        out[g, 7] = np.log(budget[row]) / thousand


@njit(cache=True, nogil=True)
def _training(
    proba: Array, top1: Array, top2: Array, predicted: Array, order: Array, yL: Array, count: Array, n_classes: Array,
    rows: Array, out: Array,
) -> None:  # fmt: skip
    for g in range(len(rows)):
        row = rows[g]
        loss, hits, margin = 0.0, 0, 0.0
        for j in range(count[row]):
            i, y = order[row, j], yL[row, j]
            loss -= np.log(max(proba[row, y, i], np.float32(1e-6)))
            hits += predicted[row, i] == y
            margin += top1[row, i] - top2[row, i]
        m = max(count[row], 1)
        out[g, 0] = loss / m / (2 * np.log(n_classes[row]))
        out[g, 1] = hits / m
        out[g, 2] = margin / m


@njit(cache=True, nogil=True)
def _correlation(n: int, a: float, b: float, aa: float, bb: float, ab: float) -> float:
    """Pearson correlation from sums; 0 where either side is constant."""
    if n == 0:
        return 0.0
    scale = max(aa - a * a / n, 0.0) * max(bb - b * b / n, 0.0)
    return (ab - a * b / n) / np.sqrt(scale) if np.sqrt(scale) > 1e-9 * n else 0.0


@njit(cache=True, nogil=True)
def _coverage(
    nearest: Array, neighbour: Array, bandwidth: Array, top1: Array, top2: Array, labelled: Array, n_items: Array,
    rows: Array, levels: Array, out: Array,
) -> None:  # fmt: skip
    histogram = np.zeros(BINS, np.int64)
    for g in range(len(rows)):
        row = rows[g]
        count = 0
        u, t, f, uu, tt, ff, ut, uf = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(n_items[row]):
            if labelled[row, i]:
                continue
            far = np.sqrt(nearest[g, i]) / bandwidth[g]
            uncertain = 1.0 - (top1[row, i] - top2[row, i])
            typical = -neighbour[g, i] / bandwidth[g]
            histogram[_bin(far / np.float32(4), BINS)] += 1
            u, t, f = u + uncertain, t + typical, f + far
            uu, tt, ff = uu + uncertain * uncertain, tt + typical * typical, ff + far * far
            ut, uf = ut + uncertain * typical, uf + uncertain * far
            count += 1
        out[g, 0] = f / max(count, 1) / 4
        _quantiles(histogram, count, levels, out[g, 1 : 1 + len(levels)])
        out[g, 1 + len(levels)] = _correlation(count, u, t, uu, tt, ut)
        out[g, 2 + len(levels)] = _correlation(count, u, f, uu, ff, uf)


def uncertainty(view: PoolView, levels: tuple[float, ...]) -> Tensor:
    """(tasks, 4 + 2 levels) float32: the columns of the feature set `uncertainty`."""
    a, out = view.arrays.numpy, np.zeros((len(view), 4 + 2 * len(levels)), np.float32)
    known = (a.entropy, a.top1, a.top2, a.predicted, a.previous, a.labelled, a.seen, a.n_items)
    _uncertainty(*known, view.rows.numpy(), np.array(levels), out)
    return torch.from_numpy(out)


def classes(view: PoolView) -> Tensor:
    """(tasks, 6) float32: the columns of the feature set `classes`."""
    a, rows, out = view.arrays.numpy, view.rows.numpy(), np.empty((len(view), 6), np.float32)
    labels, predicted = np.zeros((2, len(view), a.seen.shape[1]), np.float32)
    _class_means(a.proba, a.yL, a.labelled, a.count, a.n_classes, a.n_items, rows, labels, predicted)
    _classes(labels, predicted, a.seen, a.n_classes, rows, out)
    return torch.from_numpy(out)


def progress(view: PoolView) -> Tensor:
    """(tasks, 8) float32: the columns of the feature set `progress`."""
    a, out = view.arrays.numpy, np.empty((len(view), 8), np.float32)
    _progress(a.count, a.initial, a.n_items, a.n_features, a.n_classes, a.budget, view.rows.numpy(), out)
    return torch.from_numpy(out)


def training(view: PoolView) -> Tensor:
    """(tasks, 3) float32: the columns of the feature set `training`."""
    a, out = view.arrays.numpy, np.zeros((len(view), 3), np.float32)
    known = (a.proba, a.top1, a.top2, a.predicted, a.order, a.yL, a.count, a.n_classes)
    _training(*known, view.rows.numpy(), out)
    return torch.from_numpy(out)


def coverage(view: PoolView, levels: tuple[float, ...]) -> Tensor:
    """(tasks, 3 + levels) float32: the columns of the feature set `coverage`."""
    a, out = view.arrays.numpy, np.zeros((len(view), 3 + len(levels)), np.float32)
    distances = (view.squared_distance_to_labelled(), view.neighbour_distance(), view.bandwidth())
    known = (a.top1, a.top2, a.labelled, a.n_items)
    _coverage(*(d.numpy() for d in distances), *known, view.rows.numpy(), np.array(levels), out)
    return torch.from_numpy(out)
