"""From a study's records to what the report says of each method."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from steepest.compare.analysis.choice import Search, search_of
from steepest.compare.analysis.statistics import Interval, student_interval
from steepest.compare.analysis.verdicts import Comparison, compare, scores
from steepest.compare.records.record import Record
from steepest.compare.spec import MethodSpec, Spec, StudySpec

Edge = Literal["lowest", "highest"]


@dataclass(frozen=True)
class Row:
    """All that the report says of one method."""

    method: MethodSpec
    search: Search
    edges: dict[str, Edge]  # of the chosen point: hyperparameter to which end of what was tried
    tuned: list[Record]
    finals: list[Record]
    mean: float | None
    interval: Interval | None
    comparison: Comparison
    evaluations_to_target: float | None  # median over the seeds, a miss is infinite; None without final runs
    reached: int
    diverged: int
    failed: int
    pruned: int
    runs: int
    seconds: float | None  # median of the final runs

    @property
    def chosen(self) -> Record | None:
        """The search's point; before it is over, the best so far."""
        return self.search.chosen or self.search.best

    @property
    def seeds(self) -> int:
        """Final runs behind the mean."""
        return len(scores(self.finals))


@dataclass(frozen=True)
class Summary:
    """A study's result; the rows are ordered by mean test metric, best first."""

    spec: Spec
    rows: list[Row]
    finished: int
    planned: int

    @property
    def complete(self) -> bool:
        return self.finished == self.planned

    @property
    def baseline(self) -> Row:
        return next(row for row in self.rows if row.method.name == self.spec.baseline)


def summarize_study(study: StudySpec, records: Sequence[Record]) -> list[Summary]:
    """Every comparison of a study, in its order."""
    return [summarize(spec, [r for r in records if r.workload == spec.name]) for spec in study.comparisons]


def summarize(spec: Spec, records: Sequence[Record]) -> Summary:
    """All that the report shows of a comparison, from its spec and its finished runs, complete or not."""
    finals = {m.name: [r for r in records if r.method == m.name and r.phase == "final"] for m in spec.methods}
    comparisons = compare(spec, finals)
    rows = [
        _row(spec, m, [r for r in records if r.method == m.name], finals[m.name], comparisons[m.name])
        for m in spec.methods
    ]
    sign = -1 if spec.workload.higher_is_better else 1
    rows.sort(key=lambda row: (row.mean is None, sign * (row.mean or 0.0)))
    return Summary(spec, rows, len(records), sum(row.search.planned for row in rows))


def _row(spec: Spec, method: MethodSpec, records: list[Record], finals: list[Record], comparison: Comparison) -> Row:
    tuned = [r for r in records if r.phase == "tune"]
    search = search_of(spec, tuned)
    values = list(scores(finals).values())
    ended = [r for r in finals if r.status != "failed"]
    to_target = [math.inf if r.evaluations_to_target is None else float(r.evaluations_to_target) for r in ended]
    seconds = [r.seconds for r in ended if r.seconds is not None]
    return Row(
        method=method,
        search=search,
        edges=_find_edges(search.chosen or search.best, tuned),
        tuned=tuned,
        finals=finals,
        mean=statistics.fmean(values) if values else None,
        interval=student_interval(values, *((0, 1) if spec.workload.percent else ())),
        comparison=comparison,
        evaluations_to_target=statistics.median(to_target) if to_target else None,
        reached=sum(math.isfinite(x) for x in to_target),
        diverged=sum(r.status == "diverged" for r in records),
        failed=sum(r.status == "failed" for r in records),
        pruned=sum(r.status == "pruned" for r in records),
        runs=len(records),
        seconds=statistics.median(seconds) if seconds else None,
    )


def _find_edges(chosen: Record | None, tuned: Sequence[Record]) -> dict[str, Edge]:
    """Find where the chosen point is the lowest or highest that was tried, so that the best may lie outside the
    range."""
    found: dict[str, Edge] = {}
    if chosen is None or len(tuned) < 2:
        return found
    for name, value in chosen.hyperparameters.items():
        tried = [r.hyperparameters[name] for r in tuned]
        if value in (min(tried), max(tried)):
            found[name] = "lowest" if value == min(tried) else "highest"
    return found
