"""What the user gave cannot be used: one sentence that says what is allowed, and no traceback."""

import importlib
from types import ModuleType


class InputError(Exception):
    """Bad input. Its text is one sentence for the user; the command prints it and exits with code 2."""


def require(module: str, extra: str) -> ModuleType:
    """Import a module of an optional extra.

    Raises:
        InputError: it is not installed; the sentence names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{module} is not installed; it comes with the extra: pip install 'steepest[{extra}]'"
        ) from error
