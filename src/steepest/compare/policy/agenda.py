"""The queue of a study: what can be started now, in the order to start it."""

import heapq
from collections.abc import Iterable

from steepest.compare.records.record import Job, Key
from steepest.compare.spec import PHASES, StudySpec

_Place = tuple[int, int, int, int, int]


class Agenda:
    """A comparison comes after the other. Its search is first, a point of every method in turn, short runs before whole
    ones; then the final runs, a seed of every method in turn. Runs whose process died come last: whatever killed it may
    be over by then."""

    def __init__(self, study: StudySpec) -> None:
        self._methods = {
            (spec.name, method.name): (i, j)
            for i, spec in enumerate(study.comparisons)
            for j, method in enumerate(spec.methods)
        }
        self._heap: list[tuple[_Place, Job]] = []
        self._keys: set[Key] = set()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, jobs: Iterable[Job], deaths: int = 0) -> None:
        """Jobs that can be started, unless they are waiting already; ``deaths`` of their process in a row."""
        for job in jobs:
            if job.key not in self._keys:
                comparison, method = self._methods[job.workload, job.method]
                place = (deaths, comparison, PHASES.index(job.phase), job.index, method)
                heapq.heappush(self._heap, (place, job))
                self._keys.add(job.key)

    def pop(self) -> Job:
        """The next job."""
        _, job = heapq.heappop(self._heap)
        self._keys.remove(job.key)
        return job
