"""Known answers."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.compare.analysis.statistics import bootstrap_interval, holm, paired_difference, student_interval


def test_bootstrap_is_reproducible_and_brackets_the_mean():
    values = [0.91, 0.93, 0.95, 0.92, 0.90]
    first = bootstrap_interval(values)
    assert first == bootstrap_interval(values)
    assert min(values) <= first.low < np.mean(values) < first.high <= max(values)


def test_bootstrap_of_a_large_normal_sample_is_the_normal_interval():
    values = np.random.default_rng(0).normal(size=400)
    interval = bootstrap_interval(values.tolist())
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.02)


def test_bootstrap_of_too_little_or_of_no_spread():
    assert bootstrap_interval([0.5]) is None
    assert bootstrap_interval([]) is None
    interval = bootstrap_interval([0.5, 0.5])
    assert (interval.low, interval.high) == (0.5, 0.5)


def test_interval_of_a_mean_by_hand():
    interval = student_interval([0.0, 1.0])  # t with one degree of freedom is Cauchy's: tan(0.475 pi) = 12.706
    assert (interval.low, interval.high) == pytest.approx((0.5 - 12.7062 / 2, 0.5 + 12.7062 / 2), abs=1e-4)
    bounded = student_interval([0.0, 1.0], 0, 1)
    assert (bounded.low, bounded.high) == (0, 1)
    for nothing in ([], [0.5], [0.5, 0.5]):
        assert student_interval(nothing) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12))
def test_paired_difference_is_scipys(differences):
    mean, interval, p = paired_difference(differences, resolution=1e-9)
    assert mean == pytest.approx(np.mean(differences), abs=1e-12)
    if np.ptp(differences) > 1e-9:
        assert interval.low <= mean <= interval.high
        expected = scipy.stats.ttest_1samp(differences, 0)
        assert p == pytest.approx(expected.pvalue, rel=1e-6)
        reference = expected.confidence_interval(0.95)
        assert (interval.low, interval.high) == pytest.approx((reference.low, reference.high), rel=1e-6, abs=1e-12)


def test_paired_difference_at_the_edges():
    assert paired_difference([0.25]) == (0.25, None, None)
    assert paired_difference([0.0, 0.0])[2] == 1.0
    assert paired_difference([0.5, 0.5]) == (0.5, None, None)  # rounded to the same count, or no noise at all: no proof
    nearly = [0.9 - 0.8, 0.8 - 0.7]
    assert paired_difference(nearly)[2] is not None
    assert paired_difference(nearly, resolution=1e-9)[1:] == (None, None)
    assert paired_difference([1e-10, -1e-10], resolution=1e-9)[2] == 1.0


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12), st.floats(0.01, 100))
def test_paired_difference_scales_and_does_not_care_for_the_order(differences, factor):
    mean, interval, p = paired_difference(differences, resolution=1e-6)
    scaled = paired_difference([factor * x for x in sorted(differences)], resolution=factor * 1e-6)
    if np.ptp(differences) > 1.1e-6:
        assert scaled[0] == pytest.approx(factor * mean, abs=1e-9)
        assert (scaled[1].low, scaled[1].high) == pytest.approx(
            (factor * interval.low, factor * interval.high), abs=1e-7
        )
        assert scaled[2] == pytest.approx(p, abs=1e-7)


@settings(deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=12).filter(lambda x: len(set(x)) > 1 and sum(x)))
def test_a_seed_that_agrees_with_the_mean_makes_the_difference_surer(differences):
    before = paired_difference([float(x) for x in differences])
    after = paired_difference([*map(float, differences), float(np.mean(differences))])
    assert after[0] == pytest.approx(before[0])
    assert after[2] < before[2]
    assert after[1].low > before[1].low


@pytest.mark.parametrize(("pairs", "bootstrap_misses"), [(3, 0.18), (5, 0.10), (10, 0.06)])
def test_students_interval_covers_where_a_bootstrap_does_not(pairs, bootstrap_misses):
    draws = np.random.default_rng(7).normal(size=(2000, pairs))
    student = [paired_difference(x.tolist())[1] for x in draws]
    bootstrap = scipy.stats.bootstrap(
        (draws,), np.mean, axis=-1, n_resamples=499, method="BCa", batch=50, rng=np.random.default_rng(8)
    ).confidence_interval
    assert np.mean([i.low <= 0 <= i.high for i in student]) == pytest.approx(0.95, abs=0.015)
    assert np.mean((bootstrap.low > 0) | (bootstrap.high < 0)) > bootstrap_misses


def test_holm_by_hand():
    assert holm([]) == []
    assert holm([0.02]) == [0.02]
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_no_difference_is_claimed_about_as_often_as_promised():
    rng = np.random.default_rng(1)
    claims = sum(paired_difference(rng.normal(size=5).tolist())[2] < 0.05 for _ in range(4000))
    assert claims / 4000 == pytest.approx(0.05, abs=0.012)  # 3.5 standard errors
