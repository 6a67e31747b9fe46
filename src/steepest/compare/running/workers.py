"""Processes that run jobs, one thread each, and outlive nothing: not their parent, not a job that kills them."""

import dataclasses
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import cloudpickle

from steepest.compare.running.jobs import Job, Setting, may_be_pruned, outcome_fields, record_of
from steepest.compare.running.pool import Pool

if TYPE_CHECKING:
    from steepest.compare.given import Given
    from steepest.compare.method import Method
    from steepest.compare.running.checkpoint import Checkpoint
    from steepest.compare.running.ranks import Ranks
    from steepest.compare.running.train import Progress
    from steepest.compare.spec import MethodSpec, WorkloadSpec
    from steepest.compare.workload import Workload
    from steepest.data import Splits

# Not fork: a forked torch inherits locks of threads that do not exist in the child.
_CONTEXT = multiprocessing.get_context("spawn")
# glibc gives large blocks back to the system at once and asks for them again in the next step, which at large batches
# takes as long as the step itself. A variable that the user has set stays as it is.
_KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}


class _Worker:
    """A process that waits for its setting, and then for jobs."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_work, args=(theirs,), daemon=True)
        with environment(worker_environment(threads)), _main_left_alone(), _interrupts_held():
            self._process.start()
        theirs.close()

    @property
    def reason(self) -> str:
        return f"exit code {self._process.exitcode}"

    def send(self, message: object) -> None:
        self.connection.send(message)

    def receive(self) -> object:
        return self.connection.recv()

    def stop(self) -> None:
        self.connection.close()
        if self._process.is_alive():
            self._process.kill()
        self._process.join()


class Spares:
    """Processes that import what every run needs while nobody knows yet what the runs will be.

    Use as a context manager: leaving it ends those that no pool has taken.
    """

    def __init__(self, number: int) -> None:
        self._workers: list[_Worker] = []
        with suppress(OSError):  # no room for them: the study will say so, if it needs them
            for _ in range(number):
                self._workers.append(_Worker(threads=1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()

    def take(self, threads: int) -> _Worker:
        """A worker with so many threads, a new one if there is no spare one."""
        spare = next((worker for worker in self._workers if worker.threads == threads), None)
        if spare is None:
            return _Worker(threads)
        self._workers.remove(spare)
        return spare


class ProcessPool(Pool[_Worker]):
    """Workers that are processes of this machine.

    Args:
        size: number of processes.
        setting: what the jobs share.
        spares: processes that are used before others are started.
    """

    def __init__(self, size: int, setting: Setting, spares: Spares | None = None) -> None:
        super().__init__(size)
        self._setting = setting
        self._spares = spares or Spares(0)

    def _start(self) -> _Worker:
        worker = self._spares.take(self._setting.study.threads)
        try:
            worker.send(self._setting)
        except OSError:
            worker.stop()
            raise
        return worker

    def _ready(self, workers: Sequence[_Worker], timeout: float) -> Sequence[_Worker]:
        ready = wait([worker.connection for worker in workers], timeout)
        return [worker for worker in workers if worker.connection in ready]


def worker_environment(threads: int) -> dict[str, str]:
    """What a process that does jobs is started with."""
    kept = {name: os.environ.get(name, value) for name, value in _KEEP_MEMORY.items()}
    return {**kept, "OMP_NUM_THREADS": str(threads)}


@contextmanager
def environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """For a child to start with: OpenMP and the C library read it before a line of ours runs there."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _main_left_alone() -> Iterator[None]:
    """A child imports its parent's main module, and with it runs a script that has no guard. Ours have no use for it:
    what a script defines comes to them pickled."""
    main = sys.modules["__main__"]
    before = {name: vars(main).get(name) for name in ("__spec__", "__file__")}
    main.__spec__ = None
    vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update({name: value for name, value in before.items() if value is not None})


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C reaches the whole group, and a child that still imports would answer it with a traceback; so would one
    whose parent is torn away while it writes to it. The child is born deaf, and the parent hears it a moment later."""
    if sys.platform == "win32":  # which cannot
        yield
        return
    held = threading.Event()
    handler = None  # in another thread there can be none, and need not
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is not None:
        handler = signal.signal(signal.SIGINT, lambda *_: held.set())
    resource_tracker.ensure_running()  # unblocks the signal, if it has to be started
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if held.is_set():
            signal.raise_signal(signal.SIGINT)


def _work(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if not connection.poll():  # a spare: the first step of any optimizer imports this, and takes a second for it
        import torch._dynamo  # noqa: F401
    try:
        setting = connection.recv()
    except (EOFError, OSError):
        return
    serve(Pipe(connection.recv, connection.send), setting)


class Pipe(NamedTuple):
    """A worker's end: jobs and answers come in, progress and records go out."""

    receive: Callable[[], Any]
    send: Callable[[Any], None]


def serve(pipe: Pipe, setting: Setting, ranks: "Ranks | None" = None) -> None:
    """The life of a worker, or of a rank of one: a job after the other, until the other end is closed."""
    run = None
    while True:
        try:
            job = pipe.receive()
        except (EOFError, OSError):
            return
        started = time.time()
        try:
            run = run or _Runner(setting, ranks)
            fields = run(job, pipe)
        except (BrokenPipeError, ConnectionResetError):
            return
        except (Exception, SystemExit):
            fields = {"status": "failed", "error": traceback.format_exc()}
        record = record_of(job, started, fields)
        try:
            pipe.send(record)
        except (BrokenPipeError, ConnectionResetError):
            return


def _end_with_parent() -> None:
    """A parent that is killed -9 closes nothing in order; its end is seen all the same, in the middle of a run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _Runner:
    """Workloads, methods and data of a study, each made once per process, when it is first needed."""

    def __init__(self, setting: Setting, ranks: "Ranks | None" = None) -> None:
        import torch

        from steepest.compare.running.ranks import ALONE

        torch.set_num_threads(setting.study.threads)
        self._setting = setting
        self._study = setting.study
        self._ranks = ranks or ALONE
        self._device = self._ranks.device or torch.device(setting.study.device)
        self._given: Given = cloudpickle.loads(setting.given) if setting.given else {}
        self._workloads: dict[str, Workload] = {}
        self._splits: dict[str, Splits] = {}
        self._machine = {
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name(self._device)
            if self._device.type == "cuda"
            else platform.processor() or platform.machine(),
        }

    def __call__(self, job: Job, pipe: Pipe) -> dict[str, Any]:
        from steepest.compare.running.train import train
        from steepest.compare.schedule import SCHEDULES

        def progress(seen: "Progress") -> bool:
            pipe.send(seen)
            return may_be_pruned(self._study, job) and bool(pipe.receive())

        spec = self._study.comparison(job.workload)
        workload, splits = self._workload(spec.workload)
        outcome = train(
            dataclasses.replace(workload, target=spec.targets[0]),
            self._method(spec.method(job.method)),
            splits,
            job.hyperparameters,
            seed=job.seed,
            epochs=spec.epochs,
            batch_size=spec.batch_size,
            with_test=job.phase == "final",
            schedule=SCHEDULES[spec.schedule],
            sharpness_samples=spec.sharpness_samples if job.phase == "final" and self._ranks.rank == 0 else 0,
            checkpoint=self._checkpoint(job),
            progress=progress,
            ranks=self._ranks,
        )
        return {**outcome_fields(outcome), **self._machine}

    def _checkpoint(self, job: Job) -> "Checkpoint | None":
        from steepest.compare.running.checkpoint import Checkpoint, checkpoint_path

        if self._setting.folder is None:
            return None
        path = checkpoint_path(self._setting.folder, *job.key, rank=self._ranks.rank)
        return Checkpoint(path, self._setting.checkpoint_seconds)

    def _method(self, frozen: "MethodSpec") -> "Method":
        from steepest.compare.freeze import check_unchanged
        from steepest.compare.given import the_method

        found = the_method(frozen.reference, self._given)
        if self._setting.elsewhere:
            check_unchanged(frozen)
        return found

    def _workload(self, frozen: "WorkloadSpec") -> "tuple[Workload, Splits]":
        from steepest.compare.freeze import check_unchanged, load_data
        from steepest.compare.given import the_workload

        reference = frozen.reference
        if reference not in self._splits:
            self._workloads[reference] = the_workload(reference, self._given)
            splits = load_data(self._workloads[reference], self._setting.data_dir)
            if self._setting.elsewhere:
                check_unchanged(frozen, splits)
            self._splits[reference] = splits.to(self._device)
        return self._workloads[reference], self._splits[reference]
