"""What can go wrong without being a bug: one sentence for the user, and no traceback."""

import importlib
import importlib.util
import re
from collections.abc import Callable
from types import ModuleType

_MARKED = re.compile("\ue000([^\ue001]*)\ue001")  # of the private use area: no text of a user's holds them


def argument(name: str) -> str:
    """An argument's name for an error's sentence, which everybody who shows it spells in their own way.

    Example:
        >>> error = InputError(f"{argument('batch_size')} must be at least 1, got 0")
        >>> str(error), error.spelled(lambda name: "--" + name.replace("_", "-"))
        ('batch_size must be at least 1, got 0', '--batch-size must be at least 1, got 0')
    """
    return f"\ue000{name}\ue001"


class _SentenceError(Exception):
    """One sentence, in which names marked by :func:`argument` are spelled as in Python, or as :meth:`spelled` says."""

    def spelled(self, spell: Callable[[str], str]) -> str:
        """The sentence with every argument's name as ``spell`` writes it: as a flag, or as a file's key."""
        return _MARKED.sub(lambda match: spell(match[1]), super().__str__())

    def __str__(self) -> str:
        return self.spelled(str)


class InputError(_SentenceError):
    """Bad input. Its text is one sentence for the user; the command prints it and exits with code 2."""


class ChangedError(InputError):
    """What a worker has is not what the study began with, so that no run may happen there."""


class MissingExtraError(InputError, ModuleNotFoundError):
    """A module of an optional extra is not installed."""


class StudyError(_SentenceError):
    """A study cannot go on, or ended without a result. One sentence; the command prints it and exits with code 1."""


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
