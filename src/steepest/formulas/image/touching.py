"""Symbols whose ink meets, taken apart where they are thinnest."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Mask, Part, box_of, crop
from steepest.formulas.image.parts import stroke_width

_WIDE = 1.35  # capitals: a part that is wider is two symbols
_LEAST = 0.12  # capitals: how wide each of two symbols is at least
_CROSSED = 1.0  # strokes' widths of ink that a cut may cross
_EVEN = 0.7  # strokes' widths of ink that a cut may cross more for halves that differ by a capital's height less


class Cut(NamedTuple):
    """A part in two, and how much ink was crossed, in strokes' widths."""

    left: Part
    right: Part
    crossed: float


def split_parts(parts: Sequence[Part], height: float) -> list[Part]:
    """The symbols of one line, from left to right; what is too wide for one is cut into two, or more.

    Args:
        parts: of one line, from left to right.
        height: a capital's.
    """
    found = []
    for part in parts:
        cut = _best_cut(part, height)
        found.extend([part] if cut is None else split_parts([cut.left, cut.right], height))
    return found


def _best_cut(part: Part, height: float) -> Cut | None:
    if part.box.width <= _WIDE * height:
        return None
    cuts = [cut for cut in find_cuts(part, height) if cut.crossed <= _CROSSED]

    def price(cut: Cut) -> float:
        return cut.crossed + _EVEN * abs(cut.left.box.width - cut.right.box.width) / height

    return min(cuts, key=price, default=None)


def find_cuts(part: Part, height: float) -> list[Cut]:
    """Ways from the part's top to its bottom that cross little ink, one for every tenth of a capital's height."""
    ink, stroke = part.ink, stroke_width(part.ink)
    least = max(int(_LEAST * height), 3)
    reach, found, seen = max(int(0.08 * height), 2), [], set[tuple[int, ...]]()
    for middle in range(least, ink.shape[1] - least + 1, max(int(0.1 * height), 2)):
        columns = thinnest_way(ink, max(middle - reach, 1), min(middle + reach + 1, ink.shape[1] - 1))
        if columns is None or tuple(columns) in seen:
            continue
        seen.add(tuple(columns))
        side = np.arange(ink.shape[1]) < columns[:, None]
        halves = [_whole(ink & side), _whole(ink & ~side)]
        if min(int(half.sum()) for half in halves) < 0.08 * ink.sum():
            continue
        boxes = [box_of(half) for half in halves]
        if min(box.width for box in boxes) < least:
            continue
        left, right = (
            Part(box.moved(part.box.x, part.box.y), half[crop(box)]) for box, half in zip(boxes, halves, strict=True)
        )
        crossed = float(ink[np.arange(len(ink)), columns].sum()) / stroke
        found.append(Cut(left, right, crossed))
    return found


def _whole(ink: Mask) -> Mask:
    """Leave out shavings that a cut has left."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    if count <= 2:
        return ink
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = areas >= 0.06 * areas[1:].max()
    kept[0] = False
    return np.asarray(kept[labels])


def thinnest_way(ink: Mask, first: int, end: int) -> NDArray[np.int64] | None:
    """The column in every row of the way from top to bottom that crosses the least ink, within columns.

    From row to row it goes at most one column aside, at a price.

    Example:
        >>> ink = np.array([[1, 1, 0, 1], [1, 1, 0, 1], [1, 0, 1, 1]], dtype=bool)
        >>> thinnest_way(ink, 1, 3).tolist()
        [2, 2, 1]
    """
    if end - first < 1:
        return None
    price = ink[:, first:end].astype(np.float64)
    total, steps = price[0].copy(), []
    for row in price[1:]:
        ways = np.stack(
            [np.concatenate([[np.inf], total[:-1]]) + 0.15, total, np.concatenate([total[1:], [np.inf]]) + 0.15]
        )
        best = np.argmin(ways, axis=0)
        steps.append(best - 1)
        total = ways[best, np.arange(len(row))] + row
    column = int(np.argmin(total))
    columns = [column]
    for step in reversed(steps):
        column += int(step[column])
        columns.append(column)
    return np.array(columns[::-1], dtype=np.int64) + first
