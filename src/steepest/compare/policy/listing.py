"""The studies below a folder, as far as their files tell: nothing is written, and no storage is asked."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from steepest._errors import InputError, StudyError
from steepest.compare.analysis.summary import summarize_study
from steepest.compare.policy.finished import known_records
from steepest.compare.records.folder import LOCK, invocations, load_spec
from steepest.compare.records.lines import RECORDS
from steepest.compare.records.storage import EMBEDDED, SHARED
from steepest.compare.spec import FILE

FINISHED, RESUMABLE, RUNNING, UNREADABLE = "finished", "can be resumed", "being run", "cannot be read"
_FOREIGN = {"node_modules", "__pycache__", "checkpoints", "site-packages"}


@dataclass(frozen=True)
class Listed:
    """A study in one line.

    Args:
        name: of its folder, as seen from where it was looked for.
        folder: where it lies.
        workloads: the names of its comparisons.
        done, planned: runs; of a study that stops early as many as are known to come.
        last: when a run ended last, or the command was called; seconds since the epoch.
        state: ``finished``, ``can be resumed``, ``being run`` or ``cannot be read``.
        problem: why it cannot be read.
    """

    name: str
    folder: Path
    workloads: tuple[str, ...]
    methods: tuple[str, ...]
    done: int
    planned: int
    last: float | None
    state: str
    problem: str = ""


def find_studies(below: Path) -> list[Listed]:
    """All studies in a folder and below it, by their names; links to folders are not followed.

    Raises:
        InputError: there is no such folder.
    """
    if not below.is_dir():
        raise InputError(f"DIR must be an existing folder, got {str(below)!r}")
    return [_list_one(folder, below) for folder in sorted(_find_folders(below))]


def _find_folders(below: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(below):
        here = {*files}
        if FILE in here and here & {RECORDS, EMBEDDED, LOCK, SHARED}:
            yield Path(place)
            folders.clear()  # no study lies in another
        else:
            folders[:] = [name for name in folders if not name.startswith(".") and name not in _FOREIGN]


def _list_one(folder: Path, below: Path) -> Listed:
    name = folder.relative_to(below).as_posix() if folder != below else folder.resolve().name
    last = max((entry["started"] for entry in _read_calls(folder)), default=None)
    try:
        study = load_spec(folder)
        records = known_records(folder, study)
        summaries = summarize_study(study, records)
    except (InputError, StudyError) as error:
        return Listed(name, folder, (), (), 0, 0, last, UNREADABLE, str(error))
    done, planned = (sum(getattr(s, of) for s in summaries) for of in ("finished", "planned"))
    last = max((x for x in (last, *(r.finished for r in records)) if x is not None), default=None)
    state = RUNNING if _is_held(folder / LOCK) else FINISHED if done >= planned else RESUMABLE
    methods = tuple(method.name for method in study.methods)
    return Listed(name, folder, tuple(c.name for c in study.comparisons), methods, done, planned, last, state)


def _read_calls(folder: Path) -> list[dict[str, float]]:
    try:
        return invocations(folder)
    except StudyError:
        return []


def _is_held(lock: Path) -> bool:
    """Say whether a process holds the lock of a folder, by asking for a part in it for a moment."""
    try:
        import fcntl
    except ImportError:  # Windows, where nobody can say without taking it
        return False
    with contextlib.suppress(FileNotFoundError, PermissionError), open(lock, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
