"""The flags of ``steepest compare`` that hold more than one value, from text."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from steepest._errors import InputError, Spelling
from steepest.compare.study.values import ALL
from steepest.training.definitions.conditions import scalar
from steepest.training.definitions.range import Choice, Domain, Range

T = TypeVar("T")


def values(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the flags that were given say, as arguments of ``Study``.

    Raises:
        InputError: one cannot be read.
    """
    found = {name: _READ[name](f"--{name.replace('_', '-')}", value) if name in _READ else value
             for name, value in given.items() if name not in ("lr_range", "space")}  # fmt: skip
    searched = spaces(given.get("lr_range", []), given.get("space", []))
    return {**found, "space": searched} if searched else found


def names(flag: str, text: str) -> list[str]:
    """What commas part.

    Example:
        >>> names("--methods", "sgd, sngm,")
        ['sgd', 'sngm']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def by_workload(flag: str, texts: Sequence[str], convert: Callable[[str, str], T]) -> dict[str, T]:
    """``VALUE`` for all workloads, or ``WORKLOAD=VALUE`` for one.

    Raises:
        InputError: a value cannot be read, or a workload is named twice.

    Example:
        >>> by_workload("--epochs", ["3", "digits-mlp=10"], integer)
        {'': 3, 'digits-mlp': 10}
    """
    found: dict[str, T] = {}
    for text in texts:
        workload, equals, value = text.rpartition("=")
        if equals and not workload:
            raise InputError(f"{flag} must name a workload before the =, got {text!r}")
        if workload in found:
            raise InputError(f"{flag} must be given once for {workload or 'all workloads'}, got {text!r} as well")
        found[workload or ALL] = convert(flag, value)
    return found


def integer(flag: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{flag} must be a whole number, got {text!r}") from None


def number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{flag} must be a number, got {text!r}") from None


def listed(each: Callable[[str, str], T]) -> Callable[[str, str], list[T]]:
    """Comma-separated values."""
    return lambda flag, text: [each(flag, part.strip()) for part in text.split(",")]


def spaces(lr_ranges: Sequence[str], ranges: Sequence[str]) -> dict[str, dict[str, Domain]] | None:
    """Search spaces from ``METHOD=LOW:HIGH`` of the learning rate, and ``METHOD.NAME=LOW:HIGH[:linear][:integer]`` or
    ``METHOD.NAME=VALUE,VALUE``, each of these with `` if NAME=VALUE[,VALUE] and ...`` behind it.

    Raises:
        InputError: one is not of that form, or a hyperparameter is named twice.

    Example:
        >>> spaces(["sgd=0.1:1"], ["sgd.momentum=0.8:0.99:linear"])["sgd"]["momentum"]
        Range(low=0.8, high=0.99, log=False)
        >>> spaces([], ["sgd.nesterov=true,false", "sgd.momentum=0.8:0.99:linear if nesterov=true"])["sgd"]["momentum"]
        Range(low=0.8, high=0.99, log=False, when={'nesterov': (True,)})
    """
    found: dict[str, dict[str, Domain]] = {}
    for flag, text, (method, name, space) in [
        *(("--lr-range", text, _lr_range(text)) for text in lr_ranges),
        *(("--space", text, _space(text)) for text in ranges),
    ]:
        if name in found.setdefault(method, {}):
            raise InputError(f"{flag} must name each method once, got {method} more than once ({text})")
        found[method][name] = space
    return found or None


def spelling(lr_ranges: Sequence[str], ranges: Sequence[str]) -> Spelling:
    """How an error's sentence names the space of a method of which the learning rate's range alone was given.

    Example:
        >>> spelling(["sgd=0.1:1", "adam=1:2"], ["adam.eps=1:2"])("space", "sgd")
        '--lr-range'
    """
    methods = {_lr_range(text)[0] for text in lr_ranges} - {_space(text)[0] for text in ranges}
    return lambda name, *parts: "--lr-range" if name == "space" and set(parts) & methods else None


_READ: dict[str, Callable[[str, Any], Any]] = {
    "methods": names,
    "measure": names,
    "log": names,
    "epochs": partial(by_workload, convert=integer),
    "batch_size": partial(by_workload, convert=listed(integer)),
    "targets": partial(by_workload, convert=listed(number)),
}


def _lr_range(text: str) -> tuple[str, str, Range]:
    match = re.fullmatch(r"(?P<method>[^=]+)=(?P<low>[^:]+):(?P<high>[^:]+)", text)
    try:
        if match is None:
            raise ValueError("it is not of that form")
        return match["method"], "lr", Range(float(match["low"]), float(match["high"]))
    except ValueError as error:
        raise InputError(f"--lr-range must be METHOD=LOW:HIGH with 0 < LOW < HIGH, got {text!r} ({error})") from error


def _space(text: str) -> tuple[str, str, Domain]:
    match = re.fullmatch(r"(?P<method>[^=]+?)\.(?P<name>\w+|\w+@[^=]+)=(?P<where>.+?)(?: if (?P<when>.+))?", text)
    try:
        if match is None:
            raise ValueError("it is not of that form")
        when = None if match["when"] is None else _conditions(match["when"])
        return match["method"], match["name"], _domain(match["where"], when)
    except ValueError as error:
        raise InputError(
            f"--space must be METHOD.NAME=LOW:HIGH, METHOD.NAME=LOW:HIGH:linear or METHOD.NAME=VALUE,VALUE, "
            f"got {text!r} ({error})"
        ) from error


def _domain(text: str, when: dict[str, list[Any]] | None) -> Domain:
    match = re.fullmatch(r"(?P<low>[^:,]+):(?P<high>[^:,]+)(?P<how>(:linear|:integer)*)", text)
    if match is not None:
        how = match["how"].split(":")
        return Range(float(match["low"]), float(match["high"]), "linear" not in how, "integer" in how, when)
    if ":" in text or " if" in text:
        raise ValueError("it is not of that form")
    return Choice(*map(scalar, text.split(",")), when=when)


def _conditions(text: str) -> dict[str, list[Any]]:
    """Read ``NAME=VALUE[,VALUE] and ...``."""
    found = {}
    for part in text.split(" and "):
        name, equals, allowed = part.strip().partition("=")
        if not equals or not name or not allowed:
            raise ValueError("behind if must be NAME=VALUE")
        found[name] = [*map(scalar, allowed.split(","))]
    return found
