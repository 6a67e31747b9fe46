"""Sheets: what was drawn, or a picture; what was read from it, and every correction since."""

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest._errors import InputError
from steepest.formulas.app.answers import RefusedError
from steepest.formulas.app.database import Database
from steepest.formulas.app.drawing import DrawnPage, Points, draw_page, write_strokes
from steepest.formulas.image import open_image
from steepest.formulas.image.reading import LARGEST
from steepest.formulas.reading import Formulas, ReadSymbol, read_json, read_symbols

KEPT = 100  # sheets; older ones go
_STEPS = 100  # that one can go back
Lines = list[list[ReadSymbol]]


@dataclass(frozen=True)
class Sheet:
    """A sheet as it stands.

    Attributes:
        revision: grows with every change.
        strokes: what was drawn; ``None`` of a picture.
        width, height: of the picture.
        options: ``grammar`` and ``words`` of :func:`~steepest.formulas.reading.read_formulas`.
    """

    number: int
    revision: int
    strokes: list[Points] | None
    width: int
    height: int
    lines: Lines
    options: dict[str, bool]

    def read(self) -> Formulas:
        """What it says."""
        return read_symbols(self.lines, **self.options)

    def page(self) -> DrawnPage | None:
        """What was drawn, as pixels."""
        return None if self.strokes is None else draw_page(self.strokes)


def shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture no larger than what pages are read at."""
    scale = min(LARGEST / max(image.shape[:2]), 1.0)
    if scale == 1:
        return image
    size = [max(round(side * scale), 1) for side in image.shape[1::-1]]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def encode(image: NDArray[np.uint8]) -> bytes:
    """A picture as a PNG or, of more than half a million pixels, a JPEG.

    Raises:
        InputError: it cannot be.
    """
    if image.ndim == 3 and image.shape[2] == 4:  # on white, as it is read
        clear = image[..., 3:].astype(np.float32) / 255
        image = np.round(image[..., :3] * clear + 255 * (1 - clear)).astype(np.uint8)
    turned = image[..., ::-1] if image.ndim == 3 else image
    large = image.shape[0] * image.shape[1] > 500_000
    done, content = cv2.imencode(".jpg" if large else ".png", np.ascontiguousarray(turned))
    if not done:
        raise InputError("the image cannot be kept")
    return content.tobytes()


class Sheets:
    """The sheets in the database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(
        self, lines: Lines, options: dict[str, bool], image: NDArray[np.uint8], strokes: list[Points] | None
    ) -> int:
        """Keep a new sheet; its number. The oldest goes where there are too many."""
        picture = None if strokes is not None else encode(image)
        kept = None if strokes is None else write_strokes(strokes)
        with self.database.writing() as db:
            row = db.execute(
                "INSERT INTO sheets (created, strokes, picture, width, height) VALUES (?, ?, ?, ?, ?) RETURNING id",
                (time.time(), kept, picture, image.shape[1], image.shape[0]),
            ).fetchone()
            db.execute("INSERT INTO readings VALUES (?, 1, ?)", (row[0], _write(lines, options)))
            db.execute("DELETE FROM sheets WHERE id <= ?", (row[0] - KEPT,))
        return int(row[0])

    def redraw(self, number: int, lines: Lines, strokes: list[Points]) -> None:
        """Other strokes on a sheet that was drawn, and what is read from them; one cannot go back behind that.

        Raises:
            RefusedError: there is no such sheet, or it is a picture.
        """
        with self.database.writing() as db:
            sheet = _load(db, number)
            if sheet.strokes is None:
                raise RefusedError(409, "this sheet is a picture; nothing can be drawn on it")
            db.execute("UPDATE sheets SET strokes = ? WHERE id = ?", (write_strokes(strokes), number))
            db.execute("DELETE FROM readings WHERE sheet_id = ?", (number,))
            state = _write(lines, sheet.options)
            db.execute("INSERT INTO readings VALUES (?, ?, ?)", (number, sheet.revision + 1, state))

    def load(self, number: int) -> Sheet:
        """A sheet as it stands.

        Raises:
            RefusedError: there is no such sheet.
        """
        with self.database.reading() as db:
            return _load(db, number)

    def picture(self, number: int) -> bytes:
        """The picture of a sheet, PNG or JPEG.

        Raises:
            RefusedError: there is no such sheet, or it was drawn.
        """
        with self.database.reading() as db:
            row = db.execute("SELECT picture FROM sheets WHERE id = ?", (number,)).fetchone()
        if row is None or row["picture"] is None:
            raise RefusedError(404, f"there is no picture of number {number}")
        return bytes(row["picture"])

    def image(self, sheet: Sheet) -> NDArray[np.uint8]:
        """The pixels that a sheet is read from."""
        page = sheet.page()
        return open_image(self.picture(sheet.number)) if page is None else page.image

    def change(self, number: int, revision: int, work: Callable[[Sheet], tuple[Lines, dict[str, bool]]]) -> None:
        """Replace what was read; one can go back.

        Args:
            revision: that ``work`` was meant for.

        Raises:
            RefusedError: there is no such sheet, or it has changed since.
        """
        sheet = self.load(number)
        if sheet.revision != revision:
            raise RefusedError(409, "the sheet was changed elsewhere since; load it again")
        state = _write(*work(sheet))
        with self.database.writing() as db:
            if _load(db, number).revision != revision:
                raise RefusedError(409, "the sheet was changed elsewhere since; load it again")
            db.execute("INSERT INTO readings VALUES (?, ?, ?)", (number, revision + 1, state))
            db.execute("DELETE FROM readings WHERE sheet_id = ? AND revision <= ?", (number, revision - _STEPS))

    def undo(self, number: int) -> None:
        """Take the last change back.

        Raises:
            RefusedError: there is none.
        """
        with self.database.writing() as db:
            if db.execute("SELECT count(*) FROM readings WHERE sheet_id = ?", (number,)).fetchone()[0] < 2:
                raise RefusedError(409, "there is no correction to take back")
            db.execute(
                "DELETE FROM readings WHERE sheet_id = ? AND "
                "revision = (SELECT max(revision) FROM readings WHERE sheet_id = ?)",
                (number, number),
            )


def _load(db: sqlite3.Connection, number: int) -> Sheet:
    row = db.execute(
        "SELECT strokes, width, height, revision, state FROM sheets JOIN readings ON sheet_id = id WHERE id = ? "
        "ORDER BY revision DESC LIMIT 1",
        (number,),
    ).fetchone()
    if row is None:
        raise RefusedError(404, f"there is no sheet of number {number}")
    strokes = None
    if row["strokes"] is not None:
        strokes = [np.array(stroke, dtype=np.float64) for stroke in json.loads(row["strokes"])]
    state = json.loads(row["state"])
    lines = read_json(json.dumps(state["read"]))
    size = int(row["width"]), int(row["height"])
    return Sheet(number, row["revision"], strokes, *size, lines, state["options"])


def _write(lines: Sequence[Sequence[ReadSymbol]], options: dict[str, bool]) -> str:
    read = json.loads(read_symbols(lines, **options).to_json())
    return json.dumps({"options": options, "read": read}, ensure_ascii=False)
