"""Processes as forks of one that has imported torch already, so that a study pays for that once and not for each.

A fork is safe there: the server has done nothing but import, so that it has neither threads nor locks that they hold.
With the driver of a GPU it is not, and on macOS the system's own libraries object.

It imports nothing that takes time, as :mod:`.spares`.
"""

import io
import os
import sys
import threading
from collections.abc import Callable
from multiprocessing import context, forkserver, popen_forkserver, process, reduction, spawn, util
from typing import Any

_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
# What every run imports, and nothing of the user's.
_PRELOADED = ["torch._dynamo", "steepest.compare.running.worker", "steepest.training.train"]
# Of the environment, what the interpreter and the libraries read once, as they are loaded.
_READ_ONCE = (
    *("ATEN_", "DNNL_", "GLIBC_", "GOMP_", "KMP_", "LANG", "LC_", "LD_", "MALLOC_", "MKL_", "NPY_", "NUMEXPR_", "OMP_"),
    *("ONEDNN_", "OPENBLAS_", "PYTHON", "PYTORCH", "TORCH"),
)
_lock = threading.Lock()
_server: tuple[tuple[int, dict[str, str]], Any] | None = None  # with what it was started in


def can_fork() -> bool:
    """Whether processes of this machine may be forks."""
    return sys.platform == "linux" and not any(map(os.path.exists, _DRIVERS))


def running_server() -> forkserver.ForkServer:
    """The server of this process, started if there is none; it is not waited for, and ends with this process.

    Where the environment has changed in what is read once, another takes its place; the old one ends with its forks.
    """
    global _server
    begun_in = os.getpid(), {name: value for name, value in os.environ.items() if name.startswith(_READ_ONCE)}
    with _lock:
        if _server is None or _server[0] != begun_in:
            _let_go()
            server = forkserver.ForkServer()
            server.set_forkserver_preload(_PRELOADED)
            _server = begun_in, server
        _server[1].ensure_running()
        return _server[1]


def _let_go() -> None:
    """Close what keeps this process's server alive; that of the process which it was forked from is not its own."""
    if _server is not None and _server[0][0] == os.getpid() and _server[1]._forkserver_alive_fd is not None:
        os.close(_server[1]._forkserver_alive_fd)


class Forked(context.ForkServerProcess):
    """A process that ``server`` forks; starting it waits until the server has imported what it must."""

    def __init__(self, server: forkserver.ForkServer, target: Callable[..., object], args: tuple[Any, ...]) -> None:
        super().__init__(target=target, args=args, daemon=True)
        self._server: forkserver.ForkServer | None = server

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> "_Popen":  # noqa: N802
        return _Popen(process_obj)


class _Popen(popen_forkserver.Popen):
    """Start processes as the standard library does, which knows one server only."""

    _fds: list[int]

    def _launch(self, process_obj: Any) -> None:
        server, process_obj._server = process_obj._server, None
        data = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump(spawn.get_preparation_data(process_obj.name), data)
            reduction.dump(process_obj, data)
        finally:
            context.set_spawning_popen(None)
        self.sentinel, theirs = server.connect_to_new_process(self._fds)
        ours = os.dup(theirs)  # the child sees its parent's end by it
        self.finalizer = util.Finalize(self, util.close_fds, (ours, self.sentinel))  # type: ignore[attr-defined]
        with open(theirs, "wb") as file:
            file.write(data.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


class SameErrors:
    """This process's stderr, for a fork to write to: the server has the one of when it was started."""

    def __reduce__(self) -> Any:
        return _take_over_errors, (reduction.DupFd(2),)


def _take_over_errors(descriptor: Any) -> None:
    found = descriptor.detach()
    os.dup2(found, 2)
    os.close(found)
