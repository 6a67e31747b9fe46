"""The database: sets of symbols, sheets that were read, models; in short transactions, whole at every moment."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steepest._errors import InputError
from steepest._files import reason_of

BUSY = 3.0  # seconds to wait for another writer
_VERSION = 1
_SCHEMA = """
CREATE TABLE sets (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, created REAL NOT NULL);
CREATE TABLE samples (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  set_id INTEGER NOT NULL REFERENCES sets ON DELETE CASCADE,
  label TEXT NOT NULL,
  bitmap BLOB NOT NULL,
  strokes TEXT,
  source TEXT,
  created REAL NOT NULL,
  deleted REAL,
  UNIQUE (set_id, source)
);
CREATE INDEX samples_of_set ON samples (set_id, label, id);
CREATE TABLE sheets (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  created REAL NOT NULL,
  strokes TEXT,
  picture BLOB,
  width REAL NOT NULL,
  height REAL NOT NULL
);
CREATE TABLE readings (
  sheet_id INTEGER NOT NULL REFERENCES sheets ON DELETE CASCADE,
  revision INTEGER NOT NULL,
  state TEXT NOT NULL,
  PRIMARY KEY (sheet_id, revision)
);
CREATE TABLE models (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  file TEXT NOT NULL UNIQUE,
  created REAL NOT NULL,
  facts TEXT NOT NULL,
  training TEXT UNIQUE
);
CREATE TABLE uses (id INTEGER PRIMARY KEY AUTOINCREMENT, model_id INTEGER NOT NULL, at REAL NOT NULL);
"""


class Database:
    """A file of SQLite with the tables of the application; a connection for every piece of work.

    Raises:
        InputError: the file is no database, is damaged, or was written by a later version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with self.writing() as db:
                version = db.execute("PRAGMA user_version").fetchone()[0]
                if version > _VERSION:
                    raise InputError(f"{path} was written by a later version of steepest (format {version})")
                if version == 0:
                    for statement in _SCHEMA.split(";\n"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {_VERSION}")
        except sqlite3.Error as error:
            raise InputError(f"{path} cannot be used as the database: {reason_of(error)}") from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the tables."""
        db = self._connect()
        try:
            db.execute("BEGIN")
            yield db
        finally:
            db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all that is done within stands afterwards, or, after an error, nothing of it."""
        db = self._connect()
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()  # rolls back what was not committed

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            db.close()
            raise
        return db
