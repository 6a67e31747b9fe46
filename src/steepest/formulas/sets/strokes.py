"""A pen's strokes as ink, and sets of them in JSON: ``[{"label": "∀", "strokes": [[[x, y], ...], ...]}, ...]``."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest._errors import InputError
from steepest.formulas.image.symbols import SIDE, cut_symbol
from steepest.formulas.sets.limits import check_count, read_bytes, set_of
from steepest.formulas.sets.symbol_set import SymbolSet

Strokes = Sequence[Sequence[Sequence[float]]]
"""Of a symbol; each a list of points (x, y), y downwards."""
PEN = 0.08
MOST_POINTS = 20_000
_FINE = 8  # bits behind the point, of OpenCV's drawing
_LARGEST_JSON = 64 * 2**20


def draw_strokes(strokes: Strokes, size: int = 112, pen: float = PEN) -> NDArray[np.bool_]:
    """A symbol's strokes, of any scale, as ink (``size``, ``size``): its longer side fills the square.

    Args:
        strokes: lists of points (x, y); a stroke of one point is a dot.
        size: in pixels.
        pen: its width over ``size``.

    Raises:
        ValueError: there is no point, there are more than 20,000, or a coordinate is no finite number; ``size`` is not
            from 16 to 1024, or ``pen`` not from 0.01 to 0.5.

    Example:
        >>> draw_strokes([[(0, 0), (0, 9)], [(5, 5)]], size=28).shape
        (28, 28)
    """
    check_strokes(strokes)
    if type(size) is not int or not 16 <= size <= 1024:
        raise ValueError(f"size must be an integer from 16 to 1024, got {size!r}")
    if not 0.01 <= pen <= 0.5:
        raise ValueError(f"pen must be from 0.01 to 0.5, got {pen!r}")
    paths = [np.array(stroke, dtype=np.float64) for stroke in strokes if len(stroke)]
    points = np.concatenate(paths)
    low, high = points.min(axis=0), points.max(axis=0)
    width = max(pen * size, 1.0)
    room = size - width - 1
    middle, scale = high / 2 + low / 2, float((high - low).max()) or 1.0
    ink = np.zeros((size, size), dtype=np.uint8)
    for path in paths:
        placed = np.clip((path - middle) / scale, -0.5, 0.5) * room + (size - 1) / 2
        fixed = np.round(placed * 2**_FINE).astype(np.int32).reshape(-1, 1, 2)
        if len(fixed) == 1:
            fixed = np.repeat(fixed, 2, axis=0)
        cv2.polylines(ink, [fixed], False, 1, max(round(width), 1), cv2.LINE_8, _FINE)
    return ink > 0


def stroke_bitmap(strokes: Strokes, pen: float = PEN) -> NDArray[np.uint8]:
    """The same as a recogniser takes it: (28, 28) ``uint8``, 1 where there is ink.

    Example:
        >>> stroke_bitmap([[(10, 0), (10, 50)]]).any(axis=1).all()
        np.True_
    """
    return cut_symbol(draw_strokes(strokes, size=4 * SIDE, pen=pen))


def check_strokes(strokes: Any) -> None:
    """Refuse what are no strokes.

    Raises:
        ValueError: there is no point, there are more than 20,000, or a coordinate is no finite number.
    """
    if not isinstance(strokes, Sequence | np.ndarray) or isinstance(strokes, str):
        raise ValueError(f"strokes must be a list of lists of points (x, y), got {type(strokes).__name__}")
    count = 0
    for stroke in strokes:
        if not isinstance(stroke, Sequence | np.ndarray) or isinstance(stroke, str):
            raise ValueError(f"strokes must be lists of points (x, y), got {type(stroke).__name__}")
        count += len(stroke)
        if count > MOST_POINTS:
            raise ValueError(f"strokes must have at most {MOST_POINTS} points, got more")
        for point in stroke:
            if not isinstance(point, Sequence | np.ndarray) or isinstance(point, str) or len(point) != 2:
                raise ValueError(f"a point of strokes must be (x, y), got {str(point)[:40]}")
            if not all(_is_finite(value) for value in point):
                raise ValueError(f"a coordinate of strokes must be a finite number, got {str(point)[:40]}")
    if not count:
        raise ValueError("strokes must have at least one point, got none")


def read_strokes(path: Path) -> SymbolSet:
    """A set from strokes in JSON, drawn with the pen of :func:`draw_strokes`.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        found = json.loads(read_bytes(path, _LARGEST_JSON).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} must be strokes in JSON: {str(error)[:80]}") from error
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InputError(f"{path} must be a list of tables with label and strokes")
    check_count(len(found), str(path))
    images, labels = np.zeros((len(found), SIDE, SIDE), dtype=np.uint8), []
    for k, item in enumerate(found):
        if not isinstance(label := item.get("label"), str):
            raise InputError(f"{path} must have a label, a text, in each of its tables; number {k} has none")
        try:
            images[k] = stroke_bitmap(item.get("strokes"))
        except ValueError as error:
            raise InputError(f"{path}: number {k}: {error}") from error
        labels.append(label)
    return set_of(images, labels, str(path))


def write_strokes(symbols: Iterable[tuple[str, Strokes]]) -> str:
    """The JSON of labels and strokes that :func:`read_strokes` reads.

    Raises:
        ValueError: there are no strokes of a symbol, or they are no finite numbers.

    Example:
        >>> write_strokes([("∀", [[(0, 0), (1, 2)]])])
        '[{"label": "∀", "strokes": [[[0.0, 0.0], [1.0, 2.0]]]}]'
    """
    items = []
    for label, strokes in symbols:
        check_strokes(strokes)
        items.append({"label": label, "strokes": [[[float(x), float(y)] for x, y in stroke] for stroke in strokes]})
    return json.dumps(items, ensure_ascii=False)


def _is_finite(value: Any) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    try:
        return bool(number and math.isfinite(float(value)) and abs(float(value)) < 1e100)
    except OverflowError:
        return False
