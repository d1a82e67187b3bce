"""Buffers of one softmax fit, carved out of one piece of memory."""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from al_gym.kernels.blas import INLINED
from al_gym.kernels.curvature import Preconditioner
from al_gym.kernels.product import BLOCK, Floats
from al_gym.learners.softmax_fit import MEMORY

Ints = NDArray[np.int64]

V, G, D, E, T = range(5)
"""Rows of `Fit.vector`: variables, gradient, direction, what pairs the direction with a gradient, scratch."""
STEPS, PAIRED, CHANGES = 5, 5 + MEMORY, 5 + 2 * MEMORY
"""First rows of the past steps, their E, and the changes of the gradient."""
Z, Q, P = range(3)
"""Rows of `Fit.logit`: logits, their change along the direction, probabilities or residuals."""


class Fit(NamedTuple):
    """One fit at its true sizes.

    A vector holds the coefficients of all classes, each in `stride` places, then the intercepts. What lies beyond
    the true sizes in vectors, logits and sums is zero.

    Attributes:
        F: (n, width), maps coefficients to logits: X' or K.
        vector: (5 + 3 * MEMORY, classes * stride + padded(classes)).
        logit: (3, classes, width).
        item: (4, width), sums over classes.
        loop: (2, MEMORY), 1 / (step * change) and shares of the two-loop recursion.
        X: item-major features, as stored.
        turned: (features, width) the same feature-major; F itself over features.
        rows: (items, stride) a copy of X with zeros beyond n; over features only.
        label: (items,) int64 among `classes`, or -1 for the class that has no logit.
        classes, items, n, stride, width: sizes; n is the number of coefficients of a class.
        binary: whether there is one more class, whose logit is 0 (two classes seen are one logit).
        span: whether coefficients belong to items (E is D @ K) or to features (E is D).
        penalty: L2 weight.
    """

    F: Floats
    vector: Floats
    logit: Floats
    item: Floats
    loop: Floats
    X: Floats
    turned: Floats
    rows: Floats
    label: Ints
    classes: int
    items: int
    n: int
    stride: int
    width: int
    binary: bool
    span: bool
    penalty: float


@nb.njit(**INLINED)
def padded(size: int) -> int:
    """`size` rounded up to whole SIMD vectors."""
    return (size + BLOCK - 1) // BLOCK * BLOCK


@nb.njit(**INLINED)
def _take(work: Floats, used: Ints, rows: int, columns: int) -> Floats:
    """The next rows x columns entries of `work`."""
    start = used[0]
    used[0] = start + rows * columns
    return work[start : used[0]].reshape((rows, columns))


@nb.njit(**INLINED)
def carve(
    work: Floats, X: Floats, label: Ints, classes: int, binary: bool, features: int, span: bool, penalty: float
) -> tuple[Fit, Preconditioner]:
    """The buffers of one fit; those whose padding is read and that are not written whole are zeroed."""
    used = np.zeros(1, np.int64)
    items = len(label)
    n = items if span else features
    stride, width = padded(n), padded(items)
    size = classes * stride + padded(classes)
    vector = _take(work, used, 5 + 3 * MEMORY, size)
    logit = _take(work, used, 3 * classes, width).reshape((3, classes, width))
    item, weight = _take(work, used, 4, width), _take(work, used, 1, width)
    loop, column = _take(work, used, 2, MEMORY), _take(work, used, 3, stride)
    zeroed = work[: 5 * size]
    for i in range(zeroed.size):
        zeroed[i] = 0
    zeroed = work[vector.size : used[0]]
    for i in range(zeroed.size):
        zeroed[i] = 0
    F = _take(work, used, n, width)
    inverse, panel = _take(work, used, n, stride), _take(work, used, 2 * BLOCK, stride)
    turned = _take(work, used, features, width) if span else F
    rows = _take(work, used, 1 if span else items, stride)
    scratch = _take(work, used, 1 if span else n, width)
    sizes = classes, items, n, stride, width
    fit = Fit(F, vector, logit, item, loop, X, turned, rows, label, *sizes, binary, span, penalty)
    return fit, Preconditioner(inverse, column, scratch, panel, weight)


@nb.njit(**INLINED)
def room(classes: int, items: int, features: int, span: bool) -> int:
    """Entries that `carve` takes at most."""
    n = items if span else features
    stride, width = padded(n), padded(items)
    vectors = (5 + 3 * MEMORY) * (classes * stride + padded(classes))
    rest = 3 * classes * width + 5 * width + 2 * MEMORY + (items + 3 + 2 * BLOCK) * stride
    return n * (2 * width + stride) + features * width + vectors + rest
