"""The loop of a study: what can be started is started, and what ends is remembered."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from steepest._errors import StudyError
from steepest.compare.analysis.summary import choose
from steepest.compare.identity import refusal_in
from steepest.compare.running import folder as study_folder
from steepest.compare.running.checkpoint import checkpoint_path
from steepest.compare.running.deaths import Deaths
from steepest.compare.running.jobs import Job, Key, Record, may_be_pruned, record_of
from steepest.compare.running.ledger import Ledger
from steepest.compare.running.patience import StorageAwayError
from steepest.compare.running.pool import Event, Pool
from steepest.compare.running.train import Progress
from steepest.compare.spec import Spec, StudySpec

_POLL_SECONDS = 0.2


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


def jobs_left(study: StudySpec, records: Sequence[Record]) -> list[Job]:
    """The runs that can be started once ``records`` are finished, in the order to start them.

    A comparison comes after the other. Its search is first, a point of every method in turn; a method's final runs
    follow once its search is finished.
    """
    done = {record.key for record in records}
    return [job for spec in study.comparisons for job in _jobs(spec, records) if job.key not in done]


def _jobs(spec: Spec, records: Sequence[Record]) -> list[Job]:
    searches: list[Job] = []
    finals: list[Job] = []
    points = {m.name: spec.points(m) for m in spec.methods}
    for i in range(spec.trials):
        searches += [Job(spec.name, m.name, "tune", i, spec.tuning_seed, points[m.name][i]) for m in spec.methods]
    chosen = {}
    for m in spec.methods:
        tuned = [r for r in records if (r.workload, r.method, r.phase) == (spec.name, m.name, "tune")]
        if len(tuned) == spec.trials and (best := choose(spec, tuned)) is not None:
            chosen[m.name] = best.hyperparameters
    for i, seed in enumerate(spec.seeds):
        finals += [Job(spec.name, name, "final", i, seed, point) for name, point in chosen.items()]
    return [*searches, *finals]


class Driver:
    """Keeps the workers busy until nothing is left, here or elsewhere. ``records`` grows with what ends."""

    def __init__(
        self, study: StudySpec, folder: Path, ledger: Ledger, pool: Pool[Any], records: list[Record], listener: Listener
    ) -> None:
        self._study = study
        self._folder = folder
        self._ledger = ledger
        self._pool = pool
        self._records = records
        self._listener = listener
        self._elsewhere: set[Key] = set()  # what other hosts have under way
        self._deaths = Deaths()
        self._left = self._startable()

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
                    study_folder.append_record(self._folder, event.record)
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

    def _startable(self) -> list[Job]:
        """Runs whose process died come last: whatever killed it may be over by then."""
        under_way = {job.key for job in self._pool.running} | self._elsewhere
        left = [job for job in jobs_left(self._study, self._records) if job.key not in under_way]
        return sorted(left, key=lambda job: self._deaths[job.key])

    def _fill(self) -> None:
        """Give every free worker a run."""
        while self._pool.free and self._left:
            job = self._left.pop(0)
            if self._ledger.take(job):
                self._pool.submit(job)
                self._listener.started(job)
            else:
                self._elsewhere.add(job.key)

    def _hear(self) -> None:
        """What others did since."""
        known = {record.key for record in self._records}
        news = self._ledger.news(known, idle=bool(self._pool.free and not self._left))
        if news is None:
            return
        self._elsewhere = news.elsewhere
        for record in news.records:
            study_folder.append_record(self._folder, record)
            self._records.append(record)
            self._listener.ended(record)
        self._listener.waiting(len(self._elsewhere))
        self._plan()

    def _plan(self) -> None:
        self._left = self._startable()
        self._ledger.plan([job for job in self._left if job.phase == "final"])

    def _handle(self, event: Event) -> None:
        key = event.job.key
        if event.kind == "progress":
            assert event.progress is not None
            fraction = event.progress.fraction
            self._deaths.got_to(key, fraction)
            self._listener.progressed(event.job, fraction)
            if may_be_pruned(self._study, event.job):
                self._pool.answer(event.job, stop=self._is_hopeless(event.job, event.progress))
        elif event.record is not None:
            if (sentence := refusal_in(event.record.error)) is not None:  # of the study, and no failure of the run
                raise StudyError(sentence)
            self._deaths.ended()
            self._end(event.record)
        else:
            error = self._deaths.died(key, event.reason)
            if error is None:
                self._ledger.give_back(event.job)
                self._listener.died(event.job)
                self._left = self._startable()
            else:
                self._end(record_of(event.job, time.time(), {"status": "failed", "error": error}))
                self._deaths.check_hope()

    def _is_hopeless(self, job: Job, seen: Progress) -> bool:
        """What the pruner says; a run at its end is not stopped any more."""
        spec = self._study.comparison(job.workload)
        step = seen.gradient_evaluations * spec.epochs // spec.gradient_evaluations
        return seen.fraction < 1 and self._ledger.is_hopeless(job, step, seen.validation_metric)

    def _end(self, record: Record) -> None:
        """The folder has the record before the storage has: it is not lost if that is away for good. The worker has its
        next run before either the storage or the display is served: it need not wait for a disk."""
        study_folder.append_record(self._folder, record)
        self._fill()
        kept = self._ledger.finish(record)
        checkpoint_path(self._folder, *record.key).unlink(missing_ok=True)
        if kept != record:  # another host was faster
            study_folder.append_record(self._folder, kept)
        self._records.append(kept)
        self._listener.ended(kept)
        if record.phase == "tune":
            self._plan()
