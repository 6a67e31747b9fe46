"""Error bars: against SciPy, and the edges where nothing is known."""

import math

import pytest
from scipy import stats

from steepest.diagnostics.intervals import interval_of, standard_error, student_quantile


@pytest.mark.parametrize("freedom", [1, 2, 9, 31, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_the_quantile_is_scipys(freedom, confidence):
    expected = stats.t.interval(confidence, freedom)[1]
    assert math.isclose(student_quantile(freedom, confidence), expected, rel_tol=1e-9)


def test_the_interval_is_scipys():
    values = [1.0, 4.0, 2.0, 2.5]
    low, high = interval_of(sum(values) / 4, standard_error(values), 3)
    expected = stats.t.interval(0.95, 3, loc=2.375, scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected)


def test_one_value_says_nothing():
    assert math.isnan(standard_error([1.0]))
    assert math.isnan(standard_error([]))
    for error, freedom in ((math.nan, 3), (math.inf, 3), (1.0, 0)):
        assert interval_of(1.0, error, freedom) == (-math.inf, math.inf)
