"""Files that are whole at every moment; what something has damaged is kept under another name and told of once."""

import itertools
import logging
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

_TEMPORARY = ".tmp"
_log = logging.getLogger("steepest")
_told: set[str] = set()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees either the old content or the whole new one; text as UTF-8.

    A folder in its place is put aside.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{_TEMPORARY}")
    try:
        with open(temporary, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        clear_place(path)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but what writers left behind that were killed."""
    return all(path.match(f".*{_TEMPORARY}") for path in folder.iterdir())


def sweep(folder: Path) -> None:
    """Remove what writers left behind that were killed; one that is at work takes less than a minute."""
    for path in folder.glob(f".*{_TEMPORARY}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > 60:
                path.unlink()


def put_aside(path: Path) -> Path:
    """Rename whatever lies at ``path`` to the first free ``NAME.damaged-N``; returns the new path."""
    aside = _free(path)
    os.rename(path, aside)
    return aside


def keep_copy(path: Path) -> Path:
    """The same for a file that is about to be replaced: it stays in place until then, so that no crash can lose it."""
    if not path.is_file():
        return put_aside(path)
    aside = _free(path)
    try:
        os.link(path, aside)
    except OSError:  # a file system without links
        shutil.copy2(path, aside)
    return aside


def say_once(sentence: str) -> None:
    """Tell the terminal, however often it is found out."""
    if sentence not in _told:
        _told.add(sentence)
        _log.warning("%s", sentence)


def reason_of(error: BaseException) -> str:
    """The first line of what is wrong with a file, in the words of whoever read it.

    Example:
        >>> reason_of(PermissionError(13, "Permission denied")), reason_of(KeyError("format"))
        ('Permission denied', "it has no 'format'")
    """
    if isinstance(error, KeyError):
        return f"it has no {error}"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).strip().partition("\n")[0]


def clear_place(path: Path, *, links: bool = False) -> None:
    """Put aside what a file cannot replace: a folder in its place; with ``links``, a symbolic link as well."""
    if links if path.is_symlink() else path.is_dir():
        with suppress(FileNotFoundError):
            put_aside(path)


def _free(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.damaged-{n}") for n in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))
