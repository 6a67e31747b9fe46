"""The models: the one that is shipped, those that were trained here or brought; which is in use, and was before."""

import json
import sqlite3
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steepest._files import write_atomically
from steepest.formulas.app.answers import RefusedError
from steepest.formulas.app.database import Database
from steepest.formulas.app.places import MODELS
from steepest.formulas.recognition import Recognizer

SHIPPED = 0
DEFAULT = Path(__file__).parent.parent / "models" / "default.safetensors"


class Models:
    """The models of a data folder.

    Args:
        default: the file of the model that is shipped.
    """

    def __init__(self, folder: Path, database: Database, default: Path = DEFAULT) -> None:
        self.folder, self.database, self.default = folder / MODELS, database, default

    def list(self) -> dict[str, Any]:
        """All models, the shipped one first, which is in use, and which one would go back to."""
        with self.database.reading() as db:
            rows = db.execute("SELECT * FROM models ORDER BY id").fetchall()
            used = _list_uses(db)
        models = [_show(row) for row in rows]
        if self.default.is_file():
            models.insert(0, self._show_shipped())
        return {"models": models, "in_use": used[-1], "before": used[-2] if len(used) > 1 else None}

    def in_use(self) -> int:
        """The number of the model that reads."""
        with self.database.reading() as db:
            return _list_uses(db)[-1]

    def find(self, model_id: int) -> dict[str, Any]:
        """What is known of a model.

        Raises:
            RefusedError: there is no such model.
        """
        if model_id == SHIPPED and self.default.is_file():
            return self._show_shipped()
        with self.database.reading() as db:
            return _show(_find(db, model_id))

    def path(self, model_id: int) -> Path:
        """The file of a model.

        Raises:
            RefusedError: there is no such model.
        """
        if model_id == SHIPPED:
            if not self.default.is_file():
                raise RefusedError(409, "there is no model yet: train one, or bring a file")
            return self.default
        with self.database.reading() as db:
            return self.folder / str(_find(db, model_id)["file"])

    def add(self, content: bytes, name: str, facts: dict[str, Any], training: str | None = None) -> int:
        """Keep a model; it is not in use by that.

        Args:
            training: which made it; the same is kept once.

        Raises:
            InputError: ``content`` is no such file.
        """
        recognizer = Recognizer.load(content)
        known = {"network": recognizer.network.settings["network"], "classes": _count_classes(recognizer)}
        if recognizer.accuracy is not None:
            known["accuracy"] = recognizer.accuracy
        file = f"{uuid.uuid4().hex}.safetensors"
        write_atomically(self.folder / file, content)
        with self.database.writing() as db:
            db.execute(
                "INSERT INTO models (name, file, created, facts, training) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (training) DO NOTHING",
                (name, file, time.time(), json.dumps({**known, **facts}), training),
            )
            row = db.execute("SELECT id, file FROM models WHERE training = ? OR file = ?", (training, file)).fetchone()
        if row["file"] != file:
            (self.folder / file).unlink()
        return int(row["id"])

    def use(self, model_id: int, anyway: bool = False) -> None:
        """Read with this model from now on.

        Raises:
            RefusedError: there is no such model, or it is worse than the one in use and not wanted ``anyway``.
        """
        chosen = self.find(model_id)
        with self.database.writing() as db:
            now = _list_uses(db)[-1]
            if now == model_id:
                return
            worse = None if anyway else self._why_worse(chosen, now)
            if worse:
                raise RefusedError(409, worse, ask=True)
            db.execute("INSERT INTO uses (model_id, at) VALUES (?, ?)", (model_id, time.time()))

    def _why_worse(self, chosen: dict[str, Any], now: int) -> str | None:
        if now == SHIPPED and not self.default.is_file():
            return None
        current, its = self.find(now), chosen["facts"]
        before = its.get("before") or {}
        known = before.get("accuracy") if before.get("model") == now else current["facts"].get("accuracy")
        if known is not None and its.get("accuracy") is not None and its["accuracy"] < known:
            same = "the same symbols" if before.get("model") == now else "those that were held out from it"
            return (
                f"{chosen['name']!r} knows {100 * its['accuracy']:.1f} % of the symbols held out, and the model in "
                f"use, {current['name']!r}, {100 * known:.1f} % of {same}"
            )
        if its.get("classes", 0) < current["facts"].get("classes", 0):
            return (
                f"{chosen['name']!r} knows {its.get('classes')} classes, and the model in use, {current['name']!r}, "
                f"{current['facts']['classes']}"
            )
        return None

    def roll_back(self) -> int:
        """Read with the model that was in use before; its number.

        Raises:
            RefusedError: there was none.
        """
        with self.database.writing() as db:
            used = _list_uses(db)
            if len(used) < 2:
                raise RefusedError(409, "no model was in use before this one")
            db.execute("DELETE FROM uses WHERE id = (SELECT max(id) FROM uses)")
        return used[-2]

    def rename(self, model_id: int, name: str) -> None:
        """Call a model otherwise.

        Raises:
            RefusedError: there is no such model, or it is the shipped one.
        """
        with self.database.writing() as db:
            _find(db, model_id)
            db.execute("UPDATE models SET name = ? WHERE id = ?", (name, model_id))

    def remove(self, model_id: int) -> None:
        """A model, which one then cannot go back to.

        Raises:
            RefusedError: there is no such model, it is the shipped one, or it is in use.
        """
        with self.database.writing() as db:
            file = _find(db, model_id)["file"]
            if _list_uses(db)[-1] == model_id:
                raise RefusedError(409, "the model is in use; use another one first")
            db.execute("DELETE FROM models WHERE id = ?", (model_id,))
            db.execute("DELETE FROM uses WHERE model_id = ?", (model_id,))
        (self.folder / file).unlink(missing_ok=True)

    def trained(self, trainings: Sequence[str]) -> dict[str, int]:
        """Which models these trainings made."""
        with self.database.reading() as db:
            rows = db.execute("SELECT id, training FROM models WHERE training IS NOT NULL").fetchall()
        return {row["training"]: row["id"] for row in rows if row["training"] in trainings}

    def _show_shipped(self) -> dict[str, Any]:
        recognizer = Recognizer.load(self.default)
        facts = {"network": recognizer.network.settings["network"], "classes": _count_classes(recognizer)}
        if recognizer.accuracy is not None:
            facts["accuracy"] = recognizer.accuracy
        return {"id": SHIPPED, "name": "shipped with steepest", "created": None, "facts": facts}


def _count_classes(recognizer: Recognizer) -> int:
    """Count the classes of symbols; what is no symbol is none."""
    return sum(bool(label) for label in recognizer.labels)


def _list_uses(db: sqlite3.Connection) -> list[int]:
    """List the models that were in use, the current one last; no two neighbours are the same."""
    found = [SHIPPED]
    for row in db.execute("SELECT model_id FROM uses ORDER BY id"):
        if row[0] != found[-1]:
            found.append(row[0])
    return found


def _find(db: sqlite3.Connection, model_id: int) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute("SELECT * FROM models WHERE id = ?", (model_id,)).fetchone()
    if row is None:
        shipped = "the model that is shipped stays as it is" if model_id == SHIPPED else ""
        raise RefusedError(404, shipped or f"there is no model of number {model_id}")
    return row


def _show(row: sqlite3.Row) -> dict[str, Any]:
    return {"id": row["id"], "name": row["name"], "created": row["created"], "facts": json.loads(row["facts"])}
