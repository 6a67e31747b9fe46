"""Any two methods against each other, and not only each against the baseline."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from steepest.compare.analysis.pairs import ROUNDING, differences_of, largest_of, scores
from steepest.compare.analysis.sequential import sequential_p
from steepest.compare.analysis.statistics import CONFIDENCE, Interval, holm, interval_at, paired_difference
from steepest.compare.records.record import Record
from steepest.compare.spec import Spec, Stopping


class Tested(NamedTuple):
    """Two methods on the seeds that both finished: mean difference, its interval and p-value, and the seeds."""

    difference: float
    interval: Interval | None
    p_value: float | None
    seeds: int


@dataclass(frozen=True)
class Pair:
    """``first`` less ``second``; ``adjusted`` is the p-value after Holm's correction over all pairs."""

    first: str
    second: str
    tested: Tested
    adjusted: float | None = None

    @property
    def better(self) -> str | None:
        """Which has the higher mean, if the difference was found."""
        if self.adjusted is None or self.adjusted >= 1 - CONFIDENCE:
            return None
        return self.first if self.tested.difference > 0 else self.second


def compare_pair(spec: Spec, one: Sequence[Record], other: Sequence[Record]) -> Tested | None:
    """The paired t-test of two methods; ``None`` if no seed was finished by both.

    Where the study stops early the p-value is the sequential one over the looks that both methods took part in, and the
    interval that of the last of them: both hold whenever, and for whatever reason, one of the two stopped.
    """
    if spec.stopping is None:
        found = differences_of(one, other)
        if not found:
            return None
        mean, interval, p = paired_difference(found, ROUNDING * largest_of(one, other))
        return Tested(mean, interval, p, len(found))
    return _test_in_looks(spec, spec.stopping, one, other)


def _test_in_looks(spec: Spec, stopping: Stopping, one: Sequence[Record], other: Sequence[Record]) -> Tested | None:
    known = scores(one).keys() & scores(other).keys()
    low, last = float("inf"), None
    for look, seeds in enumerate(stopping.looks):
        own = spec.seeds[:seeds]
        if not known.issuperset(own):
            break
        pair = [[r for r in runs if r.seed in own] for runs in (one, other)]
        differences = differences_of(*pair)
        mean, interval, p = paired_difference(differences, ROUNDING * largest_of(*pair))
        if p is not None:
            low = min(low, p / stopping.weight(look))
        if interval is not None and interval.low < interval.high:
            error = stopping.weight(look) * stopping.levels[0] if stopping.levels else 1 - CONFIDENCE
            interval = interval_at(mean, statistics.stdev(differences), seeds, error)
        last = Tested(mean, interval, None if low == float("inf") else sequential_p(low, stopping.looks), seeds)
    return last


def all_pairs(spec: Spec, finals: Mapping[str, Sequence[Record]]) -> list[Pair]:
    """Every two methods that lost no run, in the order of ``finals``; p-values are corrected for all of them.

    Args:
        finals: method name to its final runs.
    """
    whole = [name for name, runs in finals.items() if runs and len(scores(runs)) == len(runs)]
    tested = [
        Pair(a, b, found)
        for a, b in itertools.combinations(whole, 2)
        if (found := compare_pair(spec, finals[a], finals[b])) is not None
    ]
    known = [i for i, pair in enumerate(tested) if pair.tested.p_value is not None]
    corrected = dict(zip(known, holm([tested[i].tested.p_value or 0.0 for i in known]), strict=True))
    return [Pair(p.first, p.second, p.tested, corrected.get(i)) for i, p in enumerate(tested)]
