"""Processes that will run jobs, started before anybody knows which: they import torch while the study is made.

It imports nothing that takes time, so that a command can start one before all else.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.forkserver import ForkServer
from multiprocessing.process import BaseProcess
from typing import Self

from steepest.compare.running import fork_server
from steepest.compare.running.fork_server import Forked, SameErrors

# Not fork: a forked torch inherits locks of threads that do not exist in the child.
_CONTEXT = multiprocessing.get_context("spawn")
# glibc gives large blocks back to the system at once and asks for them again in the next step, which at large batches
# takes as long as the step itself. A variable that the user has set stays as it is.
_KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
# The order of a set of strings would differ from process to process, and with it what is drawn for whom.
_SAME_ORDER = {"PYTHONHASHSEED": "0"}


class Worker:
    """A process that waits for its setting, and then for jobs.

    Args:
        threads: of torch.
        born_with: the environment, but for what such a process is always started with.
    """

    def __init__(self, threads: int, born_with: Mapping[str, str]) -> None:
        self.threads = threads
        self.connection, theirs = _CONTEXT.Pipe()
        self._process: BaseProcess
        if fork_server.can_fork():
            server = _started_server(threads, born_with)
            own = {**born_with, **worker_environment(threads)}
            self._process = Forked(server, _work, (theirs, own, _find_errors()))
            with _main_left_alone(), _children_allowed():
                self._process.start()
        else:
            self._process = _CONTEXT.Process(target=_work, args=(theirs,), daemon=True)
            with _born(threads, born_with), _main_left_alone(), _children_allowed():
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


_EARLY: list[Worker] = []


def _started_server(threads: int, born_with: Mapping[str, str]) -> ForkServer:
    with _born(threads, born_with):
        return fork_server.running_server()


@contextmanager
def _born(threads: int, born_with: Mapping[str, str]) -> Iterator[None]:
    """Keep the environment that a process needs while it is started, then put it back."""
    with environment({**born_with, **worker_environment(threads)}, exactly=True), _interrupts_held():
        yield


@contextmanager
def one_early(wanted: bool) -> Iterator[None]:
    """A first process for the :class:`Spares` that will be made within; without any it is ended."""
    if wanted and fork_server.can_fork():
        with suppress(OSError):
            _started_server(1, dict(os.environ))
        yield
        return
    with suppress(OSError):
        _EARLY.extend(Worker(1, dict(os.environ)) for _ in range(wanted))
    try:
        yield
    finally:
        while _EARLY:
            _EARLY.pop().stop()


class Spares:
    """Processes that import what every run needs while nobody knows yet what the runs will be.

    Use as a context manager: leaving it ends those that no pool has taken.
    """

    def __init__(self, number: int) -> None:
        self._workers: list[Worker] = []
        # Those that are started later are born alike, whatever the user's code has set in the meantime.
        self._born_with = dict(os.environ)
        if number and fork_server.can_fork():
            with suppress(OSError):
                _started_server(1, self._born_with)
            return
        while _EARLY and len(self._workers) < number:
            self._workers.append(_EARLY.pop())
        with suppress(OSError):  # no room for them: the study will say so, if it needs them
            while len(self._workers) < number:
                self._workers.append(Worker(1, self._born_with))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()

    def take(self, threads: int) -> Worker:
        """A worker with so many threads, a new one if there is no spare one."""
        spare = next((worker for worker in self._workers if worker.threads == threads), None)
        if spare is None:
            return Worker(threads, self._born_with)
        self._workers.remove(spare)
        return spare


def worker_environment(threads: int) -> dict[str, str]:
    """What a process that does jobs is started with."""
    wanted = {**_KEEP_MEMORY, **_SAME_ORDER}
    kept = {name: os.environ.get(name, value) for name, value in wanted.items()}
    if kept["PYTHONHASHSEED"] == "random":
        kept.update(_SAME_ORDER)
    return {**kept, "OMP_NUM_THREADS": str(threads)}


@contextmanager
def environment(wanted: Mapping[str, str], *, exactly: bool = False) -> Iterator[None]:
    """For a child to start with, beside what is set, or instead of it with ``exactly``: OpenMP and the C library read
    it before a line of ours runs there."""
    before = dict(os.environ)
    for name in set(before) - set(wanted) if exactly else ():
        del os.environ[name]
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _main_left_alone() -> Iterator[None]:
    """Hide the main module's file, then put it back: a child imports its parent's main module, and with it runs a
    script that has no guard. Ours have no use for it: what a script defines comes to them pickled."""
    main = sys.modules["__main__"]
    before = {name: vars(main).get(name) for name in ("__spec__", "__file__")}
    main.__spec__ = None
    vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update({name: value for name, value in before.items() if value is not None})


@contextmanager
def _children_allowed() -> Iterator[None]:
    """Allow a worker of a multiprocessing.Pool to have children, then forbid it again. It may have none, since it is
    ended without being asked and they would stay behind. Ours end with their parent, however it ends."""
    config = getattr(multiprocessing.current_process(), "_config", {})
    before = config.get("daemon")
    if before:
        config["daemon"] = False
    try:
        yield
    finally:
        if before:
            config["daemon"] = before


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back, then let it through. It reaches the whole group, and a child that still imports would answer it
    with a traceback; so would one whose parent is torn away while it writes to it. The child is born deaf, and the
    parent hears it a moment later."""
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


def _find_errors() -> SameErrors | None:
    """Find the stderr to hand on; ``None`` where there is none."""
    try:
        os.fstat(2)
    except OSError:
        return None
    return SameErrors()


def _leave_server_behind(environment: Mapping[str, str]) -> None:
    """Give a fork what a process of its own would have."""
    os.environ.clear()
    os.environ.update(environment)
    if "numpy" in sys.modules:  # else code that seeds nothing draws the same in all forks, and is not found out
        sys.modules["numpy"].random.seed()  # Python's own generator does it by itself


def _work(connection: Connection, environment: Mapping[str, str] | None = None, errors: None = None) -> None:
    if environment is not None:
        _leave_server_behind(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    with suppress(OSError):  # there may be no stderr
        os.dup2(2, 1)  # what a model prints is no part of the command's table
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if not connection.poll():  # a spare: the first step of any optimizer imports this, and takes a second for it
        import torch._dynamo  # noqa: F401
    from steepest.compare.running.worker import Pipe, serve

    try:
        setting = connection.recv()
    except (EOFError, OSError):
        return
    serve(Pipe(connection.recv, connection.send), setting)


def _end_with_parent() -> None:
    """Wait for the parent's end, and end. A parent that is killed -9 closes nothing in order; its end is seen all the
    same, in the middle of a run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
