"""Run a study: tune every method on the same budget, then run each one's best point on fresh seeds."""

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from steepest._errors import InputError, argument
from steepest._files import write_atomically
from steepest.compare.analysis.course import fits
from steepest.compare.policy.queue import jobs_left
from steepest.compare.policy.standing import counted
from steepest.compare.records import folder as study_folder
from steepest.compare.records.ledger import Ledger, Runs
from steepest.compare.records.lines import note_attempts
from steepest.compare.records.record import Record
from steepest.compare.records.retries import Patience, StorageAwayError, place_named, sentence_for_lost
from steepest.compare.records.shared_ledger import SharedLedger
from steepest.compare.records.storage import SHARED, Membership, Storage
from steepest.compare.records.weights import without_weights
from steepest.compare.records.working_copy import keep_sources, kept_sources
from steepest.compare.running.driver import Driver, Listener
from steepest.compare.running.pool import Pool
from steepest.compare.running.preflight import preflight
from steepest.compare.running.processes import ProcessPool
from steepest.compare.running.ray_cluster import RayPool
from steepest.compare.running.setting import CHECKPOINT_SECONDS, Setting
from steepest.compare.running.spares import Spares
from steepest.compare.running.torchrun import RankPool
from steepest.compare.spec import FILE as SPEC_FILE
from steepest.compare.spec import StudySpec

_log = logging.getLogger("steepest")


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
    storage: Storage | None = None,
    spares: Spares | None = None,
    retry_failed: bool = True,
    sources: Sequence[Path] = (),
    save_weights: bool = False,
) -> tuple[list[Record], bool]:
    """Run what is left of a study and return all its records, and whether it was interrupted.

    A finished run is never run again; one that failed is, unless ``retry_failed`` says otherwise. SIGINT and SIGTERM
    end the runs under way and return what is there. With a storage, others may run the same study at the same time,
    each in a folder of its own; it returns once all of it is finished, wherever.

    Args:
        jobs: runs at a time; with Ray ``None`` stands for as many as it has room for.
        command: what the user typed, for the report.
        given: the pickled objects that the study refers to.
        checkpoint_seconds: between two checkpoints of a run.
        engine: one of ``ENGINES``: where the runs happen.
        storage: where the runs are kept, instead of in the folder.
        spares: processes that wait for the runs.
        retry_failed: try runs again that failed in an earlier call; ``attempts.jsonl`` remembers how they failed.
        sources: the user's files, which are copied into the folder.
        save_weights: keep the weights of final runs; those that ended without are run again.

    Raises:
        InputError: the folder, the storage or Ray cannot be used.
        StudyError: one of them can no longer be written; what is finished stays so.
    """
    setting = Setting(study, data_dir, given, folder.resolve(), checkpoint_seconds, save_weights)
    with (
        sentence_for_lost(folder, storage),
        _interruptible() as interrupted,
        _checked(study, folder, make_pool(engine, jobs, setting, spares), interrupted) as (pool, workers, new),
        _opened(folder, study, storage, interrupted) as ledger,
    ):
        study = ledger.spec  # with the search points that the study has had from its beginning
        try:
            with workers:
                said = storage.masked_in(command) if storage else command
                keep_sources(folder, sources)
                study_folder.note_invocation(folder, said, pool.size, study, kept_sources(folder))
                ledger.shared_invocations(study_folder.invocations(folder))
                records = _catch_up(study, folder, ledger, retry_failed)
                if save_weights and storage is None:  # those of other hosts lie in their folders
                    records = _repeat_without_weights(study, folder, ledger, records)
                study_folder.write_records(folder, records)
                if not new:
                    preflight(study, jobs_left(study, records), pool, interrupted)
                listener.begin(study, counted(study, records).records)
                Driver(study, folder, ledger, pool, records, listener).run(interrupted)
            ledger.release()
            records = ledger.records()
            study_folder.write_records(folder, records)
            records = counted(study, records).records
            study_folder.write_invocations(folder, ledger.shared_invocations(study_folder.invocations(folder)))
        except StorageAwayError:
            if not interrupted.is_set():
                raise
            records = study_folder.read_records(folder)
        return records, interrupted.is_set()


def make_pool(
    engine: str, jobs: int | None, setting: Setting, spares: Spares | None = None
) -> ProcessPool | RayPool | RankPool:
    """The workers of an engine; ``jobs`` is theirs to choose with Ray alone. With a strategy all ranks are one."""
    if setting.study.shared.strategy is not None:
        return RankPool(setting)
    if engine == "ray":
        return RayPool(jobs, setting)
    return ProcessPool(jobs or 1, setting, spares)


@contextmanager
def _checked(
    study: StudySpec, folder: Path, pool: Pool[Any], interrupted: threading.Event
) -> Iterator[tuple[Pool[Any], ExitStack, bool]]:
    """Hold a pool; yield it, what ends it, and whether the study is new: then it has been tried, so that one that
    cannot work leaves nothing behind. Else it is known only later what is left of it."""
    study_folder.check_place(folder)
    with ExitStack() as workers:
        entered = workers.enter_context(pool)
        new = not (folder / SPEC_FILE).exists()
        if new:
            preflight(study, jobs_left(study, []), entered, interrupted)
        yield entered, workers, new


@contextmanager
def _opened(
    folder: Path, study: StudySpec, storage: Storage | None, interrupted: threading.Event
) -> Iterator[Ledger | SharedLedger]:
    """Hold a study's folder and its ledger; yield the ledger."""
    if storage is None:
        with study_folder.opened(folder, study) as study:
            if (member := Membership.of(folder)) is not None:
                raise InputError(
                    f"the runs of {str(folder)!r} are kept in {argument('storage')} {member.storage}; give it, or "
                    f"choose another folder with {argument('out')}"
                )
            with Ledger(folder, study) as ledger:
                yield ledger
        return
    member = Membership.joined(folder, storage)
    patience = Patience(place_named(folder, storage), interrupted.wait)
    with (
        SharedLedger(member, study, patience) as shared,
        study_folder.opened(folder, shared.spec, reuse=False) as known,
    ):
        if differences := shared.spec.differences(known):
            raise InputError(f"{str(folder)!r} and the storage hold different studies ({'; '.join(differences)})")
        write_atomically(folder / SHARED, member.to_json())
        shared.join()
        yield shared


def _catch_up(study: StudySpec, folder: Path, ledger: Runs, retry_failed: bool = False) -> list[Record]:
    """Give the ledger the finished runs that a crash, or an outage, kept from it, and plan the rest; return all
    finished runs."""
    ledger.release()
    records = ledger.records()
    known = {record.key for record in records}
    kept = [r for r in study_folder.read_records(folder) if r.key not in known and r.status != "failed"]
    while True:
        left = {job.key: job for job in jobs_left(study, records)}
        ledger.plan([*left.values()])
        fitting = [r for r in kept if r.key in left and fits(left[r.key], r)]
        if not fitting:
            break
        kept = [record for record in kept if record not in fitting]
        records += [ledger.finish(record) for record in fitting]
    failed = [record for record in records if record.status == "failed"]
    if failed and retry_failed:
        say = "1 run that failed before is" if len(failed) == 1 else f"{len(failed)} runs that failed before are"
        _log.warning("%s tried again", say)
        note_attempts(folder, failed, "tried again")
        ledger.reopen(failed)
        records = [record for record in records if record.status != "failed"]
        ledger.plan(jobs_left(study, records))
    return records


def _repeat_without_weights(study: StudySpec, folder: Path, ledger: Runs, records: list[Record]) -> list[Record]:
    """Let final runs be done again that ended before their weights were asked for; return the other records."""
    lacking = without_weights(study, folder, records)
    if not lacking:
        return records
    say = (
        "1 final run whose weights were not kept is"
        if len(lacking) == 1
        else (f"{len(lacking)} final runs whose weights were not kept are")
    )
    _log.warning("%s repeated", say)
    note_attempts(folder, lacking, "its weights were not kept")
    ledger.reopen(lacking)
    gone = {record.key for record in lacking}
    left = [record for record in records if record.key not in gone]
    ledger.plan(jobs_left(study, left))
    return left


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set, so that a transaction under way is not torn; a second SIGINT raises.
    Put the handlers back."""
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
