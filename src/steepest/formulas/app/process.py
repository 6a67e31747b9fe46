"""The process of the one training: a lock says which it is, and is free again however it ends."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from steepest.formulas.app.answers import RefusedError

_LOCK, _LOG = "lock", "log.txt"


@contextmanager
def hold_lock(folder: Path) -> Iterator[int]:
    """Hold the lock of the folder of trainings, which a process that is launched within takes over.

    Raises:
        RefusedError: a training is running.
    """
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(409, "a training is running; cancel it, or wait for its end") from None
        os.ftruncate(lock, 0)
        yield lock
    finally:
        os.close(lock)


def launch(training: Path, lock: int) -> None:
    """Start the process of a training; it inherits the lock, which the system frees when it is no more."""
    _note(lock, training.name, 0)
    command = [sys.executable, "-m", "steepest.formulas.app.job", str(training)]
    with open(training / _LOG, "ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(lock,), start_new_session=True
        )
    _note(lock, training.name, process.pid)
    threading.Thread(target=process.wait, daemon=True).start()  # leaves no dead process behind


def find_running(folder: Path) -> tuple[str | None, int]:
    """Which training is running, and the number of its process, 0 while it starts."""
    with suppress(FileNotFoundError):
        lock = os.open(folder / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            name, _, process = os.pread(lock, 200, 0).decode(errors="replace").strip().partition(" ")
            return (name, int(process)) if process.isdigit() else (None, 0)
        finally:
            os.close(lock)
    return None, 0


def _note(lock: int, name: str, process: int) -> None:
    os.pwrite(lock, f"{name} {process}".ljust(80).encode(), 0)
