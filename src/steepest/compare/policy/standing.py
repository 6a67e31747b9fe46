"""Which of a study's records count, as its searches and looks stand."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from steepest.compare.analysis.course import course_of
from steepest.compare.records.record import Record
from steepest.compare.spec import StudySpec


class Counted(NamedTuple):
    """Records that count; ``pending`` ones, which no search or look asks for yet, and which count if one does;
    ``outdated`` ones, of another point than the one that is asked for in their place."""

    records: list[Record]
    pending: list[Record]
    outdated: list[Record]


def counted(study: StudySpec, records: Iterable[Record]) -> Counted:
    """What counts of a study's records: a failed run of a search that is tried again may have changed its choice."""
    records = list(records)
    by_workload: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_workload[record.workload].append(record)
    courses = [course_of(spec, by_workload[spec.name]) for spec in study.comparisons]
    counting = {r.key for course in courses for own in course.records.values() for r in own}
    asked = {job.key for course in courses for job in course.jobs}
    lost = {(s.name, name) for s, c in zip(study.comparisons, courses, strict=True) for name in c.lost}
    found = Counted([], [], [])
    for record in records:
        if record.key in counting:
            found.records.append(record)
        elif record.key in asked or (record.workload, record.method) in lost:
            found.outdated.append(record)
        else:
            found.pending.append(record)
    return found
