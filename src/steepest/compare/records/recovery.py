"""The runs that a study's folder knows, from whichever of its files is whole."""

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from steepest._files import keep_copy, put_aside, reason_of, say_once
from steepest.compare.records.lines import RECORDS, Lines, read_lines
from steepest.compare.records.record import Key, Record
from steepest.compare.records.storage import EMBEDDED
from steepest.compare.records.study_file import put_file_aside, put_side_files_aside, stored_records
from steepest.compare.spec import MethodSpec, Spec, StudySpec
from steepest.training.definitions.space import is_point

_log = logging.getLogger("steepest")


def all_keys(study: StudySpec) -> Iterator[Key]:
    """The runs that a study may have, in the order of its records: workload, method, phase, index."""
    for spec in study.comparisons:
        for method in spec.methods:
            for phase in spec.phases:
                yield from ((spec.name, method.name, phase, i) for i in range(spec.most(phase)))


def place_of(study: StudySpec) -> dict[Key, int]:
    """Where a run's record comes in that order."""
    return {key: i for i, key in enumerate(all_keys(study))}


def recovered(folder: Path, study: StudySpec) -> list[Record]:
    """The records of a study whose folder is held: what is damaged is put aside and said, and the rest counts."""
    path = folder / RECORDS
    try:
        lines = read_lines(path)
    except OSError as error:  # a folder in its place
        say_once(f"{path} was damaged ({reason_of(error)}); it is kept as {put_aside(path).name} and rebuilt")
        lines = Lines([], [])
    planned = set(all_keys(study))
    foreign = sum(record.key not in planned for record in lines.records)
    if lines.damaged or foreign:
        what = _listed(lines.damaged, foreign)
        say_once(f"{path} has {what}; it is kept as {keep_copy(path).name}, and the runs in it count")
    return _merge(planned, _stored_and_put_right(folder / EMBEDDED), lines.records)


def written_records(folder: Path, study: StudySpec) -> list[Record]:
    """The same for whoever only reads: what is damaged is said and left."""
    path = folder / RECORDS
    try:
        lines = read_lines(path)
        if lines.damaged:
            say_once(f"{path} has {_listed(lines.damaged, 0)}; the runs in it count")
    except OSError as error:
        say_once(f"{path} cannot be read ({reason_of(error)})")
        lines = Lines([], [])
    try:
        stored = stored_records(folder / EMBEDDED)
    except sqlite3.Error as error:  # it is being written now, or was torn: the records lie beside it
        _log.info("%s cannot be read (%s)", folder / EMBEDDED, error)
        stored = []
    return _merge(set(all_keys(study)), stored, lines.records)


def _merge(planned: set[Key], *sources: Iterable[Record]) -> list[Record]:
    """Keep, of several records of a run, the one that comes last."""
    return list({r.key: r for source in sources for r in source if r.key in planned}.values())


def _stored_and_put_right(path: Path) -> list[Record]:
    try:
        return stored_records(path, read_only=False)
    except sqlite3.Error as error:
        if "locked" in str(error):
            return []
        first = error
    if put_side_files_aside(path):
        try:
            return stored_records(path, read_only=False)
        except sqlite3.Error as error:
            first = error
    put_file_aside(path, first)
    return []


def _listed(damaged: list[int], foreign: int) -> str:
    parts = []
    if damaged:
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        parts.append(f"lines that are no runs (line {damaged[0]}{more})")
    if foreign:
        parts.append(f"{foreign} runs of another study")
    return " and ".join(parts)


def stored_or_written(folder: Path) -> list[Record]:
    """All records in a folder whose study is not known."""
    try:
        written = read_lines(folder / RECORDS).records
    except OSError:
        written = []
    try:
        stored = stored_records(folder / EMBEDDED)
    except sqlite3.Error:
        stored = []
    return list({record.key: record for record in [*stored, *written]}.values())


def misfit(study: StudySpec, records: Iterable[Record]) -> str:
    """In what a record is none of this study's; nothing if they all may be."""
    for record in records:
        spec = next((spec for spec in study.comparisons if spec.name == record.workload), None)
        if spec is None:
            return f"it has a run on {record.workload!r}"
        method = next((method for method in spec.methods if method.name == record.method), None)
        if method is None:
            return f"it has a run of {record.method!r}"
        if record.trial >= spec.most(record.phase) or record.seed != spec.seed(record.phase, record.trial):
            return f"it has a run {record.phase} {record.trial} of {record.method!r} with seed {record.seed}"
        if not _in_space(spec, record, method):
            return f"it has a run of {record.method!r} at {record.hyperparameters}"
        spent, whole = record.gradient_evaluations, spec.spent(method, record.phase)
        if record.status == "finished" and spent is not None and abs(spent - whole) >= spec.cost(method):
            return f"it has a run of {spent} gradient evaluations, not {whole}"
    return ""


def _in_space(spec: Spec, record: Record, method: MethodSpec) -> bool:
    given = spec.given(method)
    return is_point(method.space, record.hyperparameters) if given is None else record.hyperparameters == given
