"""Buffers of one softmax fit, carved out of one piece of memory."""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from al_gym.kernels.curvature import BLOCK, Floats, Preconditioner
from al_gym.learners.softmax_fit import MEMORY

Ints = NDArray[np.int64]


class Fit(NamedTuple):
    """Buffers of one fit. Rows are classes; the last axis is padded with zeros to `stride` (variables) or `width` (items).

    Attributes:
        F: (n, width), maps coefficients to logits: X' or K.
        V: (C, stride) coefficients. G: their gradient. D: the direction. b, gb, db: (C,) the same of the intercept.
        E: (C, stride) what pairs with a gradient to give an inner product with D: D itself, or D @ K.
        Z, Q: (C, width) logits, and their change along D. P: (C, width) probabilities or residuals.
        T: (C, stride) scratch.
        steps, paired, changes: (MEMORY, C, stride) past steps, their E, and changes of the gradient.
        step_b, change_b: (MEMORY, C) the same of the intercept. rho, share: (MEMORY,) of the two-loop recursion.
        item: (4, width) sums over classes.
    """

    F: Floats
    V: Floats
    G: Floats
    D: Floats
    E: Floats
    Z: Floats
    Q: Floats
    P: Floats
    T: Floats
    steps: Floats
    paired: Floats
    changes: Floats
    item: Floats
    b: Floats
    gb: Floats
    db: Floats
    step_b: Floats
    change_b: Floats
    rho: Floats
    share: Floats


@nb.njit
def padded(size: int) -> int:
    return (size + BLOCK - 1) // BLOCK * BLOCK


@nb.njit
def _take(work: Floats, used: Ints, rows: int, columns: int) -> Floats:
    """The next rows x columns entries of `work`, zeroed."""
    start = used[0]
    used[0] = start + rows * columns
    view = work[start : used[0]].reshape((rows, columns))
    view[:] = 0
    return view


@nb.njit
def carve(work: Floats, classes: int, items: int, n: int, span: bool) -> tuple[Fit, Preconditioner]:
    """The buffers of one fit, for its true sizes, out of one piece of memory."""
    used = np.zeros(1, np.int64)
    stride, width = padded(n), padded(items)
    F = _take(work, used, n, width)
    V, G = _take(work, used, classes, stride), _take(work, used, classes, stride)
    D, T = _take(work, used, classes, stride), _take(work, used, classes, stride)
    Z, Q, P = _take(work, used, classes, width), _take(work, used, classes, width), _take(work, used, classes, width)
    steps = _take(work, used, MEMORY * classes, stride).reshape((MEMORY, classes, stride))
    changes = _take(work, used, MEMORY * classes, stride).reshape((MEMORY, classes, stride))
    E, paired = D, steps
    if span:
        E = _take(work, used, classes, stride)
        paired = _take(work, used, MEMORY * classes, stride).reshape((MEMORY, classes, stride))
    intercept = _take(work, used, 3 + 2 * MEMORY, classes)
    loop = _take(work, used, 2, MEMORY)
    fit = Fit(
        F, V, G, D, E, Z, Q, P, T, steps, paired, changes, _take(work, used, 4, width),
        intercept[0], intercept[1], intercept[2], intercept[3 : 3 + MEMORY], intercept[3 + MEMORY :], loop[0], loop[1],
    )  # fmt: skip
    vector = _take(work, used, 2, stride)
    panel = _take(work, used, 2 * BLOCK, stride).reshape((2, BLOCK, stride))
    scratch = _take(work, used, 1 if span else items, stride)
    schur, weight = _take(work, used, 1, 1)[0], _take(work, used, 1, width)[0]
    return fit, Preconditioner(_take(work, used, n, stride), vector[0], vector[1], schur, weight, scratch, panel)


@nb.njit
def room(classes: int, items: int, n: int) -> int:
    """Entries that `carve` takes at most."""
    stride, width = padded(n), padded(items)
    per_class = (5 + 3 * MEMORY) * stride + 3 * width + 2 * MEMORY + 4
    return classes * per_class + n * (width + stride) + (items + 2 * BLOCK + 2) * stride + 5 * width + 6 * MEMORY + 1
