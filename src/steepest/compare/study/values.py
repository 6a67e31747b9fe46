"""A study's arguments, as a program or a file gives them: each is what it should be, or one sentence says what is not.

A text is no number, true is not 1, and what says nothing (an empty list, an empty path) is not taken for "the default".
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from steepest._errors import InputError, argument
from steepest.compare.names import TRACKERS
from steepest.training.definitions.range import Choice, Domain, Range
from steepest.training.definitions.recipe import PLAIN

T = TypeVar("T")
ALL = ""  # every workload that is not named
MOST_REPLICATIONS = 100
MOST = 100_000  # points of a search, or final seeds: each is written down before anything runs


def integer(name: str, value: object) -> int:
    """Of Python or NumPy.

    Raises:
        InputError: it is something else, a bool too.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{argument(name)} must be a whole number, got {value!r}")
    return int(value)


def positive(name: str, value: object) -> int:
    """A whole number of at least 1."""
    if (found := integer(name, value)) < 1:
        raise InputError(f"{argument(name)} must be at least 1, got {value}")
    return found


def runs(name: str, value: object) -> int:
    """So many runs of a method, from 1 to ``MOST``."""
    if (found := positive(name, value)) > MOST:
        raise InputError(f"{argument(name)} must be at most {MOST:,}, got {value}")
    return found


def replication(name: str, value: object) -> int:
    """A whole number from 0 to ``MOST_REPLICATIONS``."""
    if not 0 <= (found := integer(name, value)) <= MOST_REPLICATIONS:
        raise InputError(f"{argument(name)} must be from 0 to {MOST_REPLICATIONS}, got {value}")
    return found


def number(name: str, value: object) -> float:
    """Of Python or NumPy."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{argument(name)} must be a number, got {value!r}")
    return float(value)


def seconds(name: str, value: object) -> float:
    """A span of time, which may be 0 or infinite."""
    if not (found := number(name, value)) >= 0:
        raise InputError(f"{argument(name)} must be at least 0, got {value}")
    return found


def in_recipe(name: str, value: object) -> Any:
    """A field of a :class:`~steepest.training.Recipe`, by its name."""
    try:
        return getattr(PLAIN.with_changes({name: value}), name)
    except ValueError as error:
        raise InputError(str(error).replace(name, argument(name), 1)) from error


def flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{argument(name)} must be true or false, got {value!r}")
    return value


def text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{argument(name)} must be a text, got {value!r}")
    return _check_unicode(name, value)


def one_of(name: str, value: object, allowed: Sequence[str]) -> str:
    if (found := text(name, value)) not in allowed:
        raise InputError(f"{argument(name)} must be one of {', '.join(allowed)}, got {value!r}")
    return found


def trackers(name: str, value: object) -> list[str]:
    """Some of ``TRACKERS``, each once; one alone stands for a list of one, and there may be none."""
    given = list(value) if isinstance(value, list | tuple) else [value]
    return list(dict.fromkeys(one_of(name, each, TRACKERS) for each in given))


def path(name: str, value: object) -> Path:
    """A path, which is not empty: an unset variable of a shell must not become the current folder."""
    found = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(found, str) or not found or "\0" in found:
        raise InputError(f"{argument(name)} must be the path of a folder, got {value!r}")
    return Path(_check_unicode(name, found))


def _check_unicode(name: str, value: str) -> str:
    """Refuse what cannot be written in a report, as a file's name in another encoding than the system's."""
    if any("\ud800" <= sign <= "\udfff" for sign in value):
        raise InputError(
            f"{argument(name)} must be in the system's encoding, {sys.getfilesystemencoding()}, got {value!r}"
        )
    return value


def parts(name: str, value: object, kind: type[T], *, none: bool = False) -> list[str | T]:
    """Names, or objects of that kind, in their order; one alone stands for a list of one.

    Args:
        none: there may be none.

    Raises:
        InputError: there is none, it is something else, or it has no order, or no end (a set, a generator).
    """
    found: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
    if not found and not none:
        raise InputError(f"{argument(name)} must name at least one {name[:-1]}, got none")
    for part in found:
        if not isinstance(part, str | kind):
            raise InputError(
                f"{argument(name)} must be names or steepest.compare.{kind.__name__} objects, got {part!r}"
            )
        if isinstance(part, str):
            _check_unicode(name, part)
    return found


def listed(each: Callable[[str, object], T]) -> Callable[[str, object], list[T]]:
    """A list of what ``each`` takes; one alone stands for a list of one."""

    def convert(name: str, value: object) -> list[T]:
        if not isinstance(value, list | tuple):
            return [each(name, value)]
        if not value:
            raise InputError(f"{argument(name)} must hold at least one value, got {value!r}")
        return [each(name, item) for item in value]

    return convert


def by_workload(name: str, value: object, convert: Callable[[str, object], T]) -> dict[str, T]:
    """An argument that may differ by workload: one value for all, or a table from a workload's name to its value."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return {ALL: convert(name, value)}
    if not value:
        raise InputError(f"{argument(name)} must name at least one workload, got {value!r}")
    if strange := [key for key in value if not isinstance(key, str)]:
        raise InputError(f"{argument(name)} must be a table by the workloads' names, got the key {strange[0]!r}")
    return {workload: convert(name, given) for workload, given in value.items()}


def spaces(name: str, value: object) -> dict[str, dict[str, Domain]]:
    """Method name to hyperparameter to where it is searched: a :class:`Range`, ``[low, high]`` or ``{low, high, log,
    integer, when}``; or a :class:`Choice` or ``{values, when}``.

    Raises:
        InputError: it is none of these.

    Example:
        >>> spaces("space", {"sgd": {"lr": [0.01, 1.0], "momentum": {"low": 0.8, "high": 0.9, "log": False}}})["sgd"]
        {'lr': Range(low=0.01, high=1.0, log=True), 'momentum': Range(low=0.8, high=0.9, log=False)}
        >>> spaces("space", {"sgd": {"nesterov": {"values": [True, False]}}})["sgd"]
        {'nesterov': Choice(True, False)}
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(ranges and isinstance(ranges, Mapping) for ranges in value.values()):
        raise InputError(
            f"{argument(name)} must be a table of methods, each with its hyperparameters and ranges, got {value!r}"
        )
    if strange := [key for ranges in (value, *value.values()) for key in ranges if not isinstance(key, str)]:
        raise InputError(f"{argument(name)} must name methods and hyperparameters, got {strange[0]!r}")
    return {
        method: {key: _domain(argument(f"{name}.{method}.{key}", method), given) for key, given in ranges.items()}
        for method, ranges in value.items()
    }


def _domain(where: str, value: object) -> Domain:
    if isinstance(value, Range | Choice):
        return value
    if isinstance(value, Mapping) and {"values"} <= value.keys() <= {"values", "when"}:
        return _choice(where, value)
    ends: Mapping[str, Any] = {}
    if isinstance(value, Mapping) and {"low", "high"} <= value.keys() <= {"low", "high", "log", "integer", "when"}:
        ends = value
    elif isinstance(value, list | tuple) and len(value) == 2:
        ends = {"low": value[0], "high": value[1]}
    if not ends or not all(isinstance(ends[end], Real) and not isinstance(ends[end], bool) for end in ("low", "high")):
        raise InputError(
            f"{where} must be [low, high] or {{low, high, log}}, or {{values}} to choose from, got {value!r}"
        )
    for name in ("log", "integer"):
        if not isinstance(ends.get(name, True), bool):
            raise InputError(f"{where} must have true or false as {name}, got {value!r}")
    try:
        return Range(
            float(ends["low"]), float(ends["high"]), ends.get("log", True), ends.get("integer", False), ends.get("when")
        )
    except ValueError as error:
        raise InputError(f"{where} must be a range, got {value!r} ({error})") from error


def _choice(where: str, value: Mapping[str, Any]) -> Choice:
    try:
        if not isinstance(value["values"], list | tuple):
            raise ValueError("values must be a list")
        return Choice(*value["values"], when=value.get("when"))
    except ValueError as error:
        raise InputError(f"{where} must be a choice, got {dict(value)!r} ({error})") from error
