"""Commands as tests start them, `python -m steepest ...` above all, without what each of them imports: torch takes
seconds. A server that has imported it all, and done nothing else, forks a process of its own for every command.

What is forked is a process like any other: with its own number, session, folder, environment, streams, exit code; it
runs as `__main__` and ends as the interpreter ends. The server of its workers is a fork too. What a fork cannot have,
another environment where that is read but once, or options of the interpreter, has the cold start that it always had;
so has what a test starts by :mod:`subprocess`, where starting is the point.
"""

import array
import atexit
import builtins
import fcntl
import functools
import gc
import importlib
import io
import json
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path
from typing import Any

from steepest.compare.running import fork_server

ROOT = Path(__file__).parent.parent
# What a study, its report, its workers and the ranks of the two-rank tests import.
IMPORTED = (
    *("torch._dynamo", "torch.distributed.fsdp", "torch.distributed.optim", "torch.distributed.checkpoint"),
    *("steepest.cli.app", "steepest.compare.study.study", "steepest.compare.running.worker", "steepest.testing"),
    *("steepest.compare.report.page", "steepest.training.builtin", "steepest.training.train"),
    *("numpy", "pandas", "scipy.stats", "plotly.graph_objects", "sklearn.datasets", "optuna.storages"),
)
# Of the environment, what is read as a command imports, beside what the study's own server knows of; what libraries
# set by themselves, to what they would do anyhow, is no difference.
_READ_ONCE = (
    *fork_server._READ_ONCE,
    "COLORTERM",
    "FORCE_COLOR",
    "GITHUB_ACTIONS",
    "NO_COLOR",
    "PY_COLORS",
    "TERMINAL_",
)
_SET_BY_ITSELF = (
    "KMP_DUPLICATE_LIB_OK",
    "KMP_INIT_AT_FORK",
    "LD_LIBRARY_PATH",  # by OpenCV
    "PYTORCH_NVML_BASED_CUDA_CHECK",
    "TORCHINDUCTOR_CACHE_DIR",
)
_BEFORE = dict(os.environ)  # as this process began, whatever a test has set since
# What workers begin with, beside the tests' own environment.
_WORKERS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "PYTHONHASHSEED": "0"}


class Popen(subprocess.Popen):
    """As :class:`subprocess.Popen`; forked where that can be.

    Args:
        limits: resource limits by their number, which take the place of ``preexec_fn``.
    """

    _report: int | None = None
    limits: dict[int, int]

    def __init__(
        self, command: Any, *, limits: dict[int, int] | None = None, is_warm: bool | None = None, **options: Any
    ) -> None:
        self.limits = limits or {}
        self._is_warm = _can_be_forked([str(word) for word in command], options) if is_warm is None else is_warm
        if self.limits and not self._is_warm:
            options["preexec_fn"] = functools.partial(_limit, self.limits)
        super().__init__(command, **options)

    def _execute_child(self, args: Any, *others: Any) -> None:  # type: ignore[override]
        if not self._is_warm:
            return super()._execute_child(args, *others)  # type: ignore[misc]
        _, _, _, numbers, cwd, env, _, _, _, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *_ = others
        words = [os.fspath(word) for word in args][1:]
        found = {"words": words, "cwd": os.fspath(cwd or os.getcwd()), "environment": dict(env or os.environ)}
        found |= {"session": others[-2], "limits": self.limits, "numbers": list(numbers)}
        self._report, theirs = os.pipe()
        streams = [
            own if own != -1 else ours for own, ours in zip((p2cread, c2pwrite, errwrite), range(3), strict=True)
        ]
        try:
            _server().ask(found, [*streams, *numbers, theirs])
        finally:
            os.close(theirs)
            self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)
        self._child_created = True
        self.pid = int(self._line())

    def __exit__(self, kind: type | None, *others: Any) -> None:
        if kind is not None:
            self.kill()  # a test that has failed waits for nothing
        super().__exit__(kind, *others)

    def _line(self) -> str:
        said = b""
        while not said.endswith(b"\n"):
            more = os.read(self._report, 1)
            if not more:
                raise RuntimeError("the server of warm commands is gone")
            said += more
        return said.decode()

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if self._report is None:
            return super()._try_wait(flags)  # type: ignore[misc]
        if not select.select([self._report], [], [], 0 if flags & os.WNOHANG else None)[0]:
            return 0, 0
        status = int(self._line())
        os.close(self._report)
        self._report = None
        return self.pid, status

    def _internal_poll(self, _deadstate: int | None = None, **_: Any) -> int | None:
        if self._report is None:
            return super()._internal_poll(_deadstate)  # type: ignore[misc]
        if _deadstate is not None:  # this object goes away; perhaps the interpreter, too
            self.returncode = _deadstate
        elif self.returncode is None and self._waitpid_lock.acquire(blocking=False):
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode


def run(
    command: Any, *, capture_output: bool = False, check: bool = False, timeout: float = 300, **options: Any
) -> subprocess.CompletedProcess:
    """As :func:`subprocess.run`."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **options) as process:
        try:
            said = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, *said)
    if check:
        done.check_returncode()
    return done


def _can_be_forked(command: list[str], options: dict[str, Any]) -> bool:
    if not fork_server.can_fork() or "COVERAGE_PROCESS_CONFIG" in os.environ or len(command) < 2:
        return False
    plain = command[0] == sys.executable and (command[1] in ("-c", "-m", "-u") or not command[1].startswith("-"))
    known = {"stdin", "stdout", "stderr", "text", "env", "cwd", "start_new_session", "encoding", "errors"}
    return (
        plain
        and options.keys() <= known
        and (_but_for_memory(options.get("env") or os.environ) == _but_for_memory(_BEFORE))
    )


class ForkServer(forkserver.ForkServer):
    """What this process's own studies fork their workers from; itself a fork, if its environment is the usual one."""

    _process: Popen | None = None

    def ensure_running(self) -> None:
        usual = _read_once(os.environ) == _read_once({**_BEFORE, **_WORKERS})
        if self._process is None and not (usual and fork_server.can_fork()):
            super().ensure_running()
        elif self._process is None or self._process.poll() is not None:
            self._forkserver_pid = None
            resource_tracker.ensure_running()
            start, util.spawnv_passfds = util.spawnv_passfds, self._start
            try:
                super().ensure_running()
            finally:
                util.spawnv_passfds = start

    def _start(self, path: str, args: list[str], passfds: list[int]) -> int:
        self._process = Popen([path, "-c", args[-1]], pass_fds=passfds, is_warm=True)
        return self._process.pid


def _read_once(environment: Any) -> dict[str, str]:
    return {n: value for n, value in environment.items() if n.startswith(_READ_ONCE) and n not in _SET_BY_ITSELF}


def _but_for_memory(environment: Any) -> dict[str, str]:
    """How fast a command is in that is no matter; of its workers the study says it itself."""
    return {name: value for name, value in _read_once(environment).items() if not name.startswith("MALLOC_")}


def _limit(limits: dict[int, int]) -> None:
    for number, value in limits.items():
        resource.setrlimit(int(number), (value, value))


class _Server:
    """The process that forks, and this end of the socket to it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"from tests.warm import serve as begin; begin({theirs.fileno()})()"
        # Not what is passed by -c but the folder of the tests must be found.
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[theirs.fileno()], cwd=ROOT, env={**_BEFORE, **_WORKERS},
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    def ask(self, wanted: dict[str, Any], descriptors: list[int]) -> None:
        _send(self._socket, wanted, descriptors)

    def end(self) -> None:
        self._socket.close()
        self._process.wait()


@functools.cache
def _started(pid: int) -> _Server:
    server = _Server()
    atexit.register(server.end)
    return server


def _server() -> _Server:
    """This process's, started if there is none; its imports are not waited for."""
    return _started(os.getpid())


def _send(connection: socket.socket, message: Any, descriptors: list[int]) -> None:
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
    connection.sendmsg([json.dumps(message).encode()], [rights])


def _receive(connection: socket.socket) -> tuple[Any, list[int]]:
    """A message and its descriptors; ``None`` at the end."""
    text, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 16)
    return json.loads(text) if text else None, descriptors


def serve(descriptor: int) -> Callable[[], object]:
    """Be the server; returns in each fork, with what runs there as the main program and ends it."""
    connection = socket.socket(fileno=descriptor)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # it may have been started while interruptions were held back
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection would write to, and so copy, the memory that all forks share
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reports: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([connection, read_end], [], [])
        if read_end in ready:
            os.read(read_end, 65536)
            _report_the_ended(reports)
        if connection in ready:
            wanted, descriptors = _receive(connection)
            if wanted is None:
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                connection.detach()
                return _become(wanted, descriptors)
            *others, report = descriptors
            for other in others:
                os.close(other)
            reports[pid] = report


def _report_the_ended(reports: dict[int, int]) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            report = reports.pop(pid)
            with suppress(BrokenPipeError):
                os.write(report, b"%d\n" % status)
            os.close(report)


def _become(wanted: dict[str, Any], descriptors: list[int]) -> Callable[[], object]:
    """Make this fork what a process would be that has just started to run ``wanted``."""
    if wanted["session"]:
        os.setsid()
    os.write(descriptors[-1], b"%d\n" % os.getpid())  # from here on it can be found, and its group
    os.chdir(wanted["cwd"])
    for own, given in enumerate(descriptors[:3]):
        os.dup2(given, own)
    _keep_only(descriptors[3:-1], wanted["numbers"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    _limit(wanted["limits"])
    words = wanted["words"]
    _open_streams(unbuffered=words[0] == "-u" or bool(os.environ.get("PYTHONUNBUFFERED")))
    sys.modules["numpy"].random.seed()
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    if not wanted["numbers"]:
        _keep_a_spare()
    return functools.partial(_run_to_the_end, _main_program(words[words[0] == "-u" :]))


def _keep_only(descriptors: list[int], numbers: list[int]) -> None:
    """Close all files but the streams and these, which get other numbers."""
    aside = [fcntl.fcntl(given, fcntl.F_DUPFD, 200) for given in descriptors]
    for opened in map(int, os.listdir("/proc/self/fd")):
        if opened > 2 and opened not in aside:
            with suppress(OSError):  # that of the list itself
                os.close(opened)
    for given, number in zip(aside, numbers, strict=True):
        os.dup2(given, number)
        os.close(given)


def _open_streams(unbuffered: bool) -> None:
    """As the interpreter does; the server's own know what it was started with."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        before = getattr(sys, name)
        buffering = 0 if number and unbuffered else -1
        file = open(number, "wb" if number else "rb", buffering, closefd=False)  # noqa: SIM115 - stays open
        getattr(file, "raw", file).name = f"<{name}>"
        stream = io.TextIOWrapper(
            file, encoding=before.encoding, errors=before.errors, newline="\n" if number else None,
            line_buffering=not unbuffered and (number == 2 or os.isatty(number)),
            write_through=bool(number and unbuffered),
        )  # fmt: skip
        stream.mode = before.mode
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _main_program(words: list[str]) -> Callable[[], object]:
    vars(sys.modules["__main__"]).clear()
    vars(sys.modules["__main__"]).update(__name__="__main__", __builtins__=builtins, __spec__=None, __doc__=None)
    first, *others = words
    if first == "-m":
        sys.path[0] = os.getcwd()
        sys.argv[:] = ["-m", *others[1:]]
        return functools.partial(runpy._run_module_as_main, others[0])  # as the interpreter does
    sys.path[0] = "" if first == "-c" else str(Path(first).resolve().parent)
    sys.argv[:] = [first, *others[1:]] if first == "-c" else words
    if first != "-c":
        vars(sys.modules["__main__"])["__file__"] = first
    text, name = (others[0], "<string>") if first == "-c" else (Path(first).read_text(), first)
    return functools.partial(exec, compile(text, name, "exec"), vars(sys.modules["__main__"]))


def _run_to_the_end(main: Callable[[], object]) -> None:
    """As the interpreter does, without taking the memory apart: most of that is the server's."""
    code: object = 0
    try:
        main()
    except SystemExit as error:
        code = error.code
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    with suppress(OSError):
        sys.stderr.flush()
    os._exit((code or 0) & 0xFF)


def _keep_a_spare() -> None:
    """Fork a process that will be the server of this one's workers; it is what it was before anything was done."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _wait_to_serve(theirs)
    theirs.close()
    start, begun_in = util.spawnv_passfds, {**_read_once(os.environ), **_WORKERS}

    def start_warm(path: str, args: list[str], passfds: list[int]) -> int:
        nonlocal ours
        is_server = "multiprocessing.forkserver import main" in args[-1]
        if ours is None or not is_server or _read_once(os.environ) != begun_in:
            return start(path, args, passfds)
        _send(ours, {"code": args[-1], "numbers": list(passfds), "environment": dict(os.environ)}, list(passfds))
        ours.close()
        ours = None
        return pid

    util.spawnv_passfds = start_warm


def _wait_to_serve(connection: socket.socket) -> None:
    """Run the code that is sent, a multiprocessing server's, with its descriptors under the numbers that it knows."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as what starts it does
    wanted, descriptors = _receive(connection)
    if wanted is not None:
        connection.close()
        os.environ.clear()
        os.environ.update(wanted["environment"])
        _keep_only(descriptors, wanted["numbers"])
        with suppress(SystemExit):
            exec(wanted["code"], {})
    os._exit(0)
