"""Python files that the user's code reads itself, to run them without an import: ``spec_from_file_location``,
``runpy``, ``exec`` of a file's text. Python tells of every file that is opened, in this process, to an audit hook."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from steepest.training.code import user_code

PREFIX = "file:"  # before a path among the names of modules

_listening: list[set[str]] = []


@contextmanager
def python_files() -> Iterator[set[str]]:
    """The user's Python files that are opened meanwhile, known at the end; those of imported modules are left out."""
    _install()
    heard: set[str] = set()
    found: set[str] = set()
    _listening.append(heard)
    try:
        yield found
    finally:
        _listening.remove(heard)
    read = {os.path.realpath(path) for path in heard if user_code.is_users_file(path)}
    found.update(read - _list_known() if read else ())


def as_modules(paths: set[str], home: str) -> dict[str, ModuleSpec]:
    """The files by names that say where they are as seen from the folder ``home``."""
    names = {path: PREFIX + Path(os.path.relpath(path, os.path.realpath(home))).as_posix() for path in sorted(paths)}
    return {name: ModuleSpec(name, None, origin=path) for path, name in names.items()}


def located(name: str, homes: list[str]) -> ModuleSpec | None:
    """The file of such a name, as seen from the first folder where there is one."""
    paths = [os.path.join(home, name.removeprefix(PREFIX)) for home in homes]
    return next((ModuleSpec(name, None, origin=path) for path in paths if os.path.isfile(path)), None)


def shown(name: str) -> str:
    """
    Example:
        >>> shown("mynet"), shown("file:parts/net.py")
        ('module mynet', 'file parts/net.py')
    """
    return f"file {name.removeprefix(PREFIX)}" if name.startswith(PREFIX) else f"module {name}"


def _list_known() -> set[str]:
    """List the program itself, the files that a user named, and the modules that are known by their names."""
    named = [m for name, m in list(sys.modules.items()) if name == "__main__" or name.startswith(user_code.OF_FILE)]
    files = [getattr(module, "__file__", None) for module in named]
    files += [spec.origin for spec in user_code.loaded_users_modules().values()]
    return {os.path.realpath(file) for file in files if file}


@cache
def _install() -> None:
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _listening or not isinstance(arguments[0], str):
        return
    path = arguments[0]
    if path.endswith(".pyc"):
        with suppress(ValueError):  # of another layout
            path = importlib.util.source_from_cache(path)
    if path.endswith((".py", ".pyw")) and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        for heard in _listening:
            heard.add(os.path.abspath(path))
