"""The difference that could have been seen."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.compare.analysis.power import detectable_difference
from steepest.compare.analysis.statistics import paired_difference


def test_known_sample_sizes():
    """Half a standard deviation takes 34 pairs and 0.8 take 15, as in Cohen's tables for 5 % and power 0.8."""
    assert detectable_difference(1.0, 34) < 0.5 < detectable_difference(1.0, 33)
    assert detectable_difference(1.0, 15) < 0.8 < detectable_difference(1.0, 14)
    assert detectable_difference(1.0, 1000) == pytest.approx((1.959964 + 0.841621) / math.sqrt(1000), rel=0.003)


@pytest.mark.parametrize("pairs", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("comparisons", [1, 7])
@pytest.mark.slow
def test_what_is_detectable_is_found_8_times_in_10(pairs, comparisons):
    gap = detectable_difference(0.3, pairs, comparisons)
    assert math.isfinite(gap)
    draws = np.random.default_rng(pairs).normal(gap, 0.3, size=(1500, pairs))
    found = np.mean([paired_difference(x.tolist())[2] < 0.05 / comparisons for x in draws])
    assert found == pytest.approx(0.8, abs=0.03)  # 3 standard errors


@settings(deadline=None)
@given(st.floats(1e-6, 1e6), st.integers(2, 50), st.integers(1, 30))
def test_more_seeds_see_more_and_more_comparisons_less(spread, pairs, comparisons):
    size = detectable_difference(spread, pairs, comparisons)
    assert size == pytest.approx(spread * detectable_difference(1.0, pairs, comparisons))
    assert (
        detectable_difference(spread, pairs + 1, comparisons)
        < size
        < detectable_difference(spread, pairs, comparisons + 1)
    )


@pytest.mark.parametrize(("pairs", "comparisons"), [(1, 1), (5, 0)])
def test_too_little_to_say(pairs, comparisons):
    with pytest.raises(ValueError, match="at least 2 pairs and 1 comparison"):
        detectable_difference(1.0, pairs, comparisons)
