"""Which runs are planned, taken and finished: in memory, for the one process that holds the study's folder.

A run is finished when, and only when, ``trials.jsonl`` has its record; nothing else has to be remembered, since what is
planned follows from the spec and what was under way is run again. ``study.db`` has the same once more, for Optuna and
its dashboard and in case that ``trials.jsonl`` is lost: it is written at intervals and in the end, in one transaction.
Where there is a pruner, ``pruning.jsonl`` has what it was asked.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from steepest.compare.records.pruning import Pruning
from steepest.compare.records.record import Job, Key, Record
from steepest.compare.records.recovery import place_of, recovered
from steepest.compare.records.study_file import StudyFile
from steepest.compare.spec import StudySpec

_SAVE_SECONDS = 10.0
_SHARE = 50  # of the time at most goes into saving


class News(NamedTuple):
    """What other hosts have done: runs that ended since, and those that they have under way.

    ``reopened``: runs that had ended are to be run again, so that all records have to be asked for anew.
    """

    records: list[Record]
    elsewhere: set[Key]
    reopened: bool = False


class Runs(Protocol):
    """What a study asks of whoever knows its runs. Every operation may be repeated."""

    def plan(self, jobs: Sequence[Job]) -> None:
        """Enter jobs that are not entered yet."""

    def take(self, job: Job) -> bool:
        """Mark a planned job as running; whether it is ours to run."""

    def give_back(self, job: Job) -> None:
        """Put a run that we took back into the queue."""

    def release(self) -> None:
        """Put runs back into the queue that we took and, being killed, never finished."""

    def is_hopeless(self, job: Job, step: int, metric: float) -> bool:
        """Whether the pruner of a search stops a run, whose validation number ``step`` found this metric.

        What was decided before a run was interrupted holds when it comes there again.
        """

    def finish(self, record: Record) -> Record:
        """Enter a run's record. Whoever is first counts; returns the record that is kept."""

    def reopen(self, records: Iterable[Record]) -> None:
        """Let runs that have ended be run again."""

    def drop(self, records: Iterable[Record]) -> None:
        """Final runs of a point that is no longer chosen count no longer; those of the new one will be planned."""

    def records(self) -> list[Record]:
        """All finished runs, in a fixed order: workload, method, phase, index."""

    def news(self, known: set[Key], *, idle: bool) -> News | None:
        """What others have done since, if it is time to look; ``None`` where there are no others."""

    def shared_invocations(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of all hosts, of which ``entries`` are ours."""


class Ledger:
    """The runs of a study in its folder; only the process that holds the folder's lock may have one.

    Use as a context manager, or close it: then ``study.db`` is whole.

    Args:
        folder: the study's folder, which exists.
        spec: what is studied.
    """

    def __init__(self, folder: Path, spec: StudySpec) -> None:
        self.spec = spec
        self._waiting: dict[Key, Job] = {}
        self._running: dict[Key, Job] = {}
        self._ended = {record.key: record for record in recovered(folder, spec)}
        self._pruning = Pruning(folder, spec)
        self._file = StudyFile(folder, spec)
        self._next_save = time.monotonic() + _SAVE_SECONDS

    def close(self) -> None:
        self.save()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def plan(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if job.key not in self._ended and job.key not in self._running:
                self._waiting.setdefault(job.key, job)

    def take(self, job: Job) -> bool:
        """Mark a planned job as running.

        Raises:
            RuntimeError: it is not waiting, though nobody else can have taken it.
        """
        if self._waiting.pop(job.key, None) is None:
            raise RuntimeError(f"run {job.key} was to be started, but it is not waiting")
        self._running[job.key] = job
        return True

    def give_back(self, job: Job) -> None:
        if self._running.pop(job.key, None) is not None:
            self._waiting[job.key] = job

    def release(self) -> None:
        self._waiting.update(self._running)
        self._running.clear()

    def is_hopeless(self, job: Job, step: int, metric: float) -> bool:
        ended = (record for record in self._ended.values() if record.key[:3] == job.key[:3])
        return self._pruning.is_hopeless(job, step, metric, ended)

    def finish(self, record: Record) -> Record:
        if record.key in self._ended:
            return self._ended[record.key]
        self._waiting.pop(record.key, None)
        self._running.pop(record.key, None)
        self._ended[record.key] = record
        self._pruning.ended(record)
        if time.monotonic() >= self._next_save:
            self.save()
        return record

    def reopen(self, records: Iterable[Record]) -> None:
        for record in records:
            if self._ended.pop(record.key, None) is not None:
                self._pruning.forget(record.key)

    def drop(self, records: Iterable[Record]) -> None:
        self.reopen(records)

    def records(self) -> list[Record]:
        place = place_of(self.spec)
        return sorted(self._ended.values(), key=lambda record: place[record.key])

    def news(self, known: set[Key], *, idle: bool) -> News | None:
        return None

    def shared_invocations(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return entries

    def save(self) -> None:
        """Bring ``study.db`` up to date."""
        began = time.monotonic()
        self._file.save(self._waiting.values(), self._running.values(), self._ended.values(), self._pruning.asked)
        ended = time.monotonic()
        self._next_save = ended + max(_SAVE_SECONDS, _SHARE * (ended - began))
