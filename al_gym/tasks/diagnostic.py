"""Made-up datasets on which the right answer is known: one trap for query strategies each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from al_gym.streams import name_key
from al_gym.tasks.dataset import Dataset

Points = tuple[NDArray[np.float64], NDArray[np.int64]]

ITEMS = 1200


@dataclass(frozen=True)
class Diagnosis:
    """A trap, who walks into it and who does not.

    Attributes:
        name: of the datasets, before their number.
        draw: makes the points; its docstring says what the right answer is, and why.
        right: strategies that get it right.
        wrong: strategies that fall for it.
        metric: accuracy by which it shows.
    """

    name: str
    draw: Callable[[np.random.Generator], Points]
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    metric: str = "accuracy"


def redundant_batches(rng: np.random.Generator) -> Points:
    """Sixty originals and many near-copies of each: a batch must not hold the same item five times.

    Every item is a copy of one of 60 originals with noise far below the distance of the originals, and the classes are
    split by a plane through the originals. The items of the smallest margin are copies of ONE original, so a
    batch chosen by margin alone buys one label five times. **Right:** uncertainty with diversity inside the batch
    (`margin-kcenter`, `badge`, `uherding`, `cluster-margin`).
    """
    originals = rng.standard_normal((60, 12))
    y = (originals @ rng.standard_normal(12) > 0).astype(np.int64)
    which = rng.integers(60, size=ITEMS)
    return originals[which] + 0.02 * rng.standard_normal((ITEMS, 12)), y[which]


def cold_start(rng: np.random.Generator) -> Points:
    """Twenty-four tight clusters, three classes, one seed label a class: visit the clusters before the boundary.

    Clusters lie in 24 dimensions and belong to classes at random, so a label says nothing about other clusters and
    the model's boundary between the three seeds is an accident. **Right:** coverage first, one label a cluster
    (`maxherding`, `typiclust`, `uherding`). **Wrong:** trusting the uncertainty of a model that knows three of 24
    clusters (`margin`, `entropy`).
    """
    centres = 3.0 * rng.standard_normal((24, 24))
    classes = rng.permutation(np.arange(24) % 3)
    which = rng.integers(24, size=ITEMS)
    return centres[which] + rng.standard_normal((ITEMS, 24)), classes[which]


def noisy_overlap(rng: np.random.Generator) -> Points:
    """A third of the items lies where labels are a coin toss: what stays uncertain is not worth asking.

    The items of one wide blob around the origin have labels without any relation to their features; the others sit in
    eight clean clusters further out. No label makes the blob predictable, so its margins stay the smallest
    for ever. **Right:** strategies that spread their labels over the pool (`maxherding`, `kcenter`). **Wrong:**
    `margin`, `entropy` and `least-confidence`, which spend the budget inside the blob and fit its noise.
    """
    centres = rng.standard_normal((8, 8))
    centres *= 4.0 / np.linalg.norm(centres, axis=1, keepdims=True)
    classes = rng.permutation(np.arange(8) % 2)
    which = rng.integers(8, size=ITEMS)
    X, y = centres[which] + 0.7 * rng.standard_normal((ITEMS, 8)), classes[which]
    noisy = rng.random(ITEMS) < 0.35
    X[noisy] = 0.8 * rng.standard_normal((int(noisy.sum()), 8))
    y[noisy] = rng.integers(2, size=int(noisy.sum()))
    return X, y


def rare_class(rng: np.random.Generator) -> Points:
    """One item in thirty belongs to a third class beside a large one: look where the model doubts, not where items are.

    Judged by balanced accuracy. The rare class overlaps a little with its large neighbour, and one item of it is in the
    seed set. A random batch of five rarely holds one, and items that represent the pool come from the large classes.
    **Right:** uncertainty (`margin`, `entropy`, `least-confidence`), which goes to the border of the rare class and
    finds its items. **Wrong:** `random`, `maxherding` and whatever represents the pool.
    """
    y = rng.choice(3, size=ITEMS, p=[0.5, 0.467, 0.033])
    centres = np.zeros((3, 10))
    centres[1, 0], centres[2, 1] = 4.5, 3.2
    return centres[y] + rng.standard_normal((ITEMS, 10)), y.astype(np.int64)


def misleading_uncertainty(rng: np.random.Generator) -> Points:
    """An eighth of the items is far from the boundary and on the wrong side of it: confidence is not knowledge.

    Two overlapping clusters make the boundary that the seed labels show. A third cluster of the first class lies deep
    on the side of the second one, moved along another feature, where the model is sure and wrong. **Right:** coverage
    (`kcenter`, `maxherding`, `typiclust`), which asks there because nothing near is labelled. **Wrong:** `margin`,
    `entropy` and `least-confidence`, which see no doubt and never look.
    """
    kind = rng.choice(3, size=ITEMS, p=[0.4, 0.48, 0.12])
    centres = np.zeros((3, 6))
    centres[0, 0], centres[1, 0] = -1.5, 1.5
    centres[2, 0], centres[2, 1] = 4.0, 7.0
    return centres[kind] + rng.standard_normal((ITEMS, 6)), (kind == 1).astype(np.int64)


DIAGNOSES = (
    Diagnosis("redundant-batches", redundant_batches, ("margin-kcenter", "badge", "uherding"), ("margin",)),
    Diagnosis("cold-start", cold_start, ("maxherding", "typiclust", "uherding"), ("margin", "entropy")),
    Diagnosis("noisy-overlap", noisy_overlap, ("maxherding", "kcenter"), ("margin", "entropy")),
    Diagnosis("rare-class", rare_class, ("margin", "entropy"), ("random", "maxherding"), "balanced-accuracy"),
    Diagnosis("misleading-uncertainty", misleading_uncertainty, ("kcenter", "maxherding"), ("margin", "entropy")),
)


def diagnostic_dataset(number: int, name: str) -> Dataset:
    """Variant `number` of the trap `name`, the same on every machine; variants are one family."""
    (diagnosis,) = (d for d in DIAGNOSES if d.name == name)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([number, name_key(name)])))
    X, y = diagnosis.draw(rng)
    classes = tuple(f"class-{label}" for label in range(int(y.max()) + 1))
    features = np.round(X, 5).astype(np.float32)
    return Dataset(f"{name}-{number}", features, y, classes, family=name, source="made up: a task with a known answer")
