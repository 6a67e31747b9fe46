"""Values of hyperparameters that a study takes without a search, from a file or from a study's folder."""

import csv
import io
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from steepest._errors import InputError, argument
from steepest.compare.analysis.course import course_of
from steepest.compare.policy.finished import finished_records
from steepest.compare.study import values
from steepest.training.definitions.conditions import scalar, value_of

Points = dict[str, dict[str, Any]]  # by method
Given = dict[str, Points]  # by comparison; under values.ALL for all others
_RESULTS = ("verdict", "test_metric", "status")  # columns of tables that hold more than values


def given(name: str, value: object) -> Given:
    """Method to hyperparameter to value, or this for each comparison; a path stands for what lies there.

    A path is that of a TOML, JSON or CSV file, or of a study's folder, whose chosen values it stands for. A CSV file
    has a column ``method``, one for each hyperparameter and, if it likes, ``comparison``, as ``values.csv`` of
    ``steepest report --csv`` has. What is of one comparison alone is for any.

    Raises:
        InputError: it is none of these, or cannot be read.

    Example:
        >>> given("values", {"sgd": {"lr": 0.1}})
        {'': {'sgd': {'lr': 0.1}}}
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return _checked(argument(name), value)
    path = values.path(name, value)
    where = f"{argument(name)} {str(path)!r}"
    if path.is_dir():
        return _alone(_chosen(where, path))
    return _alone(_read(where, path))


def _alone(found: Given) -> Given:
    return {values.ALL: next(iter(found.values()))} if len(found) == 1 else found


def _read(where: str, path: Path) -> Given:
    readers: dict[str, Callable[[str], object]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".csv": lambda text: _rows(where, text),
    }
    if path.suffix not in readers:
        raise InputError(f"{where} must be a .toml, .json or .csv file, or the folder of a study")
    try:
        raw = readers[path.suffix](path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{where} cannot be read ({error.strerror})") from error
    except ValueError as error:  # of TOML, of JSON, or no UTF-8
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where} cannot be read ({error})") from error
    return _checked(where, raw)


def _checked(where: str, raw: object) -> Given:
    shape = f"{where} must be a table of methods, each with its hyperparameters and their values"
    if not isinstance(raw, Mapping) or not raw or not all(isinstance(v, Mapping) and v for v in raw.values()):
        raise InputError(f"{shape}, got {raw!r}")
    inner = [item for points in raw.values() for item in points.values()]
    nested = [isinstance(item, Mapping) for item in inner]
    if any(nested) and not all(nested):
        raise InputError(f"{shape}, or this for every comparison, got {raw!r}")
    found: Given = {}
    for comparison, methods in (raw if all(nested) else {values.ALL: raw}).items():
        for method, point in methods.items():
            if strange := [key for key in (comparison, method, *point) if not isinstance(key, str)]:
                raise InputError(f"{where} must name methods and hyperparameters, got {strange[0]!r}")
            try:
                own = {name: value_of(f"{name} of {method}", value) for name, value in point.items()}
            except ValueError as error:
                raise InputError(f"{where}: {error}") from error
            found.setdefault(comparison, {})[method] = own
    return found


def _rows(where: str, text: str) -> Given:
    reader = csv.DictReader(io.StringIO(text))
    columns = list(reader.fieldnames or [])
    if "method" not in columns:
        raise InputError(f"{where} must have a column 'method', got {', '.join(columns) or 'none'}")
    if results := [name for name in _RESULTS if name in columns]:
        raise InputError(
            f"{where} must hold values alone and has a column {results[0]!r}; take values.csv beside it, or the "
            "study's folder"
        )
    found: Given = {}
    for row in reader:
        if None in row or None in row.values():
            raise InputError(f"{where} has a row of another length than its first line: {row['method']!r}")
        method, comparison = row.pop("method"), row.pop("comparison", values.ALL)
        if method in found.get(comparison, {}):
            raise InputError(f"{where} must name each method once, got {method!r} more than once")
        point = {name.removeprefix("'"): _cell(cell) for name, cell in row.items() if cell.strip()}
        found.setdefault(comparison, {})[method.removeprefix("'")] = point
    return found


def _cell(text: str) -> Any:
    """Read a cell: a list is written as JSON has it, and a text that looks like something else."""
    if text.startswith(("[", '"')):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return scalar(text.removeprefix("'"))


def _chosen(where: str, folder: Path) -> Given:
    """Find what a study has chosen."""
    study, records = finished_records(folder)
    if study.shared.cover_search:
        raise InputError(f"{where} chose other values for every seed (cover_search), of which none stands for all")
    found: Given = {}
    for spec in study.comparisons:
        course = course_of(spec, [r for r in records if r.workload == spec.name])
        for method, searches in course.searches.items():
            if searches[0].chosen is None:
                raise InputError(
                    f"{where} has chosen nothing for {method} on {spec.name}: its search is not over, or lost"
                )
            found.setdefault(spec.name, {})[method] = dict(searches[0].chosen.hyperparameters)
    return found
