"""Every method against the baseline: one test, corrected for how many there are."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from steepest.compare.analysis.looks import Stand, Standings
from steepest.compare.analysis.pairs import ROUNDING, differences_of, largest_of, scores
from steepest.compare.analysis.power import detectable_difference
from steepest.compare.analysis.sequential import sequential_p
from steepest.compare.analysis.statistics import (
    CONFIDENCE,
    Interval,
    bootstrap_interval,
    holm,
    interval_at,
    paired_difference,
)
from steepest.compare.records.record import Record
from steepest.compare.spec import Spec, Stopping

Verdict = Literal["better", "worse", "no difference seen", "baseline", "no verdict"]


@dataclass(frozen=True)
class Comparison:
    """A method's test metric against the baseline's, seed by seed.

    ``difference`` is the mean of (method - baseline); its ``interval`` is Student's, paired; ``bootstrap`` is the
    bootstrap's, which decides nothing; ``p_value`` is that of the paired t-test, ``adjusted`` after Holm's correction
    over all methods of the study, on which the verdict rests. ``detectable`` is the difference that this test would
    have found with probability 0.8, ``spread`` the differences' standard deviation. ``None`` where there are too few
    pairs for it.

    Where a study stops early, all of it is as of the method's last look: ``interval`` is the repeated interval of that
    look, ``adjusted`` the sequential p-value after Holm's correction, and ``reason`` says when and why it stopped.
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
    spread: float | None = None


def compare(
    spec: Spec, finals: Mapping[str, Sequence[Record]], standings: Standings | None = None
) -> dict[str, Comparison]:
    """All methods against the baseline.

    Args:
        finals: method name to its final runs.
        standings: what was decided at the looks, where a study stops early.
    """
    if spec.stopping is not None and standings is not None:
        return _compare_in_looks(spec, spec.stopping, finals, standings)
    measured = {name: _measure(spec, name, runs, finals[spec.baseline]) for name, runs in finals.items()}
    tested = [name for name, c in measured.items() if not c.reason and c.verdict == "no verdict"]
    adjusted = holm([p for name in tested if (p := measured[name].p_value) is not None])
    for name, corrected in zip(tested, adjusted, strict=True):
        measured[name] = _judged(spec, measured[name], corrected, len(tested))
    return measured


def _measure(spec: Spec, name: str, runs: Sequence[Record], baseline: Sequence[Record]) -> Comparison:
    """Measure what there is to see, without a verdict; the reason says why there can be none."""
    if name == spec.baseline:
        return Comparison("baseline")
    differences = differences_of(runs, baseline)
    if not differences:
        return Comparison("no verdict", "no pair of finished runs")
    mean, interval, p = paired_difference(differences, ROUNDING * largest_of(runs, baseline))
    both = ((name, runs), (spec.baseline, baseline))
    lost = next((n for n, own in both if len(scores(own)) < len(own)), None)
    reason = ""
    if lost is not None:
        reason = f"runs of {lost} diverged or failed"
    elif p is None:
        alone = len(differences) == 1
        reason = "one seed shows no spread" if alone else "the same difference on every seed shows no spread"
    flat = interval is None or interval.low == interval.high
    return Comparison(
        "no verdict",
        reason,
        len(differences),
        mean,
        interval,
        p,
        bootstrap=None if interval is None else bootstrap_interval(differences),
        spread=None if flat else statistics.stdev(differences),
    )


def _judged(spec: Spec, measured: Comparison, corrected: float, comparisons: int) -> Comparison:
    if measured.difference is None or measured.p_value is None:
        return measured
    alpha = 1 - CONFIDENCE
    taken_back = measured.p_value < alpha <= corrected
    spread = measured.spread
    return replace(
        measured,
        verdict="no difference seen" if corrected >= alpha else _direction(spec, measured.difference),
        reason=f"not after correcting for {comparisons} comparisons" if taken_back else "",
        adjusted=corrected,
        detectable=None if spread is None else detectable_difference(spread, measured.pairs, comparisons),
    )


def _direction(spec: Spec, difference: float) -> Verdict:
    return "better" if (difference > 0) == spec.workload.higher_is_better else "worse"


def _compare_in_looks(
    spec: Spec, stopping: Stopping, finals: Mapping[str, Sequence[Record]], standings: Standings
) -> dict[str, Comparison]:
    """Compare each method on the seeds of the last look that it took part in."""
    base = finals[spec.baseline]
    found = {spec.baseline: Comparison("baseline")}
    for name, stand in standings.methods.items():
        seeds = spec.seeds[: stand.seeds]
        both = [[r for r in runs if r.seed in seeds] for runs in (finals[name], base)]
        found[name] = _measure(spec, name, *both)
    tested = [name for name, stand in standings.methods.items() if stand.end != "lost" and stand.seeds]
    sequential = [sequential_p(standings.methods[name].low, stopping.looks) for name in tested]
    for name, corrected in zip(tested, holm(sequential), strict=True):
        found[name] = _judged_in_looks(spec, stopping, found[name], standings.methods[name], corrected, len(tested))
    return {name: found[name] for name in finals}


def _judged_in_looks(
    spec: Spec, stopping: Stopping, measured: Comparison, stand: Stand, corrected: float, comparisons: int
) -> Comparison:
    seeds = f"{stand.seeds} of {stopping.last} seeds"
    ends = {
        "found": f"after {seeds}",
        "given up": f"given up after {seeds}: less than 1 chance in {1 / stopping.give_up:.0f} of finding one",
        "last look": f"after all {stopping.last} seeds" if len(stopping.looks) > 1 else "",
        "open": f"after {seeds}, still open",
    }
    is_found = stand.end == "found" and measured.difference is not None
    corrected_away = f"not after correcting for {comparisons} comparisons" if stand.low <= stopping.levels[0] else ""
    if measured.p_value is None and not is_found:
        return replace(measured, reason="; ".join(filter(None, (measured.reason, ends[stand.end]))))
    interval = measured.interval
    if measured.spread is not None and measured.difference is not None:
        interval = interval_at(
            measured.difference, measured.spread, stand.seeds, stopping.weight(stand.look) * stopping.levels[0]
        )
    return replace(
        measured,
        verdict=_direction(spec, measured.difference or 0.0) if is_found else "no difference seen",
        reason="; ".join(filter(None, (ends[stand.end], "" if is_found else corrected_away))),
        interval=interval,
        adjusted=corrected,
        detectable=None
        if measured.spread is None
        else detectable_difference(measured.spread, stopping.seeds, comparisons),
    )
