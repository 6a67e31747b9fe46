"""The records of a study's runs as lines of text: each is read by itself, whatever has become of the others."""

import dataclasses
import functools
import json
import math
import os
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union

from steepest._errors import StudyError
from steepest._files import clear_place, reason_of
from steepest.compare.records.record import Key, Record
from steepest.training.definitions.conditions import point_of

RECORDS = "trials.jsonl"
ATTEMPTS = "attempts.jsonl"
Reason = Literal[
    "tried again",
    "another point was chosen",
    "the method was changed",
    "an instrument was added",
    "its weights were not kept",
]


@dataclass(frozen=True)
class NewerRecord(Record):
    """A record with fields that this version does not know; they are kept, and written again."""

    more: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        known = super().to_dict()
        return {**known, **known.pop("more")}


class Lines(NamedTuple):
    """A file's records, later ones of the same run in the place of earlier ones, and the numbers of all other lines."""

    records: list[Record]
    damaged: list[int]


def read_lines(path: Path) -> Lines:
    """Read a file of records.

    A last line that is not whole counts as damaged no more than a file that is not there: it is being written now, or
    was when its writer was killed.

    Raises:
        StudyError: the file may not be read.
        OSError: what is there is no file.
    """
    try:
        *whole, cut = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Lines([], [])
    except PermissionError as error:
        raise StudyError(f"{str(path)!r} cannot be read ({reason_of(error)})") from error
    found: dict[Key, Record] = {}
    damaged = []
    for number, line in enumerate([*whole, cut], 1):
        if not line.strip():
            continue
        try:
            record = record_of_json(line)
        except (ValueError, TypeError, RecursionError):
            if number <= len(whole):
                damaged.append(number)
            continue
        found[record.key] = record
    return Lines(list(found.values()), damaged)


def record_of_json(text: str | bytes) -> Record:
    """The record that a line holds; numbers that JSON does not know, NaN and infinity, do not exist.

    Raises:
        ValueError, TypeError: it holds none.
    """
    raw = _replace_nonfinite(json.loads(text))
    if not isinstance(raw, dict):
        raise TypeError("a record is an object")
    fits = _checks()
    _upgrade(raw)
    if isinstance(raw.get("hyperparameters"), dict):
        raw["hyperparameters"] = point_of(raw["hyperparameters"])
    known = {name: value for name, value in raw.items() if name in fits}
    more = {name: value for name, value in raw.items() if name not in fits}
    for name, value in known.items():
        if not fits[name](value):
            raise TypeError(f"{name} cannot be {value!r}")
    record = NewerRecord(**known, more=more) if more else Record(**known)
    if record.trial < 0 or len({len(column) for column in (record.curve or {}).values()}) > 1:
        raise ValueError("a record counts from 0, and its curve's columns are of one length")
    return record


def _upgrade(raw: dict[str, Any]) -> None:
    """Rewrite a line that dates from when the sharpness was the one instrument."""
    sharpness, note = raw.pop("sharpness", None), raw.pop("sharpness_note", None)
    if sharpness is not None or note is not None:
        raw |= {"measures": {"sharpness": sharpness}, "notes": {} if note is None else {"sharpness": note}}


def json_of_record(record: Record) -> str:
    """Its line; ``to_dict`` would copy the curve, which takes longer than all the rest."""
    return json.dumps(_plain(record), allow_nan=False)


_OFTEN_EMPTY = ("measures", "notes", "task_matrix", "test_metrics", "other_metrics")
_OFTEN_NONE = ("best_at", "best_test_metric")


def _plain(record: Record) -> dict[str, Any]:
    known = dict(vars(record))
    del known["weights"]  # the same for many runs, which beginnings.json says once
    for name in _OFTEN_EMPTY:
        if not known[name]:
            del known[name]
    for name in _OFTEN_NONE:
        if known[name] is None:
            del known[name]
    return {**known, **known.pop("more", {})}


def text_of_records(records: Iterable[Record]) -> str:
    """One JSON object a line."""
    return "".join(f"{json_of_record(record)}\n" for record in records)


def append_record(folder: Path, record: Record, *, sync: bool = False) -> None:
    """Add one record while a study runs: it survives whatever happens to the process from here on.

    Args:
        sync: wait until it would survive a power failure too.
    """
    with open(folder / RECORDS, "a", encoding="utf-8") as file:
        file.write(f"{json_of_record(record)}\n")
        if sync:
            file.flush()
            os.fsync(file.fileno())


def note_attempts(folder: Path, records: Iterable[Record], reason: Reason) -> None:
    """Remember runs that count no longer: failed ones that are tried again, final ones of a point not chosen now."""
    lines = [json.dumps({"reason": reason, **_plain(record)}, allow_nan=False) for record in records]
    if lines:
        clear_place(folder / ATTEMPTS, links=not (folder / ATTEMPTS).is_file())
        with open(folder / ATTEMPTS, "a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))


def read_attempts(folder: Path) -> list[tuple[str, Record]]:
    """What :func:`note_attempts` wrote, each attempt once: why it counts no longer, and its record."""
    found: dict[str, tuple[str, Record]] = {}
    try:
        lines = (folder / ATTEMPTS).read_bytes().split(b"\n")
    except OSError:
        return []
    for line in lines:
        try:
            raw = json.loads(line)
            reason = str(raw.pop("reason"))
            record = record_of_json(json.dumps(raw))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
        found[json_of_record(record)] = (reason, record)
    return list(found.values())


def attempts_note(folder: Path, records: Iterable[Record]) -> str:
    """What a summary says of runs that failed: those of earlier calls, and those that another call would try again."""
    again = sum(reason == "tried again" for reason, _ in read_attempts(folder))
    failed = sum(record.status == "failed" for record in records)
    parts = []
    if again:
        runs, were = ("1 run", "was") if again == 1 else (f"{again} runs", "were")
        how = "it" if again == 1 else "they"
        parts.append(f"{runs} that failed in an earlier call {were} tried again; {ATTEMPTS} says how {how} failed.")
    if failed:
        runs, them = ("1 run", "it") if failed == 1 else (f"{failed} runs", "them")
        parts.append(f"{runs} failed; the same command tries {them} again, and resumes from the others.")
    return " ".join(parts)


@functools.cache
def _checks() -> dict[str, Callable[[Any], bool]]:
    hints = typing.get_type_hints(Record)
    found = {field.name: _make_check(hints[field.name]) for field in dataclasses.fields(Record)}
    return found | {"hyperparameters": _is_point}


def _is_point(value: object) -> bool:
    """Say whether a record's hyperparameters are such as a search has, lists made tuples already."""
    plain = (float, int, bool, str, tuple, type(None))
    return isinstance(value, dict) and all(isinstance(item, plain) for item in value.values())


def _make_check(hint: Any) -> Callable[[Any], bool]:
    """Make what says whether a value of a JSON file is of a type, as far as JSON can say it."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        either = [_make_check(part) for part in parts]
        return lambda value: any(fits(value) for fits in either)
    if origin is Literal:
        return lambda value: value in parts
    if origin is list:
        of_item = _make_check(parts[0])
        return lambda value: isinstance(value, list) and all(map(of_item, value))
    if origin is dict:
        of_value = _make_check(parts[1])
        return lambda value: isinstance(value, dict) and all(map(of_value, value.values()))
    if hint is Any:
        return lambda value: True
    if hint in (int, float):  # true is neither, and 1 is both
        kinds = {int, hint}
        return lambda value: type(value) in kinds
    if isinstance(hint, type):
        return lambda value: isinstance(value, hint)
    return lambda value: True


def _replace_nonfinite(value: Any) -> Any:
    """Replace numbers that are not finite by ``None``, anywhere in a value."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_replace_nonfinite(item) for item in value]
    if isinstance(value, dict):
        return {key: _replace_nonfinite(item) for key, item in value.items()}
    return value
