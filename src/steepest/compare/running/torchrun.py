"""The pool of a study under torchrun: its one worker is all ranks, which do every run together.

Rank 0 has the study's folder and says what is done; the other ranks :func:`follow`. They meet in torchrun's store: rank
0 writes each job there, and every rank how a job ended. So a rank can wait for as long as a run takes without any
collective running into its timeout, and an error of one rank can be told from one of all.
"""

import base64
import datetime
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from steepest._errors import StudyError
from steepest.compare.records.record import Job, Record
from steepest.compare.running.pool import Pool
from steepest.compare.running.setting import Setting
from steepest.compare.running.worker import Pipe, serve
from steepest.training.loop.checkpoint import Checkpoint, checkpoint_path
from steepest.training.process.group import ProcessGroup, Strategy, own_device

_FOREVER = datetime.timedelta(days=365)
_GRACE = datetime.timedelta(seconds=30)  # between the errors of two ranks that have the same one
_END = ""
_GONE = object()


class RankPool(Pool["_Team"]):
    """One worker, the ranks of this process's torchrun; made and entered by rank 0."""

    replaceable = False  # torchrun alone starts a rank

    def __init__(self, setting: Setting) -> None:
        super().__init__(1)
        self._setting = setting
        self._store = _join_store()
        self._started = False

    def __exit__(self, *raised: object) -> None:
        if not self._started:
            self._store.set("setting", _END)
        super().__exit__(*raised)

    def _start(self) -> "_Team":
        if self._started:
            raise StudyError("a rank of this study is gone; finished runs are safe, and the same command resumes")
        self._started = True
        return _Team(self._setting, self._store)

    def _ready(self, workers: Sequence["_Team"], timeout: float) -> Sequence["_Team"]:
        return [worker for worker in workers if worker.says_something(timeout)]


class _Team:
    """Run rank 0's runs in a thread, so that the process can still be told to stop."""

    reason = "a rank that does not answer"

    def __init__(self, setting: Setting, store: Store) -> None:
        self._store = store
        self._in: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._out: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._next: list[Any] = []
        self._count = 0
        self._stdout = sys.stdout
        store.set("setting", _packed(setting))
        self._thread = threading.Thread(target=self._work, args=(setting,), daemon=True)
        self._thread.start()

    def send(self, message: object) -> None:
        if not self._thread.is_alive():
            raise BrokenPipeError
        self._in.put(message)

    def says_something(self, timeout: float) -> bool:
        with suppress(queue.Empty):
            self._next.append(self._out.get(timeout=timeout))
        return bool(self._next)

    def receive(self) -> object:
        message = self._next.pop(0)
        if message is _GONE:
            raise EOFError
        return message

    def stop(self) -> None:
        """End the ranks where they are idle. One in a run is left to torchrun, which ends them all with this one."""
        self._in.put(None)
        self._thread.join(timeout=2)
        sys.stdout = self._stdout

    def _work(self, setting: Setting) -> None:
        try:
            ranks = _process_group(setting, self._store)
            sys.stdout = sys.stderr  # what a model prints is no part of the command's table
            serve(Pipe(self._receive, self._send), setting, ranks)
            dist.destroy_process_group()
        except Exception:  # of the connection to the others
            self._out.put(_GONE)

    def _receive(self) -> Any:
        message = self._in.get()
        if message is None or isinstance(message, Job):
            self._count += 1
            self._store.set(f"job {self._count}", _END if message is None else _packed(message))
        if message is None:
            raise EOFError
        return message

    def _send(self, message: object) -> None:
        if not isinstance(message, Record):
            self._out.put(message)
            return
        _report(self._store, self._count, message)
        if message.status == "failed":
            errors = _collect_reports(self._store, self._count)
            if errors is None:
                raise BrokenPipeError
            message = replace(message, error="\n".join(dict.fromkeys(filter(None, errors))))
        self._out.put(message)


def follow() -> None:
    """The life of a rank other than 0: every job that rank 0 names, until it says that there are no more."""
    with suppress(OSError):
        os.dup2(2, 1)  # what a model prints is no part of the command's table
    for number in (signal.SIGINT, signal.SIGTERM):  # rank 0 has all that is worth saving
        signal.signal(number, signal.SIG_DFL)
    store = _join_store()
    said = store.get("setting").decode()
    if said == _END:
        return
    setting: Setting = _unpacked(said)
    ranks = _process_group(setting, store)
    follower = _Follower(setting, store, ranks.rank)
    serve(Pipe(follower.receive, follower.send), setting, ranks)
    dist.destroy_process_group()


class _Follower:
    def __init__(self, setting: Setting, store: Store, rank: int) -> None:
        self._setting = setting
        self._store = store
        self._rank = rank
        self._count = 0
        self._job: Job | None = None
        self._done: Job | None = None

    def receive(self) -> Any:
        """Return the next job; within one, the answer to whether to stop, which rank 0 knows."""
        if self._job is not None:
            return False
        self._count += 1
        said = self._store.get(f"job {self._count}").decode()
        if self._done is not None and self._setting.folder is not None:  # rank 0 has recorded it
            Checkpoint(checkpoint_path(self._setting.folder, *self._done.key, rank=self._rank)).remove()
        if said == _END:
            raise EOFError
        self._job = _unpacked(said)
        return self._job

    def send(self, message: object) -> None:
        if not isinstance(message, Record):
            return
        _report(self._store, self._count, message)
        if message.status == "failed" and _collect_reports(self._store, self._count) is None:
            os._exit(1)  # rank 0 waits for this one in the middle of a step: let it see that there is no use
        self._done, self._job = self._job, None


def _end_with_torchrun() -> None:
    """Watch torchrun, and end with it: if it is killed -9, its processes are left behind: they would hold the folder,
    or wait for each other."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    if "TORCHELASTIC_RUN_ID" in os.environ:
        threading.Thread(target=watch, daemon=True).start()


def _join_store() -> Store:
    """Join the store where the ranks meet; whoever comes here is one of them."""
    _end_with_torchrun()
    store, _, _ = next(rendezvous("env://", timeout=_FOREVER))
    return PrefixStore("steepest", store)


def _process_group(setting: Setting, store: Store) -> ProcessGroup:
    study = setting.study
    if not dist.is_initialized():
        ProcessGroup.begin(own_device(study.shared.device), store)
    return ProcessGroup(cast("Strategy", study.shared.strategy), own_device(study.shared.device))


def _packed(message: object) -> str:
    return base64.b64encode(pickle.dumps(message)).decode()


def _unpacked(said: str) -> Any:
    return pickle.loads(base64.b64decode(said))


def _report(store: Store, count: int, record: Record) -> None:
    rank = int(os.environ["RANK"])
    error = f"rank {rank}: {record.error}" if record.error and rank else record.error
    store.set(f"end {count} {rank}", error or "")


def _collect_reports(store: Store, count: int) -> list[str] | None:
    """Collect how a job ended on every rank; ``None`` if one of them does not say."""
    keys = [f"end {count} {rank}" for rank in range(int(os.environ["WORLD_SIZE"]))]
    try:
        store.wait(keys, _GRACE)
        return [store.get(key).decode() for key in keys]
    except Exception:  # whatever a store raises when its patience ends, or torchrun does
        return None
