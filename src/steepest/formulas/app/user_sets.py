"""The user's sets of symbols: their names, and what they count."""

import sqlite3
import time
from typing import Any

from steepest.formulas.app.answers import RefusedError
from steepest.formulas.app.database import Database
from steepest.formulas.logic import LABELS
from steepest.formulas.sets import NOTHING


def list_sets(database: Database) -> list[dict[str, Any]]:
    """The sets with how many symbols and classes each has."""
    with database.reading() as db:
        rows = db.execute(
            "SELECT sets.id, name, count(samples.id) AS symbols, count(DISTINCT label) AS classes FROM sets "
            "LEFT JOIN samples ON set_id = sets.id AND deleted IS NULL GROUP BY sets.id ORDER BY sets.id"
        )
        return [dict(row) for row in rows]


def make_set(database: Database, name: str) -> int:
    """An empty set; its number.

    Raises:
        RefusedError: there is one of that name.
    """
    with database.writing() as db:
        _check_free(db, name)
        return int(db.execute("INSERT INTO sets (name, created) VALUES (?, ?)", (name, time.time())).lastrowid or 0)


def rename_set(database: Database, set_id: int, name: str) -> None:
    """Call a set otherwise.

    Raises:
        RefusedError: there is no such set, or another one of that name.
    """
    with database.writing() as db:
        find_set(db, set_id)
        _check_free(db, name, set_id)
        db.execute("UPDATE sets SET name = ? WHERE id = ?", (name, set_id))


def remove_set(database: Database, set_id: int) -> None:
    """A set with all its symbols.

    Raises:
        RefusedError: there is no such set.
    """
    with database.writing() as db:
        find_set(db, set_id)
        db.execute("DELETE FROM sets WHERE id = ?", (set_id,))


def show_set(database: Database, set_id: int) -> dict[str, Any]:
    """A set's name and how many symbols of each class it has.

    Raises:
        RefusedError: there is no such set.
    """
    with database.reading() as db:
        name = find_set(db, set_id)
        rows = db.execute(
            "SELECT label, count(*) FROM samples WHERE set_id = ? AND deleted IS NULL GROUP BY label", (set_id,)
        )
        counts = dict(tuple(row) for row in rows)
    return {
        "id": set_id,
        "name": name,
        "symbols": sum(counts.values()),
        "counts": [[label, counts.get(label, 0)] for label in (*LABELS, NOTHING)],
    }


def find_set(db: sqlite3.Connection, set_id: int) -> str:
    """The name of a set.

    Raises:
        RefusedError: there is no such set.
    """
    row = db.execute("SELECT name FROM sets WHERE id = ?", (set_id,)).fetchone()
    if row is None:
        raise RefusedError(404, f"there is no set of number {set_id}")
    return str(row["name"])


def _check_free(db: sqlite3.Connection, name: str, but: int = 0) -> None:
    if db.execute("SELECT 1 FROM sets WHERE name = ? AND id != ?", (name, but)).fetchone():
        raise RefusedError(409, f"there is a set of the name {name!r}")
