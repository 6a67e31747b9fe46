"""A storage that is away for a while: what it was asked is asked again, until it is back or patience ends."""

import errno
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import sqlalchemy.exc

from steepest._errors import StudyError
from steepest.compare.records.storage import Storage, masked, seconds_from_environment

PATIENCE = "STEEPEST_PATIENCE"  # seconds
PATIENCE_SECONDS = 600.0
STORAGE_ERRORS = (sqlalchemy.exc.SQLAlchemyError,)
_SHORTEST, _LONGEST = 0.1, 5.0  # seconds between two attempts
_SILENT_SECONDS = 0.5  # a lock that is held, a transaction that loses against another: nothing to tell
# Of PostgreSQL's errors: connection, transaction rolled back, insufficient resources, operator intervention, and a
# lock that was taken away.
_PASSING = ("08", "40", "53", "57", "25P03")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OUT_OF_REACH = {errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ENOENT}
_log = logging.getLogger("steepest")

T = TypeVar("T")


class StorageAwayError(StudyError):
    """A storage stayed away for longer than patience lasts, or the user ended the wait."""


class Patience:
    """Calls what may find the storage away, again and again, and tells the terminal once that it waits.

    What it calls must be idempotent: an operation whose answer was lost may have happened.

    Args:
        place: the storage, as the user may see it.
        pause: waits so many seconds; true if there is no point in waiting on.
        longest: seconds between two attempts, at most.
    """

    def __init__(self, place: str, pause: Callable[[float], object] = time.sleep, longest: float = _LONGEST) -> None:
        self.outages = 0
        self._place = place
        self._pause = pause
        self._longest = longest
        self._seconds = seconds_from_environment(PATIENCE, PATIENCE_SECONDS)

    def __call__(self, operation: Callable[[], T]) -> T:
        """What ``operation`` returns, once it does.

        Raises:
            StorageAwayError: the storage was away for too long.
        """
        since: float | None = None
        told = False
        delay = _SHORTEST
        while True:
            try:
                result = operation()
            except STORAGE_ERRORS as error:
                if not is_passing(error):
                    raise
                now = time.monotonic()
                if since is None:
                    since = now
                    self.outages += 1
                if not told and now - since > _SILENT_SECONDS:
                    told = True
                    _log.warning("%s is away (%s); waiting for it", self._place, reason_of(error))
                delay *= random.uniform(0.7, 1.3)
                if now - since + delay > self._seconds or self._pause(delay):
                    raise StorageAwayError(
                        f"{self._place} is away ({reason_of(error)}), {now - since:.0f} seconds by now; "
                        f"finished runs are safe, and the same command resumes from them"
                    ) from error
                delay = min(2 * delay, self._longest)
            else:
                if told and since is not None:
                    _log.warning("%s is back after %.0f seconds", self._place, time.monotonic() - since)
                return result


def is_passing(error: Exception) -> bool:
    """Whether an error says that the storage may well answer later."""
    original = getattr(error, "orig", None)
    if type(original).__module__ == "sqlite3":
        return "locked" in str(original)
    state = getattr(original, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_PASSING)
    # The last: the connection was lost in the middle of a transaction, and what was asked next met its remains.
    lost = (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError, sqlalchemy.exc.PendingRollbackError)
    return isinstance(error, lost) or getattr(error, "connection_invalidated", False)


def reason_of(error: Exception) -> str:
    """The first line of what a storage or the operating system has to say, without a password."""
    reason = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
    return masked(str(reason).strip().partition("\n")[0])


def place_named(folder: Path, storage: Storage | None) -> str:
    """Where a study's runs are kept, as the user may see it."""
    return f"the study's folder {str(folder)!r}" if storage is None else f"the storage {storage}"


@contextmanager
def sentence_for_lost(folder: Path, storage: Storage | None) -> Iterator[None]:
    """Say in one sentence that a folder or a storage is lost.

    Raises:
        StudyError: it can no longer be read or written.
    """
    try:
        yield
    except (*STORAGE_ERRORS, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _FULL | _OUT_OF_REACH:
            raise
        place = place_named(folder, None if isinstance(error, OSError) else storage)
        raise StudyError(
            f"{place} can no longer be read or written ({reason_of(error)}); "
            f"finished runs are safe, and the same command resumes from them"
        ) from error
