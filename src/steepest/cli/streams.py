"""Where the command prints: it loses no study to a closed, full or old-fashioned standard stream."""

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import IO, Any

from rich.console import Console

from steepest._errors import StudyError

_PLAIN = {
    "\N{NO-BREAK SPACE}": " ",
    "\N{INFINITY}": "inf",
    "\N{PLUS-MINUS SIGN}": "+/-",
    "\N{MINUS SIGN}": "-",
    "\N{EN DASH}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
}
_LOSSY = ("ignore", "replace", "backslashreplace", "namereplace", "xmlcharrefreplace")  # which never fail either


def out() -> Console:
    """Standard output. Off a terminal lines are not broken, and a table is as wide as it needs to be."""
    stream = _Stream(sys.stdout, wanted=True)
    return Console(file=stream) if stream.isatty() else Console(file=stream, width=200, soft_wrap=True)  # type: ignore[arg-type]


def err() -> Console:
    """Standard error."""
    stream = _Stream(sys.stderr, wanted=False)
    return Console(file=stream, stderr=True, soft_wrap=not stream.isatty())  # type: ignore[arg-type]


@contextmanager
def guarded_output() -> Iterator[None]:
    """Whatever prints to standard output meanwhile, as the help does, does it as :func:`out` would.

    Raises:
        StudyError: it cannot be written.
    """
    with redirect_stdout(_Stream(sys.stdout, wanted=True)) as stream:
        yield
        stream.flush()


def open_closed() -> None:
    """Give a process that was started without standard streams (``>&-``) silent ones.

    Else the next file that it opens, a study's records maybe, would take the place of one and get what is printed.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as long as we live


def never_fail_to_encode() -> None:
    """Print a sign that the stream's encoding does not have (cp1252, ascii) as one that it has."""
    codecs.register_error("steepest.plain", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) not in (None, *_LOSSY) and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="steepest.plain")


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    plain = (_PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode("ascii") for sign in signs)
    return "".join(plain), error.end


class _Stream:
    """Wrap a standard stream whose reader may go away (``| head -1``): the rest is then printed to nowhere.

    Args:
        wanted: raise a StudyError if it cannot be written for another reason, as on a full disk.
    """

    def __init__(self, stream: IO[str] | None, *, wanted: bool) -> None:
        self._stream, self._wanted = stream, wanted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        self._do("write", text)
        return len(text)

    def flush(self) -> None:
        self._do("flush")

    def _do(self, what: str, *args: str) -> None:
        if self._stream is None:
            return
        try:
            getattr(self._stream, what)(*args)
        except OSError as error:
            _silence(self._stream)
            if self._wanted and not isinstance(error, BrokenPipeError):
                raise StudyError(f"the output cannot be written ({error.strerror})") from error


def _silence(stream: IO[str]) -> None:
    """Send what is left in the stream's buffer, and all that follows, to nowhere; else the end of Python complains."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
