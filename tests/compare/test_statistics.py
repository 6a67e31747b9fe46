"""Known answers."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.compare.statistics import bootstrap_interval, holm, paired_difference


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


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12))
def test_paired_difference_is_scipys(differences):
    mean, interval, p = paired_difference(differences)
    assert mean == pytest.approx(np.mean(differences), abs=1e-12)
    assert interval.low <= mean <= interval.high
    if np.std(differences) > 1e-9:
        expected = scipy.stats.ttest_1samp(differences, 0)
        assert p == pytest.approx(expected.pvalue, rel=1e-6)
        reference = expected.confidence_interval(0.95)
        assert (interval.low, interval.high) == pytest.approx((reference.low, reference.high), rel=1e-6, abs=1e-12)


def test_paired_difference_at_the_edges():
    assert paired_difference([0.25]) == (0.25, None, None)
    assert paired_difference([0.0, 0.0])[2] == 1.0
    assert paired_difference([0.5, 0.5])[2] == 0.0


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
