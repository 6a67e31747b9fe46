"""The loop of a study: what can be started is started, and what ends is remembered."""

import contextlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from steepest._errors import StudyError
from steepest.compare.analysis.course import fits
from steepest.compare.identity.checks import refusal_in
from steepest.compare.policy.agenda import Agenda
from steepest.compare.policy.following import Following
from steepest.compare.policy.standing import counted
from steepest.compare.records.ledger import Runs
from steepest.compare.records.lines import append_record, note_attempts
from steepest.compare.records.record import Job, Key, Record, may_be_pruned, record_of
from steepest.compare.records.retries import StorageAwayError
from steepest.compare.running.beginnings import FILE as BEGINNINGS
from steepest.compare.running.beginnings import Beginnings
from steepest.compare.running.deaths import Deaths
from steepest.compare.running.pool import Event, Pool
from steepest.compare.spec import StudySpec
from steepest.training.definitions.outcome import Progress
from steepest.training.loop.checkpoint import checkpoint_path

_POLL_SECONDS = 0.2
_SYNC_SECONDS = 1.0  # a power failure costs the runs that ended in so short a time, where they are many


class Listener(Protocol):
    """Who is told what happens while a study runs."""

    def begin(self, study: StudySpec, records: Sequence[Record]) -> None:
        """The study starts, or goes on with these finished runs."""

    def started(self, job: Job) -> None: ...

    def progressed(self, job: Job, fraction: float) -> None: ...

    def died(self, job: Job) -> None:
        """The process of a run is gone; the run will be started again."""

    def ended(self, record: Record) -> None:
        """A run has ended, here or on another host."""

    def waiting(self, elsewhere: int) -> None:
        """So many runs are under way on other hosts."""


class Driver:
    """Keeps the workers busy until nothing is left, here or elsewhere. ``records`` grows with what ends.

    Args:
        study: what is studied.
        folder: where every record is written first.
        runs: what is planned, taken and finished.
        pool: who does the jobs.
        records: of the runs that have ended.
        listener: is told.
    """

    def __init__(
        self,
        study: StudySpec,
        folder: Path,
        runs: Runs,
        pool: Pool[Any],
        records: list[Record],
        listener: Listener,
    ) -> None:
        self._study = study
        self._folder = folder
        self._runs = runs
        self._pool = pool
        self._records = records
        self._listener = listener
        self._pending: dict[Key, Record] = {}  # runs that nothing asks for yet
        self._elsewhere: set[Key] = set()  # what other hosts have under way
        self._deaths = Deaths()
        self._synced = -float("inf")
        self._beginnings = Beginnings(folder / BEGINNINGS)
        self._planned: dict[Key, Job] = {}
        self._restart()

    def _restart(self) -> None:
        """Find out anew what is known and what is left."""
        known = counted(self._study, {r.key: r for r in [*self._pending.values(), *self._records]}.values())
        self._records[:] = known.records
        self._pending = {record.key: record for record in known.pending}
        self._known = {record.key for record in [*known.records, *known.pending]}
        self._set_aside(known.outdated)
        self._following = {
            spec.name: Following(spec, [r for r in self._records if r.workload == spec.name])
            for spec in self._study.comparisons
        }
        self._left = Agenda(self._study)
        for following in self._following.values():
            self._enter(following.left())

    def _enter(self, jobs: Sequence[Job]) -> None:
        """Plan what is new among jobs that can be started, and let it wait for a worker."""
        new = {job.key: job for job in jobs if self._planned.get(job.key) != job}
        self._runs.plan([*new.values()])
        self._planned.update(new)
        under_way = {job.key for job in self._pool.running} | self._elsewhere
        for job in jobs:
            if job.key not in under_way:
                self._left.add([job], self._deaths[job.key])

    def run(self, interrupted: threading.Event) -> None:
        """Until all is finished, or the event is set.

        Raises:
            StorageAwayError: the storage stayed away; the folder has all that ended until now.
        """
        try:
            self._loop(interrupted)
        except StorageAwayError:
            for event in self._pool.events(0):
                if event.record is not None:
                    append_record(self._folder, event.record)
            raise

    def _loop(self, interrupted: threading.Event) -> None:
        while not interrupted.is_set():
            self._hear()
            self._fill()
            if not (self._pool.running or self._left or self._elsewhere):
                return
            if not self._pool.running:
                interrupted.wait(_POLL_SECONDS)
            for event in self._pool.events(_POLL_SECONDS):
                self._handle(event)

    def _fill(self) -> None:
        """Give every free worker a run."""
        while self._pool.free and self._left:
            job = self._left.pop()
            if self._runs.take(job):
                self._pool.submit(job)
                self._listener.started(job)
            else:
                self._elsewhere.add(job.key)

    def _hear(self) -> None:
        """Take in what others have done since."""
        news = self._runs.news(self._known, idle=bool(self._pool.free and not self._left))
        if news is None:
            return
        if news.reopened:
            self._records[:], self._pending = self._runs.records(), {}
        else:
            self._elsewhere = news.elsewhere
        for record in news.records:
            append_record(self._folder, record)
            self._records.append(record)
            self._listener.ended(record)
        self._listener.waiting(len(self._elsewhere))
        self._restart()

    def _handle(self, event: Event) -> None:
        key = event.job.key
        if event.progress is not None:
            fraction = event.progress.fraction
            self._deaths.got_to(key, fraction)
            self._listener.progressed(event.job, fraction)
            if may_be_pruned(self._study, key):
                self._pool.answer(event.job, stop=self._is_hopeless(event.job, event.progress))
        elif event.record is not None:
            if (sentence := refusal_in(event.record.error)) is not None:  # of the study, and no failure of the run
                raise StudyError(sentence)
            self._deaths.ended()
            self._end(event.record)
        else:
            error = self._deaths.died(key, event.reason)
            if error is None:
                self._runs.give_back(event.job)
                self._listener.died(event.job)
                self._left.add([event.job], self._deaths[key])
            else:
                self._end(record_of(event.job, time.time(), {"status": "failed", "error": error}))
                self._deaths.check_hope()

    def _is_hopeless(self, job: Job, seen: Progress) -> bool:
        """Ask the pruner; a run at its end is not stopped any more."""
        spec = self._study.comparison(job.workload)
        step = spec.pruning_step(job.method, seen.gradient_evaluations, seen.validations)
        return seen.fraction < 1 and self._runs.is_hopeless(job, step, seen.validation_metric)

    def _end(self, record: Record) -> None:
        """Record a run that has ended. The folder has the record before the storage has: it is not lost if that is away
        for good. The worker has its next run before either the storage or the display is served: it need not wait for a
        disk."""
        self._check_weights(record)
        now = time.monotonic()
        sync = now - self._synced > _SYNC_SECONDS
        append_record(self._folder, record, sync=sync)
        self._synced = now if sync else self._synced
        self._fill()
        kept = self._runs.finish(record)
        with contextlib.suppress(OSError):
            checkpoint_path(self._folder, *record.key).unlink(missing_ok=True)
        if kept != record:  # another host was faster
            append_record(self._folder, kept)
        self._add(kept)

    def _check_weights(self, record: Record) -> None:
        """Compare the weights that a run began from with those of the runs before it.

        Raises:
            StudyError: a run of the same model and seed began from other weights, so that none can be compared.
        """
        workload = self._study.comparison(record.workload).workload
        if (other := self._beginnings.add(workload.name, record)) is not None:
            raise StudyError(
                f"runs on {workload.name!r} with seed {record.seed} began from different weights (of {other} and of "
                f"{record.method}); its model must draw them from torch's global generator alone, whatever the "
                f"process, the time and the runs before"
            )

    def _add(self, record: Record) -> None:
        self._records.append(record)
        self._known.add(record.key)
        self._listener.ended(record)
        following = self._following[record.workload]
        if following.add(record):
            self._follow(following)

    def _follow(self, following: Following) -> None:
        """Enter what is known to be needed by now, but for what has been run before and waits to count."""
        jobs = {job.key: job for job in following.left()}
        own = [record for record in self._pending.values() if record.workload == following.spec.name]
        asked = {r.key: r for r in own if r.key in jobs or r.method in following.course.lost}
        still = {key: record for key, record in asked.items() if key in jobs and fits(jobs[key], record)}
        outdated = asked.keys() - still.keys()
        self._pending = {key: record for key, record in self._pending.items() if key not in outdated}
        self._set_aside([record for key, record in asked.items() if key in outdated])
        self._enter([job for key, job in jobs.items() if key not in still])
        for key, record in still.items():
            if self._pending.pop(key, None) is not None:  # else one before it has brought this one on
                self._add(self._runs.finish(record))

    def _set_aside(self, outdated: Sequence[Record]) -> None:
        """Set aside runs of a point that is not asked for any more."""
        note_attempts(self._folder, outdated, "another point was chosen")
        self._runs.drop(outdated)
        for record in outdated:
            self._planned.pop(record.key, None)
            self._known.discard(record.key)
