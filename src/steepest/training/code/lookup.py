"""From what a user types to the object: a built-in name, `path/to/file.py:name` or `package.module:name`.

A workload can also be made from a user's data: `char-gpt:path/to/text.txt` (`steepest.training.builtin.templates`). A
method can have gradient estimators in front, each with a `+`: `ssgd+sngm`, `csgd+ssgd+path/to/file.py:name`.
"""

import dataclasses
import difflib
import hashlib
from collections.abc import Mapping
from os.path import abspath
from pathlib import Path
from typing import TypeVar

import cloudpickle

from steepest._errors import InputError
from steepest._threads import threads as torch_threads
from steepest.data.items import as_item_splits
from steepest.data.place import data_folder
from steepest.data.splits import Splits, as_splits
from steepest.training.builtin import ESTIMATORS, INSTRUMENTS, METHODS, TEMPLATES, WORKLOADS
from steepest.training.code import loading
from steepest.training.code.installed import Kind, installed, reference_to
from steepest.training.code.user_code import told
from steepest.training.definitions.estimator import Estimator
from steepest.training.definitions.instrument import Instrument
from steepest.training.definitions.method import Method
from steepest.training.definitions.workload import Workload

T = TypeVar("T")
_BUILTIN: Mapping[Kind, Mapping[str, object]] = {
    "workload": WORKLOADS,
    "method": {**ESTIMATORS, **METHODS},  # an estimator alone stands in front of sgd
    "estimator": ESTIMATORS,
    "instrument": INSTRUMENTS,
}


def find_workload(reference: str) -> Workload:
    """The workload that ``reference`` names.

    Raises:
        InputError: there is none of that name, or the user's file or data cannot be used.
    """
    name, _, argument = reference.partition(":")
    if name not in TEMPLATES:
        return _find("workload", reference, WORKLOADS, Workload)
    if not argument:
        raise InputError(
            f"{name!r} needs an argument, {TEMPLATES[name].usage}; write it as {TEMPLATES[name].example!r}"
        )
    return TEMPLATES[name].make(argument)


def absolute_reference(reference: str, kind: Kind = "method") -> str:
    """The same reference with absolute paths and module names, so that it means the same in any folder, whatever other
    packages are installed.

    Example:
        >>> absolute_reference("ssgd+/home/me/../you/own.py:mine"), absolute_reference("hub:ylecun/mnist")
        ('ssgd+/home/you/own.py:mine', 'hub:ylecun/mnist')
    """
    name, _, argument = reference.partition(":")
    if name in TEMPLATES:
        return TEMPLATES[name].absolute(argument)
    *estimators, last = parts_of(reference)
    return "+".join([*(_absolute(part, "estimator") for part in estimators), _absolute(last, kind)])


def _absolute(part: str, kind: Kind) -> str:
    source, colon, name = part.rpartition(":")
    if not colon and part not in _BUILTIN[kind]:
        return reference_to(kind, part) or part
    return f"{abspath(source)}:{name}" if source.endswith(".py") else part


def find_method(reference: str) -> Method:
    """The method that ``reference`` names, behind the estimators that it names.

    Raises:
        InputError: there is none of that name, the user's file cannot be used, or the parts do not go together.

    Example:
        >>> [e.name for e in find_method("csgd+ssgd+sngm").estimators]
        ['csgd', 'ssgd']
        >>> find_method("larss")
        Traceback (most recent call last):
            ...
        steepest._errors.InputError: unknown method 'larss'; did you mean 'lars'? ('steepest methods' lists all)
    """
    *names, last = parts_of(reference)
    if not names:
        return _find("method", reference, METHODS, Method)
    if not all([*names, last]):
        raise InputError(f"{reference!r} lacks a name before or after a +; write it as 'ssgd+sngm'")
    where = f" in {reference!r}"
    estimators = []
    for name in names:
        if name in METHODS and name not in ESTIMATORS:
            hint = f"; the method comes last: {last}+{name}" if last in ESTIMATORS else ""
            raise InputError(f"{name!r}{where} is a method and no gradient estimator{hint}")
        estimators.append(_find("estimator", name, ESTIMATORS, Estimator, where))
    base = _find("method", last, METHODS, Method, where)
    try:
        return dataclasses.replace(
            base,
            name="+".join([*(e.name for e in estimators), base.name]),
            estimators=(*estimators, *base.estimators),
            description=f"{base.description or base.name}; gradient by {' and '.join(e.name for e in estimators)}",
        )
    except ValueError as error:
        raise InputError(str(error)) from error


def parts_of(reference: str) -> list[str]:
    """The references of the estimators, then that of the method; a ``+`` in the path of a file parts nothing.

    Example:
        >>> parts_of("csgd + ssgd+path/to/file.py:name"), parts_of("path/to/file.py:halves+sngm")
        (['csgd', 'ssgd', 'path/to/file.py:name'], ['path/to/file.py:halves', 'sngm'])
    """
    found = []
    while "+" in reference:
        source, colon, name = reference.partition(":")
        in_file = bool(colon) and Path(source.strip()).is_file()
        part, plus, rest = name.partition("+") if in_file else reference.partition("+")
        found.append(f"{source}:{part}".strip() if in_file else part.strip())
        if not plus:
            return found
        reference = rest
    return [*found, reference.strip()]


def find_instrument(reference: str) -> Instrument:
    """The instrument that ``reference`` names.

    Raises:
        InputError: there is none of that name, or the user's file cannot be used.
    """
    return _find("instrument", reference, INSTRUMENTS, Instrument)


def source_digest(reference: str) -> str | None:
    """SHA-256 of the user's files of code behind ``reference``; ``None`` if all of it is built in."""
    files = dict.fromkeys(loading.load(source).file for source in sources_of(reference))
    digests = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files if file]
    if len(digests) > 1:
        return hashlib.sha256("".join(digests).encode()).hexdigest()
    return digests[0] if digests else None


def sources_of(reference: str) -> list[str]:
    """The user's files and modules behind a reference, each once; none if all of it is built in."""
    if reference.partition(":")[0] in TEMPLATES:
        return []
    return list(dict.fromkeys(part.rpartition(":")[0] for part in parts_of(reference) if ":" in part))


def nearest(word: str, known: Mapping[str, object] | list[str]) -> str:
    """A clause that offers the known words nearest to ``word``, or all of them if none is near."""
    close = difflib.get_close_matches(word, list(known), n=2, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "known are " + ", ".join(known)


def _find(kind: Kind, reference: str, builtin: Mapping[str, T], wanted: type[T], where: str = "") -> T:
    if reference in builtin:
        return builtin[reference]
    source, colon, name = reference.rpartition(":")
    if not colon and (theirs := reference_to(kind, reference)):
        return _find(kind, theirs, builtin, wanted, where)
    if not colon:
        if reference.endswith(".py"):
            raise InputError(f"{reference!r} names a file but no {kind} in it; write it as {reference + ':name'!r}")
        known = [*builtin, *(point.name for point in installed(kind))]
        command = f"{kind}s" if kind != "estimator" else "methods"
        raise InputError(
            f"unknown {kind} {reference!r}{where}; {nearest(reference, known)} ('steepest {command}' lists all)"
        )
    module = loading.load(source).module
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if isinstance(value, wanted)]
        raise InputError(f"{source} has no {name!r}; {kind}s in it: {', '.join(own) or 'none'}")
    found = getattr(module, name)
    if not isinstance(found, wanted):
        raise InputError(f"{reference} must be a steepest.compare.{wanted.__name__}, got {type(found).__name__}")
    return found


def load_data(workload: Workload, data_dir: Path | None, threads: int = 1) -> Splits:
    """The workload's data, made with one thread: a mean over many numbers is rounded otherwise by each number of
    threads, and the data must be the same in the command, in its workers and on every machine.

    Raises:
        InputError: it is unavailable, or the user's function raises or returns something else.
    """
    try:
        with torch_threads(threads):
            parts = workload.data(data_folder(data_dir))
            try:
                return as_item_splits(parts) if workload.has_steps else as_splits(parts)
            except InputError as error:
                raise InputError(f"workload {workload.name!r}: {error}") from error
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise InputError(f"the data of {workload.name!r} could not be loaded: {told(error)}") from error


Definition = Workload | Method | Instrument
Given = Mapping[str, Definition]  # by reference


_PREFIX = "given:"


def reference_of(part: str | Definition, kind: Kind = "method") -> str:
    """What a spec records: where the part is found, wherever the user stands, or that it was given.

    Args:
        kind: what the name of an installed package's part is a name of.

    Example:
        >>> reference_of("digits-mlp")
        'digits-mlp'
    """
    if isinstance(part, str):
        return absolute_reference(part, kind)
    return f"{_PREFIX}{'instrument ' if isinstance(part, Instrument) else ''}{part.name}"


def pickled(given: Given) -> bytes | None:
    """The objects as workers get them, ``None`` if there are none; to be called before any function of theirs is.

    Raises:
        InputError: one cannot be pickled.
    """
    try:
        return cloudpickle.dumps(dict(given)) if given else None
    except Exception as error:  # whatever an object raises that cannot be pickled
        names = ", ".join(repr(part.name) for part in given.values())
        raise InputError(
            f"of what the program gives, {names}, some cannot be sent to the processes that train "
            f"({type(error).__name__}: {error})"
        ) from error


def digest_of(reference: str) -> str | None:
    """SHA-256 of the user's file; ``None`` where there is none, also for what was given."""
    return None if is_given(reference) else source_digest(reference)


def is_given(reference: str) -> bool:
    return reference.startswith(_PREFIX)


def the_workload(part: str | Workload, given: Given | None = None) -> Workload:
    """The workload that is given, or found by its reference; ``given`` holds those that a spec refers to."""
    found = (given or {}).get(part) if isinstance(part, str) else part
    return found if isinstance(found, Workload) else find_workload(str(part))


def the_method(part: str | Method, given: Given | None = None) -> Method:
    """The method that is given, or found by its reference; ``given`` holds those that a spec refers to."""
    found = (given or {}).get(part) if isinstance(part, str) else part
    return found if isinstance(found, Method) else find_method(str(part))


def the_instrument(part: str | Instrument, given: Given | None = None) -> Instrument:
    """The instrument that is given, or found by its reference; ``given`` holds those that a spec refers to."""
    found = (given or {}).get(part) if isinstance(part, str) else part
    return found if isinstance(found, Instrument) else find_instrument(str(part))
