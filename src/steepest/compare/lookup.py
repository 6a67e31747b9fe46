"""From what a user types to the object: a built-in name, `path/to/file.py:name` or `package.module:name`."""

import difflib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from steepest._errors import InputError
from steepest.compare.builtin import METHODS, WORKLOADS
from steepest.compare.method import Method
from steepest.compare.workload import Workload

T = TypeVar("T")


def find_workload(reference: str) -> Workload:
    """The workload that ``reference`` names.

    Raises:
        InputError: there is none of that name, or the user's file cannot be used.
    """
    return _find("workload", reference, WORKLOADS, Workload)


def find_method(reference: str) -> Method:
    """The method that ``reference`` names.

    Raises:
        InputError: there is none of that name, or the user's file cannot be used.

    Example:
        >>> find_method("sgnm")
        Traceback (most recent call last):
            ...
        steepest._errors.InputError: unknown method 'sgnm'; did you mean 'sngm' or 'sgd'? ('steepest methods' lists all)
    """
    return _find("method", reference, METHODS, Method)


def source_digest(reference: str) -> str | None:
    """SHA-256 of the user's file behind ``reference``; ``None`` for a built-in name."""
    if ":" not in reference:
        return None
    source = _load_module(reference.rpartition(":")[0]).__file__
    return hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else None


def nearest(word: str, known: Mapping[str, object] | list[str]) -> str:
    """A clause that offers the known words nearest to ``word``, or all of them if none is near."""
    close = difflib.get_close_matches(word, list(known), n=2, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "known are " + ", ".join(known)


def _find(kind: str, reference: str, builtin: Mapping[str, T], wanted: type[T]) -> T:
    if reference in builtin:
        return builtin[reference]
    source, colon, name = reference.rpartition(":")
    if not colon:
        if reference.endswith(".py"):
            raise InputError(f"{reference!r} names a file but no {kind} in it; write it as {reference + ':name'!r}")
        raise InputError(f"unknown {kind} {reference!r}; {nearest(reference, builtin)} ('steepest {kind}s' lists all)")
    module = _load_module(source)
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if isinstance(value, wanted)]
        raise InputError(f"{source} has no {name!r}; {kind}s in it: {', '.join(own) or 'none'}")
    found = getattr(module, name)
    if not isinstance(found, wanted):
        raise InputError(f"{reference} must be a steepest.compare.{wanted.__name__}, got {type(found).__name__}")
    return found


def _load_module(source: str) -> ModuleType:
    """Import a user's file by its path, with its folder on the path as `python file.py` would, or a module by name."""
    try:
        if not source.endswith(".py"):
            if "" not in sys.path:
                sys.path.insert(0, "")
            return importlib.import_module(source)
        path = Path(source).resolve()
        name = f"steepest_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
        if name in sys.modules:
            return sys.modules[name]
        if not path.is_file():
            raise InputError(f"there is no file {source!r}; give an existing one as 'path/to/file.py:name'")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        sys.path.insert(0, str(path.parent))
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
    except InputError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise InputError(f"{source} could not be imported: {type(error).__name__}: {error}") from error
