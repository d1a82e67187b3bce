"""Comparing policies over datasets and seeds: intervals, tests, ranks and robust aggregates.

Throughout, `scores` is (policies, datasets, seeds) float64 and campaigns with the same dataset and seed are
paired (same split, same seed set). Larger is better. For a claim about new datasets the dataset is the unit
of replication, so tests run over dataset means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from al_gym.errors import ParameterError

FEWEST_DATASETS = 6
"""With fewer datasets a two-sided Wilcoxon test cannot reach p < 0.05, so intervals are over seeds only."""
TIE = 1e-4
"""Two dataset means that differ by less are a tie."""
REPLICATES = 2000
_CHUNK = 250  # replicates resampled at once: bounds memory, and is fixed so that results do not depend on it

Over = Literal["datasets and seeds", "seeds"]
Interval = tuple[float, float]
Floats = NDArray[np.float64]


def interval_kind(n_datasets: int) -> Over:
    """What an interval resamples: seeds alone when the datasets are fewer than `FEWEST_DATASETS`."""
    return "datasets and seeds" if n_datasets >= FEWEST_DATASETS else "seeds"


def resample_counts(
    n_datasets: int, n_seeds: int, replicates: int, over: Over, rng: np.random.Generator
) -> NDArray[np.int64]:
    """How often each campaign enters each bootstrap replicate.

    Hierarchical: datasets are drawn with replacement, then for every drawn copy of a dataset its seeds. The sum of m
    multinomial(S) counts is multinomial(m S), so all copies of one dataset are drawn at once.

    Returns:
        (replicates, datasets, seeds) int64 whose sum over a replicate is datasets * seeds.
    """
    if over == "seeds":
        copies = np.ones((replicates, n_datasets), dtype=np.int64)
    else:
        copies = rng.multinomial(n_datasets, np.full(n_datasets, 1 / n_datasets), size=replicates)
    return rng.multinomial(copies * n_seeds, np.full(n_seeds, 1 / n_seeds))


def bootstrap_means(scores: Floats, *, over: Over, replicates: int = REPLICATES, seed: int = 0) -> Floats:
    """Bootstrap replicates of the mean over datasets of the mean over seeds.

    All policies share the resampled datasets and seeds, so the difference of two columns is the bootstrap of their
    paired difference (Agarwal et al. 2021, NeurIPS: stratified bootstrap; here datasets are resampled too).

    Args:
        scores: (policies, datasets, seeds) float64.
        over: what is resampled.
        replicates: number of bootstrap replicates.
        seed: of the generator owned by this call.

    Returns:
        (replicates, policies) float64.
    """
    rng = np.random.default_rng(seed)
    policies, datasets, seeds = scores.shape
    flat = scores.reshape(policies, -1).T
    parts = []
    for first in range(0, replicates, _CHUNK):
        counts = resample_counts(datasets, seeds, min(_CHUNK, replicates - first), over, rng)
        parts.append(counts.reshape(len(counts), -1) @ flat / (datasets * seeds))
    return np.concatenate(parts)


def percentile_interval(samples: Floats, level: float = 0.95) -> Interval:
    """Percentile bootstrap interval of (replicates,) samples."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def has_replication(n_datasets: int, n_seeds: int, over: Over) -> bool:
    """Whether there is anything to resample: one seed (and one dataset, where datasets count) has no spread."""
    return n_seeds > 1 or (over == "datasets and seeds" and n_datasets > 1)


def paired_difference(
    first: Floats, second: Floats, *, over: Over | None = None, seed: int = 0
) -> tuple[float, Interval | None]:
    """Mean difference of two policies with its 95 % bootstrap interval.

    Args:
        first: (datasets, seeds) float64, scores of the row policy.
        second: the same of the column policy.
        over: what is resampled; by `interval_kind` if None.
        seed: of the bootstrap.

    Returns:
        Difference and interval; None when there is nothing to resample (one seed, few datasets).
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ParameterError(f"Paired scores must both be (datasets, seeds), got {first.shape} and {second.shape}.")
    over = over or interval_kind(len(first))
    difference = (first - second)[None]
    if not has_replication(first.shape[0], first.shape[1], over):
        return float(difference.mean()), None
    return float(difference.mean()), percentile_interval(bootstrap_means(difference, over=over, seed=seed)[:, 0])


def wilcoxon_p(first: Floats, second: Floats) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test over dataset means (Demsar 2006, JMLR 7; zero differences dropped).

    Args:
        first: (datasets,) float64.
        second: (datasets,) float64.

    Returns:
        p; 1.0 when all differences are zero, None for fewer than two datasets.
    """
    difference = np.round(np.asarray(first) - np.asarray(second), 12)
    if len(difference) < 2:
        return None
    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference[difference != 0]).pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment of one family of p values (Holm 1979); None stays None and does not count."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for step, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - step) * p))
        adjusted[i] = highest
    return adjusted


def win_tie_loss(first: Floats, second: Floats, tie: float = TIE) -> tuple[int, int, int]:
    """Datasets on which `first` is ahead, closer than `tie`, and behind; both (datasets,) float64."""
    difference = np.asarray(first) - np.asarray(second)
    equal = np.abs(difference) < tie
    return int((~equal & (difference > 0)).sum()), int(equal.sum()), int((~equal & (difference < 0)).sum())


def mean_ranks(means: Floats) -> Floats:
    """Mean rank of each policy over datasets, 1 is best, equal scores share their mean rank.

    Args:
        means: (policies, datasets) float64.

    Returns:
        (policies,) float64 in 1..policies.
    """
    return np.asarray(stats.rankdata(-np.round(means, 12), axis=0).mean(axis=1), dtype=np.float64)


def friedman(means: Floats) -> tuple[float, float] | None:
    """Friedman's rank test that all policies are alike (Friedman 1937; Demsar 2006).

    Args:
        means: (policies, datasets) float64.

    Returns:
        Chi-square and p; (0, 1) when every dataset ties all policies; None for fewer than 3 policies or 2 datasets.
    """
    policies, datasets = means.shape
    if policies < 3 or datasets < 2:
        return None
    rounded = np.round(means, 12)
    if (rounded == rounded[0]).all():
        return 0.0, 1.0
    result = stats.friedmanchisquare(*rounded)
    return float(result.statistic), float(result.pvalue)


def nemenyi_critical_difference(n_policies: int, n_datasets: int, alpha: float = 0.05) -> float | None:
    """Mean ranks further apart than this differ (Nemenyi 1963; Demsar 2006); None for fewer than two policies."""
    if n_policies < 2 or n_datasets < 1:
        return None
    q = float(stats.studentized_range.ppf(1 - alpha, n_policies, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(n_policies * (n_policies + 1) / (6 * n_datasets)))


def iqm(values: Floats) -> float:
    """Interquartile mean: without the lowest and the highest quarter of all campaigns (Agarwal et al. 2021)."""
    return float(stats.trim_mean(np.asarray(values).reshape(-1), 0.25))


def iqm_interval(
    values: Floats, *, over: Over | None = None, replicates: int = REPLICATES, seed: int = 0
) -> Interval | None:
    """95 % bootstrap interval of the `iqm` of (datasets, seeds) scores; None when there is nothing to resample."""
    over = over or interval_kind(len(values))
    datasets, seeds = values.shape
    if not has_replication(datasets, seeds, over):
        return None
    rng = np.random.default_rng(seed)
    order = np.argsort(values, axis=None)
    cut = int(0.25 * values.size)
    samples = []
    for first in range(0, replicates, _CHUNK):
        counts = resample_counts(datasets, seeds, min(_CHUNK, replicates - first), over, rng).reshape(-1, values.size)[
            :, order
        ]
        kept = np.clip(np.cumsum(counts, axis=1), cut, values.size - cut)
        samples.append(np.diff(kept, prepend=cut, axis=1) @ values.reshape(-1)[order] / (values.size - 2 * cut))
    return percentile_interval(np.concatenate(samples))


def probability_of_improvement(first: Floats, second: Floats) -> float:
    """Chance that a run of `first` beats a run of `second` on a random dataset, ties one half (Agarwal et al. 2021).

    Args:
        first: (datasets, seeds) float64.
        second: (datasets, other seeds) float64.

    Returns:
        Mean over datasets of the Mann-Whitney share, in [0, 1]; 0.5 when all are equal.
    """
    difference = np.round(first[:, :, None] - second[:, None, :], 12)
    return float(((np.sign(difference) + 1) / 2).mean())


def performance_profile(values: Floats, thresholds: Floats) -> Floats:
    """Share of campaigns whose score lies above each threshold (score distribution, Agarwal et al. 2021).

    Args:
        values: (datasets, seeds) float64.
        thresholds: (T,) float64.

    Returns:
        (T,) float64 in [0, 1], not increasing where thresholds increase.
    """
    ranked = np.sort(values, axis=None)
    return 1 - np.searchsorted(ranked, thresholds, side="right") / values.size
