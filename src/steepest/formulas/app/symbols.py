"""The symbols of the user's sets."""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.app.answers import RefusedError
from steepest.formulas.app.database import Database
from steepest.formulas.app.user_sets import find_set
from steepest.formulas.image.symbols import SIDE
from steepest.formulas.logic import LABELS
from steepest.formulas.sets import NOTHING

MOST = 200_000  # symbols in a set
PAGE = 200  # symbols in one answer


class Sample(NamedTuple):
    """A symbol to be kept.

    ``source`` tells where it is from, as a symbol of a sheet: what comes from there again replaces it.
    """

    label: str
    bitmap: NDArray[np.uint8]
    strokes: str | None = None
    source: str | None = None


def list_samples(database: Database, set_id: int, label: str, after: int = 0) -> dict[str, Any]:
    """Symbols of a class in the order in which they came, from the one after the number ``after``.

    Raises:
        RefusedError: there is no such set.
    """
    with database.reading() as db:
        find_set(db, set_id)
        rows = db.execute(
            "SELECT id, label, bitmap FROM samples WHERE set_id = ? AND label = ? AND id > ? AND deleted IS NULL "
            "ORDER BY id LIMIT ?",
            (set_id, label, after, PAGE + 1),
        ).fetchall()
    return {"samples": [show_sample(row) for row in rows[:PAGE]], "more": len(rows) > PAGE}


def show_sample(row: sqlite3.Row) -> dict[str, Any]:
    """A symbol with its bits as hexadecimal digits, 7 a row."""
    return {"id": row["id"], "label": row["label"], "bitmap": bytes(row["bitmap"]).hex()}


def add_samples(database: Database, set_id: int, samples: Sequence[Sample]) -> list[int]:
    """Keep symbols, all of them or none; their numbers.

    Raises:
        RefusedError: there is no such set, it would be too large, or a class is none.
    """
    for sample in samples:
        check_label(sample.label)
    now, ids = time.time(), []
    with database.writing() as db:
        find_set(db, set_id)
        count = db.execute("SELECT count(*) FROM samples WHERE set_id = ?", (set_id,)).fetchone()[0]
        if count + len(samples) > MOST:
            raise RefusedError(422, f"a set takes at most {MOST} symbols, and would have {count + len(samples)}")
        for sample in samples:
            row = db.execute(
                "INSERT INTO samples (set_id, label, bitmap, strokes, source, created) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (set_id, source) DO UPDATE SET label = excluded.label, bitmap = excluded.bitmap, "
                "strokes = excluded.strokes, deleted = NULL RETURNING id",
                (set_id, sample.label, pack(sample.bitmap), sample.strokes, sample.source, now),
            ).fetchone()
            ids.append(int(row[0]))
    return ids


def relabel(database: Database, ids: Iterable[int], label: str) -> int:
    """Symbols of another class than was said; how many there were.

    Raises:
        RefusedError: the class is none.
    """
    check_label(label)
    with database.writing() as db:
        return db.executemany("UPDATE samples SET label = ? WHERE id = ?", [(label, k) for k in ids]).rowcount


def set_deleted(database: Database, ids: Iterable[int], deleted: bool) -> int:
    """Symbols that count no longer, or again; how many there were."""
    when = time.time() if deleted else None
    with database.writing() as db:
        return db.executemany("UPDATE samples SET deleted = ? WHERE id = ?", [(when, k) for k in ids]).rowcount


def load_samples(database: Database, set_id: int) -> tuple[list[int], NDArray[np.uint8], tuple[str, ...]]:
    """A set as numbers, bitmaps (N, 28, 28) of 0 and 1, and labels.

    Raises:
        RefusedError: there is no such set.
    """
    with database.reading() as db:
        find_set(db, set_id)
        rows = db.execute(
            "SELECT id, bitmap, label FROM samples WHERE set_id = ? AND deleted IS NULL ORDER BY id", (set_id,)
        ).fetchall()
    packed = np.frombuffer(b"".join(row["bitmap"] for row in rows), dtype=np.uint8).reshape(len(rows), -1)
    images = np.unpackbits(packed, axis=1).reshape(-1, SIDE, SIDE) if rows else np.zeros((0, SIDE, SIDE), np.uint8)
    return [row["id"] for row in rows], images, tuple(row["label"] for row in rows)


def load_strokes(database: Database, set_id: int) -> list[dict[str, Any]]:
    """What was drawn, of those symbols of a set that were.

    Raises:
        RefusedError: there is no such set.
    """
    with database.reading() as db:
        find_set(db, set_id)
        rows = db.execute(
            "SELECT label, strokes FROM samples WHERE set_id = ? AND deleted IS NULL AND strokes IS NOT NULL "
            "ORDER BY id",
            (set_id,),
        )
        return [{"label": row["label"], "strokes": json.loads(row["strokes"])} for row in rows]


def pack(bitmap: NDArray[np.uint8]) -> bytes:
    """28x28 bits in 98 bytes."""
    return np.packbits(bitmap.ravel()).tobytes()


def check_label(label: str) -> None:
    """Make sure that a class is one.

    Raises:
        RefusedError: it is none.
    """
    if label not in (*LABELS, NOTHING):
        raise RefusedError(422, f"label must be one of {''.join(LABELS)}, or empty for no symbol, got {label[:20]!r}")
