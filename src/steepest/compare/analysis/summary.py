"""From a study's records to what the report says of each method."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from steepest.compare.analysis.course import Course, course_of
from steepest.compare.analysis.looks import Standings
from steepest.compare.analysis.pairs import scores
from steepest.compare.analysis.search import Search
from steepest.compare.analysis.statistics import Interval, student_interval
from steepest.compare.analysis.verdicts import Comparison, compare
from steepest.compare.records.record import Record
from steepest.compare.spec import MethodSpec, Spec, StudySpec
from steepest.training.definitions.range import Range
from steepest.training.definitions.space import Space

Edge = Literal["lowest", "highest"]


@dataclass(frozen=True)
class Row:
    """All that the report says of one method."""

    method: MethodSpec
    searches: tuple[Search, ...]
    edges: dict[str, Edge]  # of the chosen point: hyperparameter to which end of what was tried
    screened: list[Record]  # short runs
    tuned: list[Record]  # the search's whole runs
    finals: list[Record]
    mean: float | None
    interval: Interval | None
    comparison: Comparison
    evaluations_to_target: float | None  # median over the seeds in the budget's unit, a miss is infinite
    reached: int
    diverged: int
    failed: int
    pruned: int
    runs: int
    seconds: float | None  # median of the final runs
    seeds_asked: int  # final runs that there will be, as far as is known

    @property
    def search(self) -> Search:
        """Its search, or the first of those that cover the luck of it."""
        return self.searches[0]

    @property
    def runs_of_search(self) -> list[Record]:
        """All runs that are not final."""
        return [*self.screened, *self.tuned]

    @property
    def all_chosen(self) -> list[Record]:
        """What the final runs take: one point, unless every seed has a search of its own."""
        found = [search.chosen for search in self.searches]
        return [record for record in found if record is not None]

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
    planned: int  # at most
    standings: Standings

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
    course = course_of(spec, records)
    seeds = course.standings.seeds
    records = [r for r in records if r.phase != "final" or r.trial < seeds[r.method]]
    own = {m.name: [r for r in records if r.method == m.name] for m in spec.methods}
    finals = {name: [r for r in runs if r.phase == "final"] for name, runs in own.items()}
    comparisons = compare(spec, finals, course.standings)
    rows = [_row(spec, m, own[m.name], finals[m.name], comparisons[m.name], course) for m in spec.methods]
    sign = -1 if spec.workload.higher_is_better else 1
    rows.sort(key=lambda row: (row.mean is None, sign * (row.mean or 0.0)))
    return Summary(spec, rows, len(records), course.planned, course.standings)


def _row(
    spec: Spec,
    method: MethodSpec,
    records: list[Record],
    finals: list[Record],
    comparison: Comparison,
    course: Course,
) -> Row:
    searches = course.searches[method.name]
    screened, tuned = ([r for r in records if r.phase == phase] for phase in ("screen", "tune"))
    values = list(scores(finals).values())
    ended = [r for r in finals if r.status != "failed"]
    to_target = [
        math.inf if (at := r.evaluations_to_target) is None else float(spec.paid(method.name, at)) for r in ended
    ]
    seconds = [r.seconds for r in ended if r.seconds is not None]
    return Row(
        method=method,
        searches=searches,
        edges=_find_common_edges(method.space, searches),
        screened=screened,
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
        seeds_asked=0 if searches[0].is_lost else course.standings.seeds[method.name],
    )


def _find_common_edges(space: Space, searches: Sequence[Search]) -> dict[str, Edge]:
    """Find where the points of all searches lie at the same end of what each of them tried."""
    found = [_find_edges(space, search.chosen or search.best, search.first) for search in searches]
    return {name: edge for name, edge in found[0].items() if all(edges.get(name) == edge for edges in found)}


def _find_edges(space: Space, chosen: Record | None, tuned: Sequence[Record]) -> dict[str, Edge]:
    """Find where the chosen point is the lowest or highest that was tried, so that the best may lie outside the
    range; a choice has no ends."""
    found: dict[str, Edge] = {}
    if chosen is None or len(tuned) < 2:
        return found
    for name, value in chosen.hyperparameters.items():
        if not isinstance(space[name], Range):
            continue
        tried = [r.hyperparameters[name] for r in tuned if name in r.hyperparameters]
        if len(set(tried)) > 1 and value in (min(tried), max(tried)):
            found[name] = "lowest" if value == min(tried) else "highest"
    return found
