"""Intervals, tests, ranks and aggregates against naive references, and their degenerate cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs
from scipy import stats
from statsmodels.stats.multitest import multipletests

from al_gym.errors import ParameterError
from al_gym.evaluation import statistics as st


def random_scores(policies=3, datasets=8, seeds=5, seed=0):
    rng = np.random.default_rng(seed)
    effect = rng.normal(size=(policies, datasets, 1)) * 0.02
    return 0.7 + effect + rng.normal(size=(policies, datasets, seeds)) * 0.01


def naive_bootstrap(difference, over, replicates, seed):
    """Hierarchical resampling written out: datasets, then the seeds of every drawn copy."""
    rng = np.random.default_rng(seed)
    datasets, seeds = difference.shape
    means = []
    for _ in range(replicates):
        drawn = rng.integers(datasets, size=datasets) if over == "datasets and seeds" else range(datasets)
        means.append(np.mean([difference[d, rng.integers(seeds, size=seeds)].mean() for d in drawn]))
    return np.array(means)


@pytest.mark.parametrize("over", ["datasets and seeds", "seeds"])
def test_bootstrap_has_the_distribution_of_the_naive_one(over):
    first, second, _ = random_scores()
    samples = st.bootstrap_means((first - second)[None], over=over, replicates=4000)[:, 0]
    naive = naive_bootstrap(first - second, over, 4000, seed=1)
    assert stats.ks_2samp(samples, naive).pvalue > 1e-3
    assert samples.std() == pytest.approx(naive.std(), rel=0.06)


def test_the_two_kinds_of_interval_have_different_widths():
    first, second, _ = random_scores()
    difference, wide = st.paired_difference(first, second, over="datasets and seeds")
    same, narrow = st.paired_difference(first, second, over="seeds")
    assert difference == same == pytest.approx((first - second).mean())
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])
    assert wide[0] < difference < wide[1]


@pytest.mark.parametrize("over", ["datasets and seeds", "seeds"])
def test_every_replicate_draws_as_many_campaigns_as_there_are(over):
    counts = st.resample_counts(6, 4, 50, over, np.random.default_rng(0))
    assert counts.shape == (50, 6, 4)
    assert (counts.sum(axis=(1, 2)) == 24).all()
    per_dataset = counts.sum(axis=2)
    assert (per_dataset % 4 == 0).all()
    assert (per_dataset == 4).all() == (over == "seeds")


def test_bootstrap_is_reproducible_and_shared_between_policies():
    scores = random_scores()
    samples = st.bootstrap_means(scores, over="seeds", replicates=600, seed=3)
    np.testing.assert_array_equal(samples, st.bootstrap_means(scores, over="seeds", replicates=600, seed=3))
    assert not np.array_equal(samples, st.bootstrap_means(scores, over="seeds", replicates=600, seed=4))
    paired = st.bootstrap_means((scores[0] - scores[1])[None], over="seeds", replicates=600, seed=3)[:, 0]
    np.testing.assert_allclose(samples[:, 0] - samples[:, 1], paired, atol=1e-12)


def test_intervals_over_datasets_cover_the_true_difference():
    rng = np.random.default_rng(0)
    covered = 0
    for repeat in range(100):
        values = 0.01 + rng.normal(size=(30, 1)) * 0.02 + rng.normal(size=(30, 4)) * 0.02
        low, high = st.paired_difference(values, np.zeros_like(values), seed=repeat)[1]
        covered += low <= 0.01 <= high
    assert 0.89 <= covered / 100 <= 0.99


def test_few_datasets_give_an_interval_over_seeds_and_one_seed_gives_none():
    assert st.interval_kind(5) == "seeds"
    assert st.interval_kind(6) == "datasets and seeds"
    one = random_scores(datasets=1)
    difference, interval = st.paired_difference(one[0], one[1])
    expected = st.percentile_interval(st.bootstrap_means((one[0] - one[1])[None], over="seeds")[:, 0])
    assert interval == expected
    assert interval[0] < difference < interval[1]
    assert st.paired_difference(one[0][:, :1], one[1][:, :1])[1] is None
    many = random_scores(datasets=7, seeds=1)
    assert st.paired_difference(many[0], many[1])[1] is not None
    with pytest.raises(ParameterError, match=r"\(7, 1\)"):
        st.paired_difference(many[0], one[0])


def test_wilcoxon_and_its_degenerate_cases():
    means = random_scores(datasets=12).mean(axis=2)
    assert st.wilcoxon_p(means[0], means[1]) == pytest.approx(stats.wilcoxon(means[0], means[1]).pvalue)
    assert st.wilcoxon_p(means[0], means[1]) == st.wilcoxon_p(means[1], means[0])
    assert st.wilcoxon_p(means[0], means[0] + 1e-15) == 1.0
    assert st.wilcoxon_p(means[0, :1], means[1, :1]) is None
    assert st.wilcoxon_p(np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2, 0.4])) == 1.0  # one difference left


def test_wilcoxon_of_six_wins_is_the_smallest_p_that_can_be():
    first = np.arange(6) + 1.0
    assert st.wilcoxon_p(first, np.zeros(6)) == pytest.approx(2 / 2**6)


@given(hs.lists(hs.none() | hs.floats(0, 1), max_size=8))
def test_holm_keeps_none_order_and_bounds(p_values):
    adjusted = st.holm(p_values)
    assert [p is None for p in adjusted] == [p is None for p in p_values]
    pairs = sorted((p, found) for p, found in zip(p_values, adjusted, strict=True) if p is not None)
    assert all(p <= found <= 1 for p, found in pairs)
    assert [found for _, found in pairs] == sorted(found for _, found in pairs)


@pytest.mark.parametrize("p_values", [[0.03], [0.01, 0.04, 0.02, 0.02], [0.9, 0.8, 0.001], [0.0, 1.0, 0.3, 0.26, 0.25]])
def test_holm_equals_statsmodels(p_values):
    assert st.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert st.holm([None, *p_values])[1:] == st.holm(p_values)


def test_win_tie_loss():
    first = np.array([0.5, 0.5, 0.5, 0.5, 0.5])
    assert st.win_tie_loss(first, first - np.array([0.1, 0.00009, -0.00009, 0.00011, -0.2])) == (2, 2, 1)


def test_mean_ranks_share_ties():
    means = np.array([[0.9, 0.5, 0.3], [0.8, 0.5, 0.4], [0.7, 0.1, 0.4]])
    np.testing.assert_allclose(st.mean_ranks(means), [(1 + 1.5 + 3) / 3, (2 + 1.5 + 1.5) / 3, (3 + 3 + 1.5) / 3])


def test_friedman_and_nemenyi():
    means = random_scores(policies=4).mean(axis=2)
    ranks = st.mean_ranks(means)
    chi2 = 12 * 8 / (4 * 5) * ((ranks**2).sum() - 4 * 25 / 4)
    found = st.friedman(means)
    assert found[0] == pytest.approx(chi2)
    assert found[1] == pytest.approx(stats.chi2.sf(chi2, 3))
    assert st.friedman(np.ones((3, 5))) == (0.0, 1.0)
    assert st.friedman(means[:2]) is None
    assert st.friedman(means[:, :1]) is None
    # Demsar (2006), table 5: q = 1.960 for 2 and 2.569 for 4 classifiers at 0.05
    assert st.nemenyi_critical_difference(4, 14) == pytest.approx(2.569 * np.sqrt(20 / 84), abs=1e-3)
    assert st.nemenyi_critical_difference(2, 10) == pytest.approx(1.960 * np.sqrt(6 / 60), abs=1e-3)
    assert st.nemenyi_critical_difference(1, 10) is None


def test_iqm_and_its_interval():
    values = random_scores()[0]
    ranked = np.sort(values.reshape(-1))
    assert st.iqm(values) == pytest.approx(ranked[10:30].mean())
    low, high = st.iqm_interval(values, over="seeds")
    rng = np.random.default_rng(5)
    naive = [stats.trim_mean(np.concatenate([rng.choice(row, 5) for row in values]), 0.25) for _ in range(1500)]
    np.testing.assert_allclose([low, high], np.quantile(naive, [0.025, 0.975]), atol=8e-4)
    assert st.iqm_interval(values[:1, :1]) is None
    assert st.iqm_interval(np.full((7, 3), 0.25)) == (0.25, 0.25)


def test_probability_of_improvement():
    first, second, _ = random_scores(seeds=6)
    pairs = [stats.mannwhitneyu(a, b).statistic / 36 for a, b in zip(first, second, strict=True)]
    assert st.probability_of_improvement(first, second) == pytest.approx(np.mean(pairs))
    assert st.probability_of_improvement(first, first) == 0.5


@given(hs.lists(hs.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), min_size=1, max_size=9))
def test_performance_profile(thresholds):
    values = np.array([[0.1, 0.25, 0.5], [0.25, 0.9, 1.0]])
    expected = [(values > t).mean() for t in thresholds]
    np.testing.assert_allclose(st.performance_profile(values, np.array(thresholds)), expected)
