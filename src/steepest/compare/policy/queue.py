"""Which runs a study will have, and which of them come next."""

from collections import defaultdict
from collections.abc import Sequence

from steepest.compare.analysis.course import course_of
from steepest.compare.records.record import Job, Record
from steepest.compare.spec import StudySpec


def jobs_left(study: StudySpec, records: Sequence[Record]) -> list[Job]:
    """The runs that can be started once ``records`` are finished, in the order to start them.

    A comparison comes after the other. Its search is first, a point of every method in turn; a method's final runs
    follow once its search is finished.
    """
    by_workload: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_workload[record.workload].append(record)
    found = []
    for spec in study.comparisons:
        course = course_of(spec, by_workload[spec.name])
        done = {record.key for records in course.records.values() for record in records}
        found += [job for job in course.jobs if job.key not in done]
    return found
