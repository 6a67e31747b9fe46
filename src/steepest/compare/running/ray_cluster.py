"""Runs on a Ray cluster, or on a Ray of this machine alone.

The cluster is the one that ``RAY_ADDRESS`` names, else the one that ``ray start`` started here; without either a Ray of
this machine's cores and GPUs is started, and ended with the study. A worker is an actor that holds the CPUs of a run's
threads and, for a study on CUDA, a GPU or a share of it, from its first run to the end of the study. Ray restarts and
retries nothing: what becomes of a run whose process died is the study's business.

Every node needs the same Python, torch and steepest, and sees the user's files and the data at the same paths; where
others are found than the study began with, it ends with a sentence.
"""

import logging
import math
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import torch

from steepest._errors import InputError, argument, require
from steepest.compare.running.pool import Pool
from steepest.compare.running.setting import Setting
from steepest.compare.running.spares import environment, worker_environment
from steepest.compare.running.worker import Pipe, serve
from steepest.compare.spec import StudySpec
from steepest.data import data_folder

_LONGEST_SOCKET = 103  # on macOS; 107 on Linux
_NAME_OF_A_SOCKET = len("/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")


@contextmanager
def connected() -> Iterator[Any]:
    """The module ``ray``, connected to a cluster; to the one that the program is connected to already, if it is.

    Raises:
        InputError: Ray is not installed, or the cluster cannot be reached.
    """
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS", "")
    if "://" in address:
        raise InputError(
            f"RAY_ADDRESS must be the host:port of a cluster that this machine belongs to, got {address!r}; a Ray "
            f"client cannot drive a study"
        )
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL, **_choose_folder(address)
        )
    except Exception as error:  # Ray raises a bare one when it is slow to start, and whatever its sockets do
        where = f"at RAY_ADDRESS {address!r}" if address else "on this machine"
        raise InputError(
            f"Ray {where} cannot be used: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray takes it to exit at once
    try:
        yield ray
    finally:
        ray.shutdown()


def _choose_folder(address: str) -> dict[str, str]:
    """Choose where a Ray that is started here keeps its sockets, if TMPDIR is too long for the name of one.

    Example:
        >>> with environment({"RAY_TMPDIR": "/scratch/" + 80 * "x"}):
        ...     list(_choose_folder("")), list(_choose_folder("10.0.0.1:6379"))
        (['_temp_dir'], [])
    """
    own = os.path.join(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp", "ray")
    if address or os.name == "nt" or len(os.fsencode(own)) + _NAME_OF_A_SOCKET <= _LONGEST_SOCKET:
        return {}
    return {"_temp_dir": f"/tmp/ray-{os.getuid()}"}


def _import_ray() -> Any:
    """Import Ray, which prints what a raylet says of a dead worker, whatever it is told of logs; the run's record says
    it too."""
    with environment({"RAY_DEDUP_LOGS_SKIP_REGEX": os.environ.get("RAY_DEDUP_LOGS_SKIP_REGEX", ".")}):
        return require("ray", "ray")


def slots(study: StudySpec) -> int:
    """How many runs of a study Ray has room for at a time.

    Raises:
        InputError: it has none.
    """
    with connected() as ray:
        return _count_slots(ray.cluster_resources(), study)


def _count_slots(resources: Mapping[str, float], study: StudySpec) -> int:
    """Count the runs that find room at a time: by the GPUs where the study needs one, else by the cores."""
    room = int(resources.get("CPU", 0)) // study.shared.threads
    if _on_cuda(study):
        room = min(room, int(resources.get("GPU", 0)))
    if room < 1:
        has = ", ".join(f"{resources.get(kind, 0):g} {kind}s" for kind in ("CPU", "GPU"))
        threads = study.shared.threads
        needs = f"{threads} CPU{'s' if threads > 1 else ''}{' and a GPU' if _on_cuda(study) else ''}"
        raise InputError(f"a run needs {needs}, and the Ray cluster has {has}")
    return room


def _share_gpu(resources: Mapping[str, float], study: StudySpec, jobs: int) -> float:
    """Compute a run's part of a GPU: a whole one, or an equal share where there are more jobs than GPUs.

    Example:
        >>> from types import SimpleNamespace
        >>> study = SimpleNamespace(shared=SimpleNamespace(device="cuda"))
        >>> [_share_gpu({"GPU": 2.0}, study, jobs) for jobs in (1, 2, 3, 6)]
        [1.0, 1.0, 0.5, 0.3333]
    """
    if not _on_cuda(study):
        return 0.0
    runs_on_one = math.ceil(jobs / max(1, int(resources.get("GPU", 0))))
    return math.floor(1e4 / runs_on_one) / 1e4  # Ray counts in ten-thousandths


def _on_cuda(study: StudySpec) -> bool:
    return torch.device(study.shared.device).type == "cuda"


class RayPool(Pool["_Worker"]):
    """Workers that are Ray actors. Entering it connects to Ray.

    Args:
        size: number of workers; ``None`` for as many as the cluster has room for.
        setting: what the jobs share.
    """

    def __init__(self, size: int | None, setting: Setting) -> None:
        super().__init__(size or 0)
        if setting.study.shared.device.startswith("cuda:"):
            raise InputError(
                f"{argument('device')} must be cuda with {argument('engine')} ray, which picks the GPU, "
                f"got {setting.study.shared.device}"
            )
        # A worker's folder need not be this one, and its environment has no STEEPEST_DATA.
        folder = data_folder(setting.data_dir)
        self._setting = replace(setting, data_dir=None if folder is None else folder.absolute())

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._ray = stack.enter_context(connected())
            resources, study = self._ray.cluster_resources(), self._setting.study
            room = _count_slots(resources, study)
            self.size = self.size or room
            self._actor = self._ray.remote(concurrency_groups={"in": 1, "out": 1})(_Actor).options(
                num_cpus=study.shared.threads,
                num_gpus=_share_gpu(resources, study, self.size),
                max_restarts=0,
                max_task_retries=0,
                runtime_env={"env_vars": worker_environment(study.shared.threads)},
            )
            stack.push(super().__exit__)  # before Ray is left
            self._ended = stack.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.__exit__(*raised)  # type: ignore[arg-type]

    def _start(self) -> "_Worker":
        return _Worker(self._ray, self._actor.remote(self._setting, Path.cwd()))

    def _ready(self, workers: Sequence["_Worker"], timeout: float) -> Sequence["_Worker"]:
        if self._idle and not all(worker.is_placed for worker in workers):
            for worker in self._idle:  # what they hold may be what another one waits for
                worker.stop()
            self._idle.clear()
        by_stream = {worker.stream: worker for worker in workers}
        first, _ = self._ray.wait(list(by_stream), timeout=timeout)
        if not first:
            return []
        ready, _ = self._ray.wait(list(by_stream), num_returns=len(by_stream), timeout=0)
        return [by_stream[stream] for stream in ready or first]


class _Worker:
    """Hold the driver's end of an actor."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self.reason = ""
        self._ray = ray
        self._actor = actor
        self.stream = actor.messages.options(num_returns="streaming", concurrency_group="out").remote()
        self._placed = actor.begin.remote()
        actor.work.remote()

    @property
    def is_placed(self) -> bool:
        """Say whether it runs somewhere, rather than waiting for resources."""
        return bool(self._ray.wait([self._placed], timeout=0)[0])

    def send(self, message: object) -> None:
        if self._ray.wait([self.stream], timeout=0)[0]:  # it has nothing to say while it waits: it is gone
            raise BrokenPipeError
        self._actor.receive.options(concurrency_group="in").remote(message)

    def receive(self) -> object:
        try:
            return self._ray.get(next(self.stream))
        except (StopIteration, self._ray.exceptions.RayError) as error:
            said = " ".join(str(error).splitlines()[-1:]).partition(" Some common causes")[0]
            self.reason = f"Ray saying: {said.rstrip('.')}"
            raise EOFError from error

    def stop(self) -> None:
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(self._actor)


class _Actor:
    """Run the other end: a thread that works, one that lets messages in and one that lets them out."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self._setting = setting
        self._folder = folder
        self._incoming: SimpleQueue[Any] = SimpleQueue()
        self._outgoing: SimpleQueue[Any] = SimpleQueue()

    def begin(self) -> None:
        if self._folder.is_dir():  # what the user's code opens, or imports by name, may lie there
            os.chdir(self._folder)

    def work(self) -> None:
        serve(Pipe(self._incoming.get, self._outgoing.put), self._setting)

    def receive(self, message: object) -> None:
        self._incoming.put(message)

    def messages(self) -> Iterator[object]:
        while True:
            yield self._outgoing.get()
