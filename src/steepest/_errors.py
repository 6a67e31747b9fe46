"""What can go wrong without being a bug: one sentence for the user, and no traceback."""

import importlib
import importlib.util
from types import ModuleType


class InputError(Exception):
    """Bad input. Its text is one sentence for the user; the command prints it and exits with code 2."""


class MissingExtraError(InputError, ModuleNotFoundError):
    """A module of an optional extra is not installed."""


class StudyError(Exception):
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
