"""A study's folder on disk: its lock, its frozen spec, who ran it, and the records that others read."""

import json
import os
import platform
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from steepest._errors import InputError, argument
from steepest._version import __version__
from steepest.compare import spec as spec_module
from steepest.compare.running.jobs import Key, Record
from steepest.compare.spec import StudySpec

LOCK = ".lock"
RECORDS = "trials.jsonl"
INVOCATIONS = "invocations.jsonl"
_TEMPORARY = ".tmp"


@contextmanager
def opened(folder: Path, spec: StudySpec) -> Iterator[None]:
    """Hold a study's folder: create it if it is not there, else make sure that it holds this very study.

    The lock is the operating system's and goes with the process, however that ends.

    Raises:
        InputError: the folder cannot be written, holds something else, or another process is at work in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another process is running the study in {str(folder)!r}; wait for it or choose another with "
            f"{argument('out')} (with {argument('storage')}, every host works in a folder of its own)"
        ) from None
    except OSError as error:
        raise InputError(
            f"{argument('out')} must be a folder that can be written, got {str(folder)!r} ({error.strerror})"
        ) from error
    try:
        _sweep(folder)
        if (folder / spec_module.FILE).exists():
            if differences := load_spec(folder).differences(spec):
                more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
                raise InputError(
                    f"{str(folder)!r} holds a study with another spec ({'; '.join(differences[:3])}{more}); "
                    f"choose another folder with {argument('out')}"
                )
        elif foreign := sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")):
            raise InputError(
                f"{argument('out')} must be a new folder or that of a study; {str(folder)!r} holds {foreign[0]!r}"
            )
        else:
            write_atomically(folder / spec_module.FILE, spec.to_json() + "\n")
        yield
    finally:
        lock.release()


def load_spec(folder: Path) -> StudySpec:
    """The frozen spec of a study's folder.

    Raises:
        InputError: the folder holds no study, or one that this version cannot read.
    """
    path = folder / spec_module.FILE
    if not path.is_file():
        raise InputError(f"{str(folder)!r} holds no study: there is no {spec_module.FILE} in it")
    try:
        spec = StudySpec.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{str(path)!r} is not a study's spec that steepest {__version__} can read ({error})"
        ) from error
    return spec


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, sees either the old text or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{_TEMPORARY}")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what writers left behind that were killed; one that is at work takes less than a minute."""
    for path in folder.glob(f".*{_TEMPORARY}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > 60:
                path.unlink()


def write_records(folder: Path, records: Iterable[Record]) -> None:
    """Write all records anew, one JSON object a line."""
    write_atomically(folder / RECORDS, "".join(_line(record.to_dict()) for record in records))


def append_record(folder: Path, record: Record) -> None:
    """Add one record while a study runs. A line that a crash cuts short, the next start drops."""
    with open(folder / RECORDS, "a", encoding="utf-8") as file:
        file.write(_line(record.to_dict()))


def read_records(folder: Path) -> list[Record]:
    """What :func:`write_records` and :func:`append_record` wrote; of two records of a run, the later.

    A line that is not whole is left out: it is being written now, or was when its writer was killed.
    """
    path = folder / RECORDS
    found: dict[Key, Record] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with suppress(ValueError, TypeError):
            record = Record(**json.loads(line))
            found[record.key] = record
    return list(found.values())


def note_invocation(folder: Path, command: str, jobs: int) -> None:
    """Record who runs the study now: the command, the machine and the versions."""
    entry = {
        "command": command,
        "jobs": jobs,
        "started": time.time(),
        "machine": machine(),
        "versions": {"steepest": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    write_invocations(folder, [*invocations(folder), entry])


def write_invocations(folder: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Write all of them anew, the oldest first."""
    write_atomically(folder / INVOCATIONS, "".join(map(_line, entries)))


def invocations(folder: Path) -> list[dict[str, Any]]:
    """All that :func:`note_invocation` wrote, the oldest first."""
    path = folder / INVOCATIONS
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def machine() -> str:
    """Processor, number of usable cores, GPUs and operating system, in one line."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join([_processor(), f"{usable_cores()} cores", *gpus, f"{platform.system()} {platform.release()}"])


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False) + "\n"
