"""The luck of the search: by hand, by enumeration, and on searches that are made up."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from steepest.compare.analysis.tuning_curve import assured_best, expected_best, tuning_curve

SCORES = st.lists(st.floats(-10, 10), min_size=1, max_size=8)


@settings(deadline=None)
@given(SCORES)
def test_expected_best_is_the_mean_over_all_subsets(scores):
    for trials in range(1, len(scores) + 1):
        subsets = list(itertools.combinations(scores, trials))
        assert expected_best(scores, trials) == pytest.approx(sum(map(max, subsets)) / len(subsets), abs=1e-9)


@settings(deadline=None)
@given(SCORES, st.floats(0.1, 10), st.floats(-10, 10), st.randoms())
def test_the_curve_rises_to_the_best_and_goes_with_the_scores(scores, factor, shift, random):
    curve = tuning_curve(scores, higher_is_better=True)
    assert list(curve.expected) == pytest.approx(sorted(curve.expected), abs=1e-9)
    assert list(curve.assured) == sorted(curve.assured)
    assert curve.expected[0] == pytest.approx(np.mean(scores), abs=1e-9)
    assert curve.expected[-1] == curve.best == max(scores)
    assert all(low <= x + 1e-9 for low, x in zip(curve.assured, curve.expected, strict=True))
    moved = [factor * x + shift for x in random.sample(scores, len(scores))]
    other = tuning_curve(moved, higher_is_better=True)
    assert other.expected == pytest.approx([factor * x + shift for x in curve.expected], abs=1e-6)
    assert other.assured == pytest.approx([factor * x + shift for x in curve.assured], abs=1e-6)
    lower = tuning_curve([-x for x in scores], higher_is_better=False)
    assert [-x for x in (lower.best, *lower.expected, *lower.assured)] == [curve.best, *curve.expected, *curve.assured]


def test_without_bias_where_draws_with_replacement_have_one():
    rng = np.random.default_rng(0)
    searches = rng.random((4000, 8))
    estimates = {
        "without": np.mean([expected_best(x.tolist(), 6) for x in searches]),
        "with": np.mean(np.sort(searches, axis=1) @ np.diff((np.arange(9) / 8) ** 6)),
    }
    truth = 6 / 7  # the highest of 6 uniform numbers
    assert estimates["without"] == pytest.approx(truth, abs=0.003)
    assert estimates["with"] < truth - 0.01


@pytest.mark.parametrize(("old", "new"), [(3, 3), (4, 2), (5, 3), (6, 6), (8, 4)])
def test_what_is_assured_holds_in_95_of_100_orders(old, new):
    """All orders of old and new trials are equally likely: count those where the new ones hold the promise."""
    orders = [set(places) for places in itertools.combinations(range(old + new), new)]  # higher is better

    def kept(rank):  # the share of orders in which the best new trial beats the old one of that rank
        return np.mean([max(news) > [i for i in range(old + new) if i not in news][-rank] for news in orders])

    promised = assured_best([float(i) for i in range(old)], new)
    rank = old if promised == -math.inf else old - int(promised)
    if promised == -math.inf:
        assert kept(rank) < 0.95
    else:
        assert kept(rank) >= 0.95
        assert rank == 1 or kept(rank - 1) < 0.95


def test_few_trials_promise_nothing():
    assert tuning_curve([0.1, 0.2], True).assured == (-math.inf, -math.inf)
    assert tuning_curve([0.1, 0.2], False).assured == (math.inf, math.inf)
    assert tuning_curve([0.1, 0.2, 0.3], True).assured == (-math.inf, -math.inf, 0.1)


def test_a_run_that_diverged_is_worse_than_any():
    curve = tuning_curve([0.5, None, 0.7, None], higher_is_better=False)
    assert curve.best == 0.5
    assert curve.expected[:2] == (math.inf, math.inf)  # both could have diverged
    assert curve.expected[2:] == (pytest.approx(0.55), 0.5)  # three of the four triples hold 0.5, the other 0.7
    assert tuning_curve([None, None], True).best == -math.inf


def search(rng, kind, trials):
    """Scores over log lr in [0, 1]: a flat top, a cliff to divergence, and the noise of one seed."""
    u = rng.random(trials) if kind == "independent" else qmc.Halton(1, rng=rng).random(trials)[:, 0]
    return 0.97 - 2.4 * (u - 0.62) ** 2 - 0.5 * (u > 0.85) + rng.normal(0, 0.003, trials)


@pytest.mark.parametrize("trials", [4, 8, 16])
def test_promises_hold_for_new_searches_and_even_points_do_better(trials):
    rng = np.random.default_rng(trials)
    half = trials // 2
    for kind in ("independent", "halton"):
        searches = [search(rng, kind, trials) for _ in range(800)]
        for size in (half, trials):
            promises = [assured_best(x.tolist(), size) for x in searches]
            kept = np.mean([new[:size].max() >= p for new, p in zip(searches[1:], promises, strict=False)])
            assert kept >= (0.935 if kind == "independent" else 0.97)
        expected = np.mean([expected_best(x.tolist(), half) for x in searches])
        found = np.mean([x[:half].max() for x in searches])
        if kind == "independent":
            assert expected == pytest.approx(found, abs=0.02)
        else:
            assert expected < found


def test_bad_input():
    with pytest.raises(ValueError, match="at least one score"):
        tuning_curve([], True)
    for trials in (0, 3):
        with pytest.raises(ValueError, match=f"from 1 to the 2 scores, got {trials}"):
            expected_best([1.0, 2.0], trials)


def plainly(scores, higher_is_better):
    """The curve as its definition reads, every number of subsets counted anew."""
    sign, n = (1.0 if higher_is_better else -1.0), len(scores)
    oriented = sorted(-math.inf if score is None else sign * score for score in scores)

    def expected(k):
        subsets = math.comb(n, k)
        return math.fsum(x * (math.comb(i, k - 1) / subsets) for i, x in enumerate(oriented) if i >= k - 1)

    def assured(k):
        shares = (math.comb(n + k - place, k) / math.comb(n + k, k) for place in range(1, n + 1))
        place = next((i for i, share in enumerate(shares, 1) if share <= 0.05 + 1e-12), None)
        return -math.inf if place is None else oriented[-place]

    sizes = range(1, n + 1)
    return [sign * expected(k) for k in sizes], [sign * assured(k) for k in sizes]


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("count", [1, 2, 19, 20, 97, 150])
def test_a_long_curve_is_that_of_the_definition_to_the_last_digit(count, higher_is_better):
    chance = np.random.default_rng(count)
    for scores in (chance.normal(size=count).tolist(), chance.integers(0, 5, size=count).tolist()):
        lost = [None if chance.random() < 0.1 else score for score in scores]
        for each in (scores, lost):
            curve = tuning_curve(each, higher_is_better)
            expected, assured = plainly(each, higher_is_better)
            assert repr(list(curve.expected)) == repr(expected)
            assert repr(list(curve.assured)) == repr(assured)


def test_so_many_trials_that_no_float_holds_their_subsets():
    """An expectation that a lost run makes infinite stays so, however small its share."""
    curve = tuning_curve([None] * 2 + [float(i) for i in range(1100)], higher_is_better=True)
    assert curve.expected[0] == curve.expected[1] == -math.inf
    assert all(math.isfinite(x) for x in curve.expected[2:])
    assert curve.expected[-1] == curve.best == 1099.0
