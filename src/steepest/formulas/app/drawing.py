"""What a pen drew on the screen, as ink: never a browser's pixels, some of which add noise to them."""

import json
import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.app.answers import RefusedError
from steepest.formulas.sets import stroke_bitmap
from steepest.formulas.sets.strokes import MOST_POINTS, PEN

Points = NDArray[np.float64]
CAPITAL = 56.0  # pixels that high strokes are on a page
MARGIN = 40  # pixels around the strokes
LARGEST = 2400  # pixels of a page's longer side
MOST_STROKES = 2000
_FARTHEST = 100_000.0
_SHIFT = 4  # binary places of a pixel that OpenCV is given


class DrawnPage(NamedTuple):
    """A page (H, W), 255 where it is white; pixels of it for each of the screen's, and where its corner lies there."""

    image: NDArray[np.uint8]
    scale: float
    left: float
    top: float

    def to_screen(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box (x, y, width, height) in the screen's pixels."""
        x, y, width, height = box
        return self.left + x / self.scale, self.top + y / self.scale, width / self.scale, height / self.scale


def check_strokes(found: Any) -> list[Points]:
    """Strokes ``[[[x, y], ...], ...]`` as arrays (n, 2).

    Raises:
        RefusedError: they are none, too many, or hold what is no finite number.
    """
    wrong = "strokes must be lists of points [x, y] of finite numbers, at least one"
    if not isinstance(found, list) or not found:
        raise RefusedError(400, wrong)
    if len(found) > MOST_STROKES or sum(len(s) if isinstance(s, list) else 0 for s in found) > MOST_POINTS:
        raise RefusedError(422, f"strokes must be at most {MOST_STROKES} of {MOST_POINTS} points together")
    try:
        strokes = [np.array(stroke, dtype=np.float64) for stroke in found]
    except (TypeError, ValueError, OverflowError):
        raise RefusedError(400, wrong) from None
    for stroke in strokes:
        if stroke.ndim != 2 or stroke.shape[1] != 2 or not np.isfinite(stroke).all():
            raise RefusedError(400, wrong)
        if np.abs(stroke).max() > _FARTHEST:
            raise RefusedError(422, f"strokes must lie within {_FARTHEST:g} pixels of the corner")
    return strokes


def write_strokes(strokes: list[Points]) -> str:
    """Strokes as JSON, to a tenth of a pixel."""
    return json.dumps([np.round(stroke, 1).tolist() for stroke in strokes], separators=(",", ":"))


def draw_page(strokes: list[Points]) -> DrawnPage:
    """The page that strokes make, at the size at which pages are read best, with the pen of the training pictures.

    Example:
        >>> page = draw_page([np.array([[10.0, 10.0], [10.0, 66.0]]), np.array([[30.0, 10.0], [30.0, 66.0]])])
        >>> page.image.shape, page.scale
        ((136, 100), 1.0)
    """
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    sides = [float(np.ptp(stroke, axis=0).max()) for stroke in strokes]
    tall = float(np.percentile([side for side in sides if side >= 0.3 * max(sides)], 60))
    span = max(float((high - low).max()), 1.0)
    scale = min(CAPITAL / max(tall, 1.0), (LARGEST - 2 * MARGIN) / span)
    width, height = (math.ceil(side * scale) + 2 * MARGIN for side in (high - low).tolist())
    pixels = [(stroke - low) * scale + MARGIN for stroke in strokes]
    ink = _ink(pixels, (height, width), PEN * tall * scale)
    left, top = (low - MARGIN / scale).tolist()
    return DrawnPage(np.where(ink, 0, 255).astype(np.uint8), scale, left, top)


def draw_symbol(strokes: list[Points]) -> NDArray[np.uint8]:
    """One symbol as it is kept: (28, 28), 1 where there is ink."""
    return stroke_bitmap([stroke.tolist() for stroke in strokes])


def _ink(pixels: list[Points], shape: tuple[int, int], thick: float) -> NDArray[np.bool_]:
    ink = np.zeros(shape, dtype=np.uint8)
    curves = [np.round(stroke * 2**_SHIFT).astype(np.int32) for stroke in pixels]
    cv2.polylines(ink, curves, False, 1, max(round(thick), 2), cv2.LINE_8, _SHIFT)
    return ink > 0
