"""What can go wrong without being a bug: one sentence for the user, and no traceback."""

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

# Of the private use area: no text of a user's holds them.
_OPEN, _CLOSE, _OF = "\ue000", "\ue001", "\ue002"
# From an argument's name and the parts of it that are meant to what a user calls it; `None`: somebody else knows.
Spelling = Callable[..., str | None]
_MARKED = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")


def argument(name: str, *parts: str) -> str:
    """An argument's name for an error's sentence, which everybody who shows it spells in their own way.

    Args:
        parts: which part of the argument's value is meant, where it may come from somewhere else than the rest: of
            ``space`` the method's name.

    Example:
        >>> error = InputError(f"{argument('batch_size')} must be at least 1, got 0")
        >>> str(error), error.spelled(lambda name: "--" + name.replace("_", "-"))
        ('batch_size must be at least 1, got 0', '--batch-size must be at least 1, got 0')
    """
    return _OPEN + _OF.join((name, *parts)) + _CLOSE


def one_line(text: str) -> str:
    """A text that a user's code may have made, so that it moves no cursor: one line, of signs that can be seen.

    Example:
        >>> one_line("first\\n  second \\x1b[31mred")
        'first second \\\\x1b[31mred'
    """
    line = " ".join(part.strip() for part in text.splitlines())
    return "".join(c if c.isprintable() or c == "\N{NO-BREAK SPACE}" else ascii(c)[1:-1] for c in line)


class _SentenceError(Exception):
    """Hold one sentence, in which names marked by :func:`argument` are spelled as in Python, or as :meth:`spelled`
    says."""

    def spelled(self, spell: Callable[[str], str]) -> str:
        """Return the sentence with every argument's name as ``spell`` writes it: as a flag, or as a file's key."""
        return _MARKED.sub(lambda match: spell(match[1].partition(_OF)[0]), super().__str__())

    def rename(self, spell: Spelling) -> None:
        """Spell arguments from now on as ``spell`` does, but for those of which it says ``None``.

        Example:
            >>> error = InputError(f"{argument('space', 'sgd')} and {argument('jobs')} are bad")
            >>> error.rename(lambda name, *parts: "--lr-range" if parts == ("sgd",) else None)
            >>> str(error)
            '--lr-range and jobs are bad'
        """

        def renamed(match: re.Match[str]) -> str:
            return spell(*match[1].split(_OF)) or match[0]

        self.args = tuple(_MARKED.sub(renamed, arg) if isinstance(arg, str) else arg for arg in self.args)

    def __str__(self) -> str:
        return self.spelled(str)


class InputError(_SentenceError):
    """Bad input. Its text is one sentence for the user; the command prints it and exits with code 2."""


class ChangedError(InputError):
    """What a worker has is not what the study began with, so that no run may happen there."""


class MissingExtraError(InputError, ModuleNotFoundError):
    """A module of an optional extra is not installed."""


class StudyError(_SentenceError):
    """A study cannot continue, or ended without a result. One sentence; the command prints it and exits with code 1."""


@contextmanager
def spelled_by(spell: Spelling | None) -> Iterator[None]:
    """Spell arguments in the sentences of errors that arise within as ``spell`` does: a file's as its keys."""
    try:
        yield
    except _SentenceError as error:
        if spell is not None:
            error.rename(spell)
        raise


def check_extra(extra: str, *modules: str) -> None:
    """Make sure that the modules of an extra are installed, without importing them.

    Raises:
        MissingExtraError: one is not; the sentence names the extra that brings it.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(f"{module} is not installed; it comes with: pip install 'steepest[{extra}]'")


def require(module: str, extra: str) -> ModuleType:
    """Import a module of an optional extra.

    Raises:
        MissingExtraError: it is not installed; the sentence names the extra that brings it.
    """
    check_extra(extra, module.partition(".")[0])
    return importlib.import_module(module)
