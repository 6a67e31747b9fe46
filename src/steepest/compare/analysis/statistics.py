"""Intervals and tests for a handful of seeds."""

import math
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special
import scipy.stats

CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of what it is about."""

    low: float
    high: float


def student_interval(values: Sequence[float], lowest: float = -math.inf, highest: float = math.inf) -> Interval | None:
    """95 % interval of the mean by Student's t; ``None`` for fewer than two values, or if all are equal.

    Values that are all equal have been rounded, which says nothing of their spread: an accuracy counts samples.

    Args:
        lowest: of all values that can be; the interval does not go below it.
        highest: likewise.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908). :func:`paired_difference` says why not a
    bootstrap.

    Example:
        >>> student_interval([0.97, 0.98, 0.99])
        Interval(low=0.955..., high=1.004...)
        >>> student_interval([0.97, 0.98, 0.99], lowest=0, highest=1)
        Interval(low=0.955..., high=1)
    """
    if len(values) < 2 or len(set(values)) == 1:
        return None
    mean, reach = statistics.fmean(values), _reach(statistics.stdev(values), len(values))
    return Interval(max(lowest, mean - reach), min(highest, mean + reach))


def interval_at(mean: float, deviation: float, n: int, error: float) -> Interval:
    """The interval of a mean of ``n`` values that misses it with this probability, by Student's t.

    At a look's nominal level it is the repeated confidence interval of C. Jennison and B. W. Turnbull, "Interim
    analyses: the repeated confidence interval approach", J. R. Statist. Soc. B 51 (1989).
    """
    reach = _reach(deviation, n, error)
    return Interval(mean - reach, mean + reach)


def _reach(deviation: float, n: int, error: float = 1 - CONFIDENCE) -> float:
    """Compute the distance from the mean of ``n`` values to an end of its interval."""
    return float(scipy.special.stdtrit(n - 1, 1 - error / 2)) * deviation / math.sqrt(n)


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> Interval | None:
    """95 % bootstrap interval of the mean (bias-corrected and accelerated); ``None`` for fewer than two values.

    Source: B. Efron, "Better bootstrap confidence intervals", JASA 82 (1987); ``scipy.stats.bootstrap``.

    Example:
        >>> bootstrap_interval([1.0, 1.0, 1.0])
        Interval(low=1.0, high=1.0)
    """
    if len(values) < 2:
        return None
    if len(set(values)) == 1:  # BCa divides by the spread
        return Interval(values[0], values[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)
        result = scipy.stats.bootstrap(
            (np.asarray(values),),
            np.mean,
            confidence_level=CONFIDENCE,
            n_resamples=BOOTSTRAP_RESAMPLES,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    return None if math.isnan(low) or math.isnan(high) else Interval(low, high)


def paired_difference(
    differences: Sequence[float], resolution: float = 0.0
) -> tuple[float, Interval | None, float | None]:
    """Mean, 95 % interval and p-value of paired differences, by Student's t; what there is no spread for is ``None``.

    One difference has no spread. Nor have several that are all equal: a metric that counts, such as an accuracy over
    359 samples, rounds small differences to the same number (two seeds of identical methods in up to 12 of 100 cases),
    so that this proves nothing. Only where all are 0 is the answer plain.

    Why this test carries the verdict, and not a bootstrap or a permutation: with 3, 5 and 10 pairs of normal noise,
    intervals of the percentile bootstrap hold the truth in 76, 85 and 89 of 100 cases, those of BCa in 73, 85 and 90,
    Student's in 95. Differences between two methods of the same law are symmetric, whatever the law, and then Student's
    errs on the safe side (96 to 97 for heavy tails). A test of signs or ranks cannot get below p = 1/16 with five
    pairs, and so never finds anything. Where one method alone has a skewed law, all of them cover too seldom: Student's
    in 88 to 91 of 100 for an exponential, BCa in 70 to 90.

    Args:
        resolution: numbers that differ by no more than this are taken for equal.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908).

    Example:
        >>> mean, interval, p = paired_difference([0.01, 0.02, 0.03])
        >>> f"{mean:.3f} ({interval.low:.4f} to {interval.high:.4f}), p = {p:.3f}"
        '0.020 (-0.0048 to 0.0448), p = 0.074'
    """
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return mean, None, None
    deviation = statistics.stdev(differences)
    if max(differences) - min(differences) <= resolution or deviation == 0:
        return (mean, Interval(mean, mean), 1.0) if abs(mean) <= resolution else (mean, None, None)
    t = abs(mean) / (deviation / math.sqrt(len(differences)))
    p = 2 * float(scipy.special.stdtr(len(differences) - 1, -t))
    return mean, student_interval(differences), p


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for the number of comparisons (S. Holm, Scand. J. Statist. 6, 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
