"""Who does the jobs: a number of workers, wherever they are, each at the other end of a pipe."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, Self, TypeVar, cast

from steepest._errors import StudyError
from steepest.compare.records.record import Job, Record
from steepest.training.definitions.outcome import Progress

_STARTS = 10


@dataclass(frozen=True)
class Event:
    """``progress``: what is known of the job by now. ``ended``: here is its record. ``died``: its process is gone, and
    ``reason`` is what the system says of that."""

    kind: Literal["progress", "ended", "died"]
    job: Job
    progress: Progress | None = None
    record: Record | None = None
    reason: str = ""


class Worker(Protocol):
    """One process that does a job at a time, and what the pool talks to it with."""

    @property
    def reason(self) -> str:
        """Why it is gone, once it is stopped."""

    def send(self, message: object) -> None:
        """Raises OSError if it is gone."""

    def receive(self) -> object:
        """Its next message. Raises EOFError or OSError if it is gone."""

    def stop(self) -> None: ...


W = TypeVar("W", bound=Worker)


class Pool(ABC, Generic[W]):
    """A fixed number of workers; one that died, or whose run failed, is replaced when the next job is submitted.

    Use as a context manager: leaving it ends the workers, whatever they are doing.

    Args:
        size: number of workers.
    """

    replaceable = True
    """Whether a worker in which a run failed, and that may be spoilt by it, is ended; another takes its place."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._idle: list[W] = []
        self._busy: dict[W, Job] = {}

    @abstractmethod
    def _start(self) -> W:
        """Start a new worker."""

    @abstractmethod
    def _ready(self, workers: Sequence[W], timeout: float) -> Sequence[W]:
        """Find those that have something to say or are gone, waiting at most ``timeout`` seconds for the first."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in [*self._idle, *self._busy]:
            worker.stop()

    @property
    def free(self) -> int:
        """How many more jobs can be submitted now."""
        return self.size - len(self._busy)

    @property
    def running(self) -> list[Job]:
        return list(self._busy.values())

    def submit(self, job: Job) -> None:
        """Start a job; at most :attr:`free` of them.

        Raises:
            StudyError: no worker can be started.
        """
        for attempt in range(_STARTS):
            try:
                worker = self._idle.pop() if self._idle else self._start()
            except OSError as error:  # it was killed before it was there, or there is no room for it
                if attempt == _STARTS - 1:
                    raise StudyError(f"no worker can be started ({error}); finished runs are safe") from error
                continue
            try:
                worker.send(job)
            except OSError:  # it died while idle
                worker.stop()
                continue
            self._busy[worker] = job
            return
        raise StudyError("every worker died before it had a job; finished runs are safe")

    def answer(self, job: Job, *, stop: bool) -> None:
        """Let a job that may be pruned go on, or end here. It stands still after every ``progress`` until then."""
        worker = next(worker for worker, its_job in self._busy.items() if its_job is job)
        with suppress(OSError):  # that it is gone is the next event
            worker.send(stop)

    def events(self, timeout: float) -> Iterator[Event]:
        """What has happened since, waiting at most ``timeout`` seconds for the first of it."""
        for worker in self._ready(list(self._busy), timeout):
            job = self._busy[worker]
            try:
                message = worker.receive()
            except (EOFError, OSError):
                del self._busy[worker]
                worker.stop()
                yield Event("died", job, reason=worker.reason)
                continue
            if isinstance(message, Record):
                del self._busy[worker]
                if message.status == "failed" and self.replaceable:
                    worker.stop()
                else:
                    self._idle.append(worker)
                yield Event("ended", job, record=message)
            else:
                yield Event("progress", job, progress=cast("Progress", message))
