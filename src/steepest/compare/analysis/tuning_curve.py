"""The luck of the search: what a search of so many trials finds, judged by the trials that were made."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from steepest.compare.analysis.statistics import CONFIDENCE


@dataclass(frozen=True)
class TuningCurve:
    """A method's search, by its number of trials, from 1 to all that were made.

    ``expected`` is the best score that a search of so many trials is expected to find, ``assured`` what a new one finds
    or beats in 95 of 100 cases; infinite, to the bad side, where the trials do not tell.
    """

    best: float
    expected: tuple[float, ...]
    assured: tuple[float, ...]


def tuning_curve(scores: Sequence[float | None], higher_is_better: bool) -> TuningCurve:
    """The curve of a search's scores; ``None`` is a run that diverged or failed, which is worse than any other.

    Note:
        The trials are taken for independent draws from the search space. They are the points of a scrambled Halton
        sequence instead, which are spread more evenly: a search by them misses a good region no more often than one by
        independent points, so that ``expected`` for fewer trials than were made, and ``assured``, err on the safe side.
        Methods with equal spaces try equal points on an equal seed, and so share their luck: that two curves' bands
        overlap says nothing about which method is better.

    Raises:
        ValueError: there are no scores.

    Example:
        >>> curve = tuning_curve([0.6, 0.9, None, 0.8], higher_is_better=True)
        >>> curve.best, [f"{x:.3f}" for x in curve.expected], curve.assured
        (0.9, ['-inf', '0.817', '0.875', '0.900'], (-inf, -inf, -inf, -inf))
    """
    if not scores:
        raise ValueError("a tuning curve takes at least one score, got none")
    return _tuning_curve(tuple(scores), higher_is_better)


@functools.lru_cache(maxsize=512)  # a report asks for the same curve in a dozen places
def _tuning_curve(scores: tuple[float | None, ...], higher_is_better: bool) -> TuningCurve:
    sign = 1.0 if higher_is_better else -1.0
    oriented = sorted(-math.inf if score is None else sign * score for score in scores)
    sizes = range(1, len(scores) + 1)
    return TuningCurve(
        best=sign * oriented[-1],
        expected=tuple(sign * _compute_expected_best(oriented, size) for size in sizes),
        assured=tuple(sign * _find_assured_best(oriented, size) for size in sizes),
    )


def expected_best(scores: Sequence[float], trials: int) -> float:
    """Mean of the highest score over all subsets of so many of the scores: without replacement, and so unbiased.

    Drawing with replacement, as Dodge et al. first did, lets a subset hold the same trial twice, and so finds too
    little: as many draws as there are trials hit only 63 of 100 of them. Without replacement, the answer for all the
    trials is their best score itself: nothing more can be had from them without bias.

    Args:
        scores: higher is better; minus infinity for a run without a score.
        trials: from 1 to the number of scores.

    Raises:
        ValueError: there are fewer scores than that, or no trials.

    Source: J. Dodge et al., "Show your work" (EMNLP 2019); R. Tang et al., "Showing your work doesn't always work" (ACL
    2020), the unbiased estimator.

    Example:
        >>> expected_best([1.0, 2.0, 6.0], 2)  # of the pairs' best: 2, 6 and 6
        4.666666666666667
    """
    if not 1 <= trials <= len(scores):
        raise ValueError(f"the trials must be from 1 to the {len(scores)} scores, got {trials}")
    return _compute_expected_best(sorted(scores), trials)


def _compute_expected_best(ascending: Sequence[float], trials: int) -> float:
    """Compute the same for scores in order.

    The score at place i, counted from the worst, is the best of a subset whose other trials are among the i before. Of
    subsets there are too many for floats, and the exact number of a place follows from that of the place above.
    """
    if ascending[trials - 1] == -math.inf:
        return -math.inf
    count = math.comb(len(ascending), trials)
    subsets = math.comb(len(ascending) - 1, trials - 1)
    terms = []
    for i in range(len(ascending) - 1, trials - 2, -1):
        share = subsets / count
        if share == 0.0:  # below the smallest float, as are those of all places below
            break
        terms.append(ascending[i] * share)
        subsets = subsets * (i - trials + 1) // max(i, 1)
    return math.fsum(terms)


def assured_best(scores: Sequence[float], trials: int) -> float:
    """The highest of the scores that a new search of so many trials finds or beats in at least 95 of 100 cases.

    Old and new trials are equally likely to come in any order, so that the best few of all are old ones with a
    probability that depends on no distribution. Minus infinity if even the worst score cannot be promised. The
    other side is open: a new search of the same size is as likely to do better than this one as to do worse, and
    these trials cannot say how much better.

    Source: S. S. Wilks, "Statistical prediction with special reference to the problem of tolerance limits" (1942).

    Example:
        >>> assured_best([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 8)  # 8/16 * 7/15 * 6/14 * 5/13 = 0.04
        5.0
    """
    return _find_assured_best(sorted(scores), trials)


def _find_assured_best(ascending: Sequence[float], trials: int) -> float:
    """Find the same for scores in order; numbers of orders are exact, and that of a place follows from that of the
    place above."""
    n = len(ascending)
    orders = beaten = math.comb(n + trials, trials)
    for place in range(1, n + 1):
        beaten = beaten * (n - place + 1) // (n + trials - place + 1)
        if beaten / orders <= 1 - CONFIDENCE + 1e-12:
            return ascending[n - place]
    return -math.inf
