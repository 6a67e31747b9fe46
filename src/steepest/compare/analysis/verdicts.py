"""Every method against the baseline: one test, corrected for how many there are."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from steepest.compare.analysis.power import detectable_difference
from steepest.compare.analysis.statistics import CONFIDENCE, Interval, bootstrap_interval, holm, paired_difference
from steepest.compare.records.record import Record
from steepest.compare.spec import Spec

ROUNDING = 1e-6  # metrics come in single precision: what differs by this fraction is equal
Verdict = Literal["better", "worse", "no difference seen", "baseline", "no verdict"]


@dataclass(frozen=True)
class Comparison:
    """A method's test metric against the baseline's, seed by seed.

    ``difference`` is the mean of (method - baseline); its ``interval`` is Student's, paired; ``bootstrap`` is the
    bootstrap's, which decides nothing; ``p_value`` is that of the paired t-test, ``adjusted`` after Holm's correction
    over all methods of the study, on which the verdict rests. ``detectable`` is the difference that this test would
    have found with probability 0.8. ``None`` where there are too few pairs for it.
    """

    verdict: Verdict
    reason: str = ""
    pairs: int = 0
    difference: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    adjusted: float | None = None
    bootstrap: Interval | None = None
    detectable: float | None = None


def scores(finals: Sequence[Record]) -> dict[int, float]:
    """Test metric by seed, of the final runs that finished."""
    return {r.seed: r.test_metric for r in finals if r.status == "finished" and r.test_metric is not None}


def compare(spec: Spec, finals: Mapping[str, Sequence[Record]]) -> dict[str, Comparison]:
    """All methods against the baseline.

    Args:
        finals: method name to its final runs.
    """
    differences = {name: differences_of(runs, finals[spec.baseline]) for name, runs in finals.items()}
    measured = {name: _measure(spec, name, differences[name], finals) for name in finals}
    tested = [name for name, c in measured.items() if not c.reason and c.verdict == "no verdict"]
    adjusted = holm([p for name in tested if (p := measured[name].p_value) is not None])
    for name, corrected in zip(tested, adjusted, strict=True):
        measured[name] = _judged(spec, measured[name], differences[name], corrected, len(tested))
    return measured


def differences_of(runs: Sequence[Record], baseline: Sequence[Record]) -> list[float]:
    """Test metrics less the baseline's, by seed, where both finished."""
    own, base = scores(runs), scores(baseline)
    return [own[seed] - base[seed] for seed in sorted(own.keys() & base.keys())]


def _measure(spec: Spec, name: str, differences: Sequence[float], finals: Mapping[str, Sequence[Record]]) -> Comparison:
    """Measure what there is to see, without a verdict; the reason says why there can be none."""
    if name == spec.baseline:
        return Comparison("baseline")
    if not differences:
        return Comparison("no verdict", "no pair of finished runs")
    largest = max(abs(x) for n in (name, spec.baseline) for x in scores(finals[n]).values())
    mean, interval, p = paired_difference(differences, ROUNDING * largest)
    lost = next((n for n in (name, spec.baseline) if len(scores(finals[n])) < len(finals[n])), None)
    reason = ""
    if lost is not None:
        reason = f"runs of {lost} diverged or failed"
    elif p is None:
        alone = len(differences) == 1
        reason = "one seed shows no spread" if alone else "the same difference on every seed shows no spread"
    bootstrap = None if interval is None else bootstrap_interval(differences)
    return Comparison("no verdict", reason, len(differences), mean, interval, p, bootstrap=bootstrap)


def _judged(
    spec: Spec, measured: Comparison, differences: Sequence[float], corrected: float, comparisons: int
) -> Comparison:
    if measured.difference is None or measured.p_value is None:
        return measured
    alpha = 1 - CONFIDENCE
    better = (measured.difference > 0) == spec.workload.higher_is_better
    taken_back = measured.p_value < alpha <= corrected
    flat = measured.interval is None or measured.interval.low == measured.interval.high
    return replace(
        measured,
        verdict="no difference seen" if corrected >= alpha else "better" if better else "worse",
        reason=f"not after correcting for {comparisons} comparisons" if taken_back else "",
        adjusted=corrected,
        detectable=None if flat else detectable_difference(statistics.stdev(differences), measured.pairs, comparisons),
    )
