"""A comparison as its runs end, one by one."""

from collections import defaultdict
from collections.abc import Iterable

from steepest.compare.analysis.course import Course, course_of, fits
from steepest.compare.records.record import Job, Key, Record
from steepest.compare.spec import Spec


class Following:
    """Knows where a comparison stands while its runs end; looks anew only where that can have changed anything.

    Args:
        spec: what is compared.
        records: runs of it that have ended and count.
    """

    def __init__(self, spec: Spec, records: Iterable[Record]) -> None:
        self.spec = spec
        self._records = {record.key: record for record in records}
        self.course: Course
        self._look()

    def add(self, record: Record) -> bool:
        """A run has ended; whether more is known now of what follows: it was the last of its method and phase."""
        self._records[record.key] = record
        of = self._open[record.method, record.phase]
        of.discard(record.key)
        if of:
            return False
        self._look()
        return True

    def left(self) -> list[Job]:
        """The runs that are known to be needed and have not ended."""
        ended = self._records
        return [job for job in self.course.jobs if job.key not in ended or not fits(job, ended[job.key])]

    def _look(self) -> None:
        self.course = course_of(self.spec, self._records.values())
        self._open: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)
        for job in self.left():
            self._open[job.method, job.phase].add(job.key)
