"""Run a study: tune every method on the same budget, then run each one's best point on fresh seeds."""

import errno
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import optuna
import sqlalchemy.exc

from steepest._errors import StudyError
from steepest.compare.analysis.summary import choose
from steepest.compare.points import quasi_random_points
from steepest.compare.running import folder as study_folder
from steepest.compare.running.checkpoint import checkpoint_path
from steepest.compare.running.jobs import CHECKPOINT_SECONDS, Job, Record, Setting, record_of
from steepest.compare.running.ledger import FILE as LEDGER_FILE
from steepest.compare.running.ledger import Ledger
from steepest.compare.running.pool import Pool
from steepest.compare.running.rank_pool import RankPool
from steepest.compare.running.ray_pool import RayPool
from steepest.compare.running.workers import ProcessPool
from steepest.compare.spec import Spec, StudySpec

ATTEMPTS = 3  # at a run whose process dies, before it is recorded as failed
_POLL_SECONDS = 0.2
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OUT_OF_REACH = {errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ENOENT}


class Listener(Protocol):
    """Who is told what happens while a study runs."""

    def begin(self, study: StudySpec, records: Sequence[Record]) -> None:
        """The study starts, or goes on with these finished runs."""

    def started(self, job: Job) -> None: ...

    def progressed(self, job: Job, fraction: float) -> None: ...

    def ended(self, record: Record) -> None: ...


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
    points = {m.name: quasi_random_points(m.space, spec.trials, spec.tuning_seed) for m in spec.methods}
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


def run(
    study: StudySpec,
    folder: Path,
    *,
    jobs: int | None,
    data_dir: Path | None,
    command: str,
    listener: Listener,
    given: bytes | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    engine: str = "processes",
) -> tuple[list[Record], bool]:
    """Run what is left of a study and return all its records, and whether it was interrupted.

    A finished run is never run again. SIGINT and SIGTERM end the runs under way and return what is there.

    Args:
        jobs: runs at a time; with Ray ``None`` stands for as many as it has room for.
        command: what the user typed, for the report.
        given: the pickled objects that the study refers to.
        checkpoint_seconds: between two checkpoints of a run.
        engine: one of ``ENGINES``: where the runs happen.

    Raises:
        InputError: the folder cannot be used, or Ray.
        StudyError: it can no longer be written; what is finished stays so.
    """
    setting = Setting(study, data_dir, given, folder.resolve(), checkpoint_seconds)
    with (
        _sentence_for_lost_storage(folder),
        study_folder.opened(folder, study),
        _interruptible() as interrupted,
        make_pool(engine, jobs, setting) as pool,
    ):
        study_folder.note_invocation(folder, command, pool.size)
        ledger = Ledger(folder, study)
        try:
            ledger.release()
            records = ledger.records()
            study_folder.write_records(folder, records)
            listener.begin(study, records)
            _drive(study, folder, ledger, pool, records, listener, interrupted)
            ledger.release()
            records = ledger.records()
            study_folder.write_records(folder, records)
        finally:
            ledger.close()
        return records, interrupted.is_set()


def finished_records(folder: Path) -> tuple[StudySpec, list[Record]]:
    """Spec and finished runs of a study's folder.

    Raises:
        InputError: the folder holds no study.
    """
    study = study_folder.load_spec(folder)
    if not (folder / LEDGER_FILE).exists():  # stopped before the first run was planned
        return study, []
    with _sentence_for_lost_storage(folder):
        ledger = Ledger(folder, study)
        try:
            return study, ledger.records()
        finally:
            ledger.close()


def _drive(
    study: StudySpec,
    folder: Path,
    ledger: Ledger,
    pool: Pool[Any],
    records: list[Record],
    listener: Listener,
    interrupted: threading.Event,
) -> None:
    deaths: Counter[object] = Counter()
    left = jobs_left(study, records)
    ledger.plan(left)
    while not interrupted.is_set():
        while pool.free and left:
            job = left.pop(0)
            ledger.take(job)
            pool.submit(job)
            listener.started(job)
        if not pool.running:
            return
        for event in pool.events(_POLL_SECONDS):
            record = event.record
            if event.kind == "progress":
                assert event.progress is not None
                listener.progressed(event.job, event.progress.fraction)
            elif event.kind == "died":
                deaths[event.job.key] += 1
                if deaths[event.job.key] < ATTEMPTS:
                    pool.submit(event.job)
                else:
                    ended = f"died {ATTEMPTS} times, the last time with {event.reason}"
                    fields = {"status": "failed", "error": f"The process of this run {ended}."}
                    record = record_of(event.job, time.time(), fields)
            if record is None:
                continue
            ledger.finish(record)
            checkpoint_path(folder, *record.key).unlink(missing_ok=True)
            study_folder.append_record(folder, record)
            records.append(record)
            listener.ended(record)
            if record.phase == "tune":
                under_way = {job.key for job in pool.running}
                left = [job for job in jobs_left(study, records) if job.key not in under_way]
                ledger.plan([job for job in left if job.phase == "final"])


def make_pool(engine: str, jobs: int | None, setting: Setting) -> ProcessPool | RayPool | RankPool:
    """The workers of an engine; ``jobs`` is theirs to choose with Ray alone. With a strategy all ranks are one."""
    if setting.study.strategy is not None:
        return RankPool(setting)
    if engine == "ray":
        return RayPool(jobs, setting)
    assert jobs is not None
    return ProcessPool(jobs, setting)


@contextmanager
def _sentence_for_lost_storage(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _FULL | _OUT_OF_REACH:
            raise
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        reason = str(getattr(cause, "orig", None) or getattr(cause, "strerror", None) or cause).splitlines()[0]
        raise StudyError(
            f"the study's folder {str(folder)!r} can no longer be read or written ({reason}); "
            f"finished runs are safe, and the same command goes on from them"
        ) from error


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that a transaction under way is not torn; a second SIGINT raises."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def interrupt(signum: int, frame: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
