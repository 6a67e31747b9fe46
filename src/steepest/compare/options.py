"""A study's options, as a TOML file or a frozen spec has them: checked, so that a mistake is one sentence."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from steepest._errors import InputError
from steepest.compare.given import is_given
from steepest.compare.lookup import nearest
from steepest.compare.method import Range
from steepest.compare.request import ALL
from steepest.compare.spec import StudySpec

T = TypeVar("T")


def is_file(text: str) -> bool:
    """Whether what a user typed in the place of a workload is a study's file: ``study.toml`` or a ``spec.json``."""
    return text.endswith((".toml", ".json"))


def options_from(path: Path, known: Mapping[str, object]) -> tuple[dict[str, Any], StudySpec | None]:
    """The options that a file holds, and, if it is the frozen spec of a study, that spec.

    Args:
        known: the names of all options.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the study's file {str(path)!r} cannot be read ({_reason(error)})") from error
    if path.suffix == ".json":
        try:
            spec = StudySpec.from_json(text)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{str(path)!r} is not the spec of a study ({error})") from error
        return options_of(spec), spec
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{str(path)!r} is not a TOML file ({error})") from error
    options = {key.replace("-", "_"): value for key, value in raw.items()}
    for key in options:
        if key not in known:
            raise InputError(f"{str(path)!r} has an unknown key {key!r}; {nearest(key, list(known))}")
    return options, None


def options_of(spec: StudySpec) -> dict[str, Any]:
    """The options that give this spec again.

    Raises:
        InputError: it refers to what a program gave as objects.
    """
    first = spec.comparisons[0]
    references = {c.workload.reference for c in spec.comparisons} | {m.reference for m in spec.methods}
    if given := sorted(filter(is_given, references)):
        raise InputError(f"the study was given {given[0].partition(':')[2]!r} as an object; run it from that program")
    names = dict.fromkeys(c.workload.name for c in spec.comparisons)
    by_name = {name: [c for c in spec.comparisons if c.workload.name == name] for name in names}
    return {
        "workloads": list(dict.fromkeys(c.workload.reference for c in spec.comparisons)),
        "methods": [m.reference for m in spec.methods],
        "trials": first.trials,
        "seeds": len(first.seeds),
        "epochs": {name: comparisons[0].epochs for name, comparisons in by_name.items()},
        "batch_size": {name: [c.batch_size for c in comparisons] for name, comparisons in by_name.items()},
        "targets": {name: list(comparisons[0].targets) for name, comparisons in by_name.items()},
        "space": {m.name: m.space for m in spec.methods},
        "schedule": first.schedule,
        "sharpness": bool(first.sharpness_samples),
        "pruner": first.pruner,
        "strategy": first.strategy,
        "device": first.device,
    }


def by_workload(name: str, value: object, convert: Callable[[str, object], T]) -> dict[str, T]:
    """An option that may differ by workload: one value for all, or a table from a workload's name to its value."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(workload): convert(name, given) for workload, given in value.items()}
    return {ALL: convert(name, value)}


def integer(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name} must be a whole number, got {value!r}")
    return value


def number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name} must be a number, got {value!r}")
    return float(value)


def flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false, got {value!r}")
    return value


def text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text, got {value!r}")
    return value


def listed(each: Callable[[str, object], T]) -> Callable[[str, object], list[T]]:
    """A list of what ``each`` takes; one alone stands for a list of one."""

    def convert(name: str, value: object) -> list[T]:
        return [each(name, item) for item in value] if isinstance(value, list | tuple) else [each(name, value)]

    return convert


def spaces(value: object) -> dict[str, dict[str, Range]]:
    """Method name to hyperparameter to range: a :class:`Range`, ``[low, high]`` or ``{low, high, log}``.

    Raises:
        InputError: it is none of these.

    Example:
        >>> spaces({"sgd": {"lr": [0.01, 1.0], "momentum": {"low": 0.8, "high": 0.99, "log": False}}})["sgd"]["lr"]
        Range(low=0.01, high=1.0, log=True)
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(ranges, Mapping) for ranges in value.values()):
        raise InputError(f"space must be a table of methods, each with its hyperparameters and ranges, got {value!r}")
    return {
        str(method): {str(name): _range(f"space.{method}.{name}", given) for name, given in ranges.items()}
        for method, ranges in value.items()
    }


def _range(name: str, value: object) -> Range:
    try:
        if isinstance(value, Range):
            return value
        if isinstance(value, Mapping):
            return Range(**value)
        if isinstance(value, list | tuple) and len(value) == 2:
            return Range(number(name, value[0]), number(name, value[1]))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a range, got {value!r} ({error})") from error
    raise InputError(f"{name} must be [low, high] or {{low, high, log}}, got {value!r}")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
