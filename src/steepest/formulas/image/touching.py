"""Symbols whose ink meets, taken apart where they are thinnest."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Box, Mask, Part, crop
from steepest.formulas.image.parts import stroke_width

_WIDE = 1.35  # capitals: a part that is wider is two symbols
_LEAST = 0.06  # capitals: how wide each of two symbols is at least
_LEAST_INK = 0.03  # of the ink is in each of two symbols
_REACH = 0.06  # capitals: how far ways go to a side
_MOST_CROSSED = 3.0  # strokes' widths of ink that a way crosses
_CROSSED = 1.0  # strokes' widths of ink that a cut may cross
_EVEN = 0.7  # strokes' widths of ink that a cut may cross more for halves that differ by a capital's height less
_ASIDE = 0.15  # pixels of ink that a way pays for a column to a side


class Search(NamedTuple):
    """Where cuts are looked for.

    ``step``: how far ways are apart, in capitals, and ``least`` in pixels; ``slants``: of ways, in columns a row;
    ``other``: of the ink, how much two cuts have on another side at least.
    """

    step: float
    least: int
    slants: tuple[float, ...]
    other: float


COARSE = Search(0.07, 2, (0.0, -0.35, 0.35, -0.7, 0.7), 0.02)
FINE = Search(0.035, 1, (0.0, -0.17, 0.17, -0.35, 0.35, -0.7, 0.7), 0.01)


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


def find_cuts(part: Part, height: float, search: Search = COARSE) -> list[Cut]:
    """Ways from the part's top to its bottom that cross little ink, upright and slanted ones, the least first.

    No two take nearly the same ink apart.

    Args:
        height: a capital's.
        search: fine where what chooses among cuts can tell near ones apart.
    """
    ink, stroke = part.ink, stroke_width(part.ink)
    tall, wide = ink.shape
    least = max(int(_LEAST * height), 2)
    reach, step = max(int(_REACH * height), 2), max(int(search.step * height), search.least)
    rows = np.arange(tall) - tall // 2
    middles = np.concatenate(
        [
            np.arange(least - lean, wide - least + lean + 1, step)[:, None] + np.rint(slant * rows).astype(np.int64)
            for slant in search.slants
            for lean in [int(abs(slant) * tall / 2)]
        ]
    )
    ways = thinnest_ways(ink, middles, reach)
    crossed = ink[np.arange(tall), ways].sum(axis=1)
    ways, crossed = ways[crossed <= _MOST_CROSSED * stroke], crossed[crossed <= _MOST_CROSSED * stroke]
    before = np.pad(np.cumsum(ink, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
    on_left, whole = before[np.arange(tall), ways], int(before[:, -1].sum())
    share, found = on_left.sum(axis=1) / whole, []
    for k in _pick_different(on_left, np.argsort(crossed, kind="stable"), max(search.other * whole, 3)):
        if not _LEAST_INK < share[k] < 1 - _LEAST_INK:
            continue
        side = np.arange(wide) < ways[k][:, None]
        halves = [_find_whole(ink & side), _find_whole(ink & ~side)]
        if min(half.box.width for half in halves) < least:
            continue
        first, second = (Part(half.box.moved(part.box.x, part.box.y), half.ink) for half in halves)
        found.append(Cut(first, second, float(crossed[k]) / stroke))
    return found


def _pick_different(on_left: NDArray[np.int32], order: NDArray[np.int64], other: float) -> list[int]:
    """Pick ways by their ink on the left in each row (ways, H), in an order, any two ``other`` pixels apart."""
    left, picked = on_left[order], []
    while order.size:
        picked.append(int(order[0]))
        far = np.abs(left - left[0]).sum(axis=1) >= other
        left, order = left[far], order[far]
    return picked


def _find_whole(ink: Mask) -> Part:
    """Find what is left without the shavings of a cut."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink.view(np.uint8), connectivity=8)
    if count > 2:
        areas = stats[:, cv2.CC_STAT_AREA]
        kept = areas >= 0.06 * areas[1:].max()
        kept[0] = False
        if not kept[1:].all():
            ink = np.asarray(kept[labels])
    box = Box(*cv2.boundingRect(ink.view(np.uint8)))
    return Part(box, ink[crop(box)])


def thinnest_ways(ink: Mask, middles: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """The columns in every row (ways, H) of the ways from top to bottom that cross the least ink.

    Args:
        ink: (H, W).
        middles: of each way (ways, H), the column in every row about which it goes.
        reach: how far to a side of that at most; each column aside from row to row has a price.

    Example:
        >>> ink = np.array([[1, 1, 0, 1], [1, 1, 0, 1], [1, 0, 1, 1]], dtype=bool)
        >>> thinnest_ways(ink, np.array([[2, 2, 2]]), 1).tolist()
        [[2, 2, 1]]
    """
    columns = middles.T[:, :, None] + np.arange(-reach, reach + 1)
    inside = (columns >= 0) & (columns < ink.shape[1])
    rows = np.arange(len(ink))[:, None, None]
    price = (ink[rows, np.clip(columns, 0, ink.shape[1] - 1)] & inside).astype(np.float64)
    steps = np.zeros(price.shape, dtype=np.int64)
    left, right = np.full((2, *price.shape[1:]), np.inf)
    total = price[0].copy()
    for row in range(1, len(ink)):
        aside = total + _ASIDE
        left[:, 1:], right[:, :-1] = aside[:, :-1], aside[:, 1:]
        straight = np.minimum(total, right)
        steps[row] = np.where(left <= straight, -1, right < total)
        total = np.minimum(left, straight) + price[row]
    found = np.zeros(middles.shape, dtype=np.int64)
    place, number = np.argmin(total, axis=1), np.arange(len(middles))
    for row in range(len(ink) - 1, -1, -1):
        found[:, row] = columns[row, number, place]
        place = place + steps[row, number, place]
    return np.clip(found, 0, ink.shape[1] - 1)
