"""Sets from files that a user brings, and to files."""

import json
import tempfile
from pathlib import Path

from steepest._errors import InputError, one_line
from steepest.formulas.app import symbols
from steepest.formulas.app.answers import RefusedError
from steepest.formulas.app.database import Database
from steepest.formulas.app.drawing import check_strokes, draw_symbol, write_strokes
from steepest.formulas.app.symbols import MOST, Sample
from steepest.formulas.sets import SymbolSet, read_set, write_set

EXPORTS = {"zip": "application/zip", "csv": "text/csv", "npz": "application/octet-stream", "json": "application/json"}


def import_set(name: str, content: bytes) -> list[Sample]:
    """The symbols of a file: a zip of folders, a CSV, an ``.npz``, or strokes as JSON.

    Args:
        name: of the file; only its ending counts.

    Raises:
        InputError: it is none of these, or holds something else.
    """
    kind = name.rpartition(".")[2].lower()
    shown = one_line(name)[-80:] or "the file"
    if kind not in EXPORTS:
        raise InputError(f"{shown} must be a .zip, .csv, .npz or .json")
    if kind == "json":
        return _read_strokes(shown, content)
    with tempfile.TemporaryDirectory(prefix="steepest-") as folder:
        path = Path(folder, f"set.{kind}")
        path.write_bytes(content)
        try:
            found = read_set(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), shown)) from error
    if not len(found):
        raise InputError(f"{shown} must hold at least one symbol, got none")
    return [Sample(label, image) for label, image in zip(found.labels, found.images, strict=True)]


def export_set(database: Database, set_id: int, to: str) -> bytes:
    """A set as the content of a file.

    Raises:
        RefusedError: there is no such set, or nothing of it can be written.
    """
    if to == "json":
        strokes = symbols.load_strokes(database, set_id)
        if not strokes:
            raise RefusedError(422, "no symbol of this set was drawn here, so that there are no strokes")
        return json.dumps(strokes, ensure_ascii=False).encode()
    _, images, labels = symbols.load_samples(database, set_id)
    if not labels:
        raise RefusedError(422, "the set is empty")
    with tempfile.TemporaryDirectory(prefix="steepest-") as folder:
        path = Path(folder, f"set.{to}")
        write_set(SymbolSet(images, labels), path)
        return path.read_bytes()


def _read_strokes(shown: str, content: bytes) -> list[Sample]:
    wrong = f"{shown} must be a list of objects with label and strokes"
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError(f"{shown} must be JSON") from None
    if not isinstance(found, list) or not found or len(found) > MOST:
        raise InputError(wrong)
    samples = []
    for entry in found:
        if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
            raise InputError(wrong)
        strokes = check_strokes(entry.get("strokes"))
        samples.append(Sample(entry["label"], draw_symbol(strokes), write_strokes(strokes)))
    return samples
