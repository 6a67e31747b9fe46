"""Processes that run jobs, one thread each, and outlive nothing: not their parent, not a job that kills them."""

import dataclasses
import multiprocessing
import os
import platform
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Literal

import cloudpickle

from steepest.compare.running.jobs import Job, Record, Setting, outcome_fields, record_of

if TYPE_CHECKING:
    from steepest.compare.given import Given
    from steepest.compare.workload import Workload
    from steepest.data import Splits

# Not fork: a forked torch inherits locks of threads that do not exist in the child.
_CONTEXT = multiprocessing.get_context("spawn")
# glibc gives large blocks back to the system at once and asks for them again in the next step, which at large batches
# takes as long as the step itself. A variable that the user has set stays as it is.
_KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}


@dataclass(frozen=True)
class Event:
    """``progress``: ``fraction`` of the job is done. ``ended``: here is its record. ``died``: the process is gone."""

    kind: Literal["progress", "ended", "died"]
    job: Job
    fraction: float = 0.0
    record: Record | None = None
    exit_code: int | None = None


class Pool:
    """A fixed number of worker processes; a dead one is replaced when the next job is submitted.

    Use as a context manager: leaving it ends the processes, whatever they are doing.

    Args:
        size: number of processes.
        setting: what the jobs share.
    """

    def __init__(self, size: int, setting: Setting) -> None:
        self._size = size
        self._setting = setting
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, Job] = {}

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in [*self._idle, *self._busy]:
            worker.stop()

    @property
    def free(self) -> int:
        """How many more jobs can be submitted now."""
        return self._size - len(self._busy)

    @property
    def running(self) -> list[Job]:
        return list(self._busy.values())

    def submit(self, job: Job) -> None:
        """Start a job; at most :attr:`free` of them."""
        worker = self._idle.pop() if self._idle else _Worker(self._setting)
        try:
            worker.connection.send(job)
        except (BrokenPipeError, ConnectionResetError):  # it died while idle
            worker.stop()
            worker = _Worker(self._setting)
            worker.connection.send(job)
        self._busy[worker] = job

    def events(self, timeout: float) -> Iterator[Event]:
        """What has happened since, waiting at most ``timeout`` seconds for the first of it."""
        by_connection = {worker.connection: worker for worker in self._busy}
        for connection in wait(list(by_connection), timeout):
            worker = by_connection[connection]  # type: ignore[index]
            job = self._busy[worker]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):  # also in the middle of a message
                del self._busy[worker]
                worker.stop()
                yield Event("died", job, exit_code=worker.process.exitcode)
                continue
            if isinstance(message, Record):
                del self._busy[worker]
                self._idle.append(worker)
                yield Event("ended", job, record=message)
            else:
                yield Event("progress", job, fraction=message)


class _Worker:
    def __init__(self, setting: Setting) -> None:
        self.connection, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_work, args=(theirs, setting), daemon=True)
        kept = {name: os.environ.get(name, value) for name, value in _KEEP_MEMORY.items()}
        with _environment({**kept, "OMP_NUM_THREADS": str(setting.study.threads)}):
            self.process.start()
        theirs.close()

    def stop(self) -> None:
        self.connection.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
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


def _work(connection: Connection, setting: Setting) -> None:
    """The life of a worker: until its parent closes the connection, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    run = None
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        started = time.time()
        try:
            run = run or _Runner(setting)
            fields = run(job, connection)
        except (BrokenPipeError, ConnectionResetError):
            return
        except (Exception, SystemExit):
            fields = {"status": "failed", "error": traceback.format_exc()}
        record = record_of(job, started, fields)
        try:
            connection.send(record)
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

    def __init__(self, setting: Setting) -> None:
        import torch

        torch.set_num_threads(setting.study.threads)
        self._study = setting.study
        self._data_dir = setting.data_dir
        self._given: Given = cloudpickle.loads(setting.given) if setting.given else {}
        self._workloads: dict[str, Workload] = {}
        self._splits: dict[str, Splits] = {}
        device = setting.study.device
        cuda = torch.device(device).type == "cuda"
        self._machine = {
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name(device) if cuda else platform.processor() or platform.machine(),
        }

    def __call__(self, job: Job, connection: Connection) -> dict[str, Any]:
        from steepest.compare.given import the_method
        from steepest.compare.running.train import train
        from steepest.compare.schedule import SCHEDULES

        spec = self._study.comparison(job.workload)
        workload, splits = self._workload(spec.workload.reference)
        outcome = train(
            dataclasses.replace(workload, target=spec.targets[0]),
            the_method(spec.method(job.method).reference, self._given),
            splits,
            job.hyperparameters,
            seed=job.seed,
            epochs=spec.epochs,
            batch_size=spec.batch_size,
            with_test=job.phase == "final",
            schedule=SCHEDULES[spec.schedule],
            sharpness_samples=spec.sharpness_samples if job.phase == "final" else 0,
            progress=connection.send,
        )
        return {**outcome_fields(outcome), **self._machine}

    def _workload(self, reference: str) -> "tuple[Workload, Splits]":
        from steepest.compare.freeze import load_data
        from steepest.compare.given import the_workload

        if reference not in self._splits:
            self._workloads[reference] = the_workload(reference, self._given)
            self._splits[reference] = load_data(self._workloads[reference], self._data_dir).to(self._study.device)
        return self._workloads[reference], self._splits[reference]
