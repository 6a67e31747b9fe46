"""``study.db``: a study's runs as an Optuna storage, for ``optuna-dashboard`` and as the second copy of every record.

Optuna makes the tables; what is in them is written by SQL, all that is new in one transaction. A trial by Optuna's own
means takes four transactions and 25 ms, which is more than a short run takes.
"""

import functools
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from steepest._files import put_aside, reason_of, say_once
from steepest.compare.records.distributions import distribution_at, number_at
from steepest.compare.records.lines import json_of_record, record_of_json
from steepest.compare.records.record import Job, Key, Record
from steepest.compare.records.storage import EMBEDDED
from steepest.compare.spec import StudySpec

_REVISION = "v3.2.0.a"  # of Optuna's tables
_SIDE_FILES = ("-journal", "-wal", "-shm")
_BUSY_SECONDS = 5.0
_STATES = {"finished": "COMPLETE", "pruned": "PRUNED", "diverged": "FAIL", "failed": "FAIL"}
_CHILDREN = ("params", "values", "user_attributes", "system_attributes", "intermediate_values")
_PASSING = ("locked", "busy", "full", "readonly", "disk I/O")


class _ForeignTablesError(sqlite3.DatabaseError):
    """Report that the tables are not those of the Optuna that is known here."""


@dataclass
class Asked:
    """Of one run: its validation metric by the number of the validation, what the pruner keeps of it, and where it was
    told to stop."""

    values: dict[int, float] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    stopped_at: int | None = None


class StudyFile:
    """The file as it is written; only the process that holds the folder's lock may.

    It is a copy: what keeps it from being written is said once, and keeps nothing else.

    Args:
        folder: the study's folder.
        spec: what is studied.
    """

    def __init__(self, folder: Path, spec: StudySpec) -> None:
        self._path = folder / EMBEDDED
        self._spec = spec
        self._written: dict[Key, object] = {}  # what the file says of a run
        self._studies: dict[tuple[str, ...], int] = {}

    def save(
        self, waiting: Iterable[Job], running: Iterable[Job], ended: Iterable[Record], asked: Mapping[Key, Asked]
    ) -> None:
        """Bring the file up to date."""
        now: dict[Key, Job | Record] = {job.key: job for job in waiting}
        states: dict[Key, object] = dict.fromkeys(now, "WAITING")
        for job in running:
            now[job.key], states[job.key] = job, "RUNNING"
        for record in ended:
            now[record.key] = states[record.key] = record
        try:
            self._save(now, states, asked)
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, OSError) or any(word in str(error) for word in _PASSING):
                say_once(f"{self._path} is not kept up to date ({reason_of(error)}); the records are in trials.jsonl")
                return
            put_file_aside(self._path, error)
            self._written.clear()
            self._studies.clear()
            try:
                self._save(now, states, asked)
            except (sqlite3.Error, OSError) as again:
                say_once(f"{self._path} cannot be written ({reason_of(again)}); the records are in trials.jsonl")

    def _save(self, now: Mapping[Key, Job | Record], states: Mapping[Key, object], asked: Mapping[Key, Asked]) -> None:
        new = {key: now[key] for key, state in states.items() if self._written.get(key) is not state}
        if not new:
            return
        self._make_tables()
        with closing(_connect(self._path, "rw")) as connection, connection:
            for search in dict.fromkeys(key[:3] for key in sorted(new, key=lambda key: (key[:3], key[3]))):
                study = self._enter_study(connection, search)
                keys = sorted(key for key in new if key[:3] == search)
                trials = _enter_trials(connection, study, keys[-1][3] + 1)
                for key in keys:
                    _write_trial(connection, trials[key[3]], self._spec, new[key], states[key], asked.get(key))
        self._written.update({key: states[key] for key in new})

    def _make_tables(self) -> None:
        if self._written:
            return
        if not self._path.is_file() or self._path.stat().st_size == 0:
            from steepest.compare.records.optuna_tools import make_tables

            make_tables(self._path)
        with closing(_connect(self._path, "rw")) as connection:
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
        if revision != _REVISION:
            raise _ForeignTablesError(f"its tables are Optuna's {revision}, not {_REVISION}")

    def _enter_study(self, connection: sqlite3.Connection, search: tuple[str, ...]) -> int:
        """Find Optuna's number of the study of a method and phase; enter the study if it is not there."""
        if search not in self._studies:
            name = "/".join(search)
            connection.execute("INSERT OR IGNORE INTO studies (study_name) VALUES (?)", (name,))
            (study,) = connection.execute("SELECT study_id FROM studies WHERE study_name = ?", (name,)).fetchone()
            direction = "MAXIMIZE" if self._spec.comparison(search[0]).workload.higher_is_better else "MINIMIZE"
            connection.execute(
                "INSERT OR IGNORE INTO study_directions (direction, study_id, objective) VALUES (?, ?, 0)",
                (direction, study),
            )
            self._studies[search] = int(study)
        return self._studies[search]


def stored_records(path: Path, *, read_only: bool = True) -> list[Record]:
    """The records of finished runs in a study's file; none if there is no file.

    Raises:
        sqlite3.Error: it is damaged, or no such file.
    """
    rows = _rows(
        path,
        "SELECT value_json FROM trial_user_attributes JOIN trials USING (trial_id) "
        "WHERE key = 'record' AND state IN ('COMPLETE', 'FAIL', 'PRUNED') ORDER BY trial_id",
        read_only,
    )
    found = []
    for (text,) in rows:
        try:
            found.append(record_of_json(json.loads(text)))
        except (ValueError, TypeError) as error:
            raise sqlite3.DatabaseError(f"a record in it is damaged: {reason_of(error)}") from error
    return found


def stored_asked(path: Path) -> dict[Key, Asked]:
    """What a pruner had been told of the runs in a study's file, and what it answered.

    Raises:
        sqlite3.Error: it is damaged, or no such file.
    """
    found: dict[Key, Asked] = {}
    of = (
        "study_name, number FROM {} JOIN trials USING (trial_id) JOIN studies USING (study_id) "
        "WHERE study_name LIKE '%/tune'"
    )

    def run(name: str, number: int) -> Asked:
        workload, method, _ = name.rsplit("/", 2)
        return found.setdefault((workload, method, "tune", number), Asked())

    values = of.format("trial_intermediate_values")
    for step, value, name, number in _rows(path, f"SELECT step, intermediate_value, {values} ORDER BY step"):
        run(name, number).values[step] = math.nan if value is None else value
    for key, text, name, number in _rows(path, f"SELECT key, value_json, {of.format('trial_system_attributes')}"):
        run(name, number).attributes[key] = json.loads(text)
    stops = of.format("trial_user_attributes")
    for text, name, number in _rows(path, f"SELECT value_json, {stops} AND key = 'hopeless_at'"):
        run(name, number).stopped_at = json.loads(text)
    return found


def put_file_aside(path: Path, error: Exception) -> None:
    """Keep a damaged file, and what SQLite has beside it, under other names."""
    asides = [put_aside(each) for each in files_of(path)]
    if asides:
        say_once(f"{path} was damaged ({reason_of(error)}); it is kept as {asides[-1].name} and rebuilt")


def put_side_files_aside(path: Path) -> list[Path]:
    """Only what SQLite has beside the file."""
    return [put_aside(each) for each in files_of(path) if each != path]


def files_of(path: Path) -> list[Path]:
    """A study's file and what SQLite has beside it, as far as they are there."""
    return [each for each in [*(path.with_name(path.name + side) for side in _SIDE_FILES), path] if each.exists()]


def _rows(path: Path, query: str, read_only: bool = True) -> list[tuple[Any, ...]]:
    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        return []
    with closing(_connect(path, "ro" if read_only else "rw")) as connection:
        return connection.execute(query).fetchall()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_SECONDS)


def _enter_trials(connection: sqlite3.Connection, study: int, count: int) -> list[int]:
    """Find Optuna's numbers of the first trials of a study; enter those that are not there."""
    query = "SELECT number, trial_id FROM trials WHERE study_id = ?"
    known = dict(connection.execute(query, (study,)).fetchall())
    missing = [(number, study) for number in range(count) if number not in known]
    if missing:
        connection.executemany("INSERT INTO trials (number, study_id, state) VALUES (?, ?, 'WAITING')", missing)
        known = dict(connection.execute(query, (study,)).fetchall())
    return [known[number] for number in range(count)]


def _write_trial(
    connection: sqlite3.Connection, trial: int, spec: StudySpec, run: Job | Record, state: object, asked: Asked | None
) -> None:
    """Write a trial as it is now, in the place of what was known of it."""
    for child in _CHILDREN:
        connection.execute(f"DELETE FROM trial_{child} WHERE trial_id = ?", (trial,))
    started = ended = None
    attributes: dict[str, Any] = {"seed": run.seed}
    if isinstance(run, Record):
        state, started, ended = _STATES[run.status], _format_time(run.started), _format_time(run.finished)
        attributes["record"] = json_of_record(run)
        value = run.test_metric if run.phase == "final" else run.validation_metric
        if run.status == "finished" and value is not None:
            connection.execute(
                "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, 0, ?, 'FINITE')",
                (trial, value),
            )
    connection.execute(
        "UPDATE trials SET state = ?, datetime_start = ?, datetime_complete = ? WHERE trial_id = ?",
        (state, started, ended, trial),
    )
    ranges = spec.comparison(run.workload).method(run.method).space
    connection.executemany(
        "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)",
        [
            (trial, name, number_at(ranges, name, value), json.dumps(distribution_at(ranges, name, value)))
            for name, value in run.hyperparameters.items()
        ],
    )
    if asked is not None:
        if asked.stopped_at is not None:
            attributes["hopeless_at"] = asked.stopped_at
        connection.executemany(
            "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
            "VALUES (?, ?, ?, ?)",
            [(trial, step, *_encode_value(value)) for step, value in asked.values.items()],
        )
        _write_attributes(connection, "system", trial, asked.attributes)
    _write_attributes(connection, "user", trial, attributes)


def _write_attributes(connection: sqlite3.Connection, kind: str, trial: int, attributes: Mapping[str, Any]) -> None:
    connection.executemany(
        f"INSERT INTO trial_{kind}_attributes (trial_id, key, value_json) VALUES (?, ?, ?)",
        [(trial, key, json.dumps(value)) for key, value in attributes.items()],
    )


def _encode_value(value: float) -> tuple[float | None, str]:
    """Encode an intermediate value as Optuna stores it."""
    if math.isnan(value):
        return None, "NAN"
    if math.isinf(value):
        return None, "INF_POS" if value > 0 else "INF_NEG"
    return value, "FINITE"


def _format_time(seconds: float) -> str:
    """Format seconds since the epoch as Optuna stores them: in UTC since its version 5, in local time before."""
    moment = datetime.fromtimestamp(seconds, UTC if _in_utc() else None)
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds")


@functools.cache
def _in_utc() -> bool:
    return int(version("optuna").partition(".")[0]) >= 5
