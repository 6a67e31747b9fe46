"""Sets as rows of numbers: the pixels and a column for each class, as FOPL has them, or a class and the pixels.

Source: Ampelakiotis, "OCR - First Order Predicate Logic Datasets" (2020): rows without a header of 28x28 or 35x35
pixels, 1 where there is ink, then 67 columns of which that of the class is 1.
"""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steepest._errors import InputError
from steepest.formulas.image.symbols import SIDE, cut_symbol
from steepest.formulas.logic.labels import LABELS
from steepest.formulas.sets.limits import PIXELS, check_count, read_bytes, set_of
from steepest.formulas.sets.names import label_of
from steepest.formulas.sets.symbol_set import NOTHING, SymbolSet

_LARGER = 35 * 35


def read_csv(path: Path) -> SymbolSet:
    """A set from rows of 784 or 1,225 pixels and 67 columns of classes, or of a class and 784 pixels.

    A first row that is a header is let be. What is not 0 is ink.

    Raises:
        InputError: it cannot be read, or a row is of another length or holds something else.
    """
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} must be text in UTF-8") from error
    check_count(len(lines), str(path))
    images: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            image, label = _read_plain(line) or _read_row(next(csv.reader([line])))
        except (ValueError, csv.Error, StopIteration) as error:
            if number == 1 and not any(c.isdigit() for c in line.rpartition(",")[2][:1]):
                continue
            raise InputError(f"{path}, line {number}: {str(error)[:120]}") from error
        images.append(image)
        labels.append(label)
    found = np.stack(images) if images else np.zeros((0, SIDE, SIDE), dtype=np.uint8)
    return set_of(found, labels, str(path))


def write_csv(symbols: SymbolSet) -> str:
    """The rows of a set as FOPL has them; what is no symbol has no column of 1."""
    columns = np.zeros((len(symbols), len(LABELS)), dtype=np.uint8)
    for k, label in enumerate(symbols.labels):
        if label != NOTHING:
            columns[k, LABELS.index(label)] = 1
    rows = np.concatenate([symbols.images.reshape(len(symbols), PIXELS), columns], axis=1)
    return "".join(",".join(map(str, row)) + "\n" for row in rows.tolist())


def _read_plain(line: str) -> tuple[NDArray[np.uint8], str] | None:
    """Read a row of single digits, as FOPL's own are; ``None`` if it is none."""
    text = np.frombuffer(line.encode("utf-8"), dtype=np.uint8)
    if len(text) not in (2 * (PIXELS + len(LABELS)) - 1, 2 * (_LARGER + len(LABELS)) - 1):
        return None
    values = text[::2] - ord("0")
    if (text[1::2] != ord(",")).any() or (values > 1).any():
        return None
    return _part(values)


def _read_row(row: list[str]) -> tuple[NDArray[np.uint8], str]:
    if len(row) == 1 + PIXELS:
        if (label := label_of(row[0].strip())) is None and row[0] != NOTHING:
            raise ValueError(f"a class must be one of steepest.formulas.logic.LABELS, got {row[0][:20]!r}")
        return _numbers(row[1:]).reshape(SIDE, SIDE), label or NOTHING
    if len(row) not in (PIXELS + len(LABELS), _LARGER + len(LABELS)):
        raise ValueError(f"a row must have {PIXELS + len(LABELS)} numbers, or a class and {PIXELS}, got {len(row)}")
    return _part(_numbers(row))


def _numbers(cells: list[str]) -> NDArray[np.uint8]:
    values = np.array([float(cell) for cell in cells], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a pixel must be a finite number")
    found: NDArray[np.uint8] = (values != 0).astype(np.uint8)
    return found


def _part(values: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
    pixels, columns = values[: -len(LABELS)], values[-len(LABELS) :]
    if columns.sum() > 1:
        raise ValueError(f"one of the last {len(LABELS)} numbers of a row must be 1, got {int(columns.sum())} of them")
    side = round(len(pixels) ** 0.5)
    image = pixels.reshape(side, side)
    if side != SIDE:
        image = cut_symbol(image > 0)
    return image.copy(), LABELS[int(columns.argmax())] if columns.any() else NOTHING
