"""Pieces of ink, and which of them are one symbol: dots and bars above each other, and strokes with a gap."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Box, Mask, Part, crop, joined_part
from steepest.formulas.image.ink import text_boxes

Values = NDArray[np.float64]
_STACKED = 0.5  # of the narrower part's width is shared by parts above each other
_ABOVE = 0.45  # of a capital's height may be between parts above each other
_HIGHEST = 1.5  # capitals: how high a symbol of several parts may be
_DOT = 0.4  # of a capital's height: how large a dot may be
_GAP = 0.12  # of a capital's height: how wide a gap in a stroke may be
_LEVEL_GAP = 0.09  # where neighbours might be as near
_BAR = 0.8  # capitals: how long a bar is that was broken
_AWAY = 0.7  # of a stroke's width: how far from its end the ink of one lies, and that of a stroke's side does not
_BESIDE = 0.025  # of a capital's height: parts nearer than that side by side are in each other's columns


def find_parts(ink: Mask) -> list[Part]:
    """The pieces of ink (H, W) that hang together, from left to right, without dirt and the page's rim.

    Example:
        >>> ink = np.zeros((60, 80), dtype=bool)
        >>> ink[20:40, 30:33] = ink[20:40, 50:53] = ink[5, 70] = True
        >>> [part.box for part in find_parts(ink)]
        [Box(x=30, y=20, width=3, height=20), Box(x=50, y=20, width=3, height=20)]
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    boxes = [Box(*(int(value) for value in row[:4])) for row in stats[1:]]
    found = []
    for k in text_boxes(boxes, (ink.shape[0], ink.shape[1])):
        box = boxes[k]
        found.append(Part(box, labels[box.y : box.bottom, box.x : box.right] == k + 1))
    return sorted(found, key=lambda part: part.box)


def capital_height(boxes: Sequence[Box]) -> float:
    """How high capitals are: as four of five boxes that are no mere marks are at most.

    Example:
        >>> capital_height([Box(0, 0, 20, 40), Box(30, 0, 20, 40), Box(60, 28, 4, 5)])
        40.0
    """
    heights = np.array([box.height for box in boxes], dtype=np.float64)
    return float(np.percentile(heights[heights >= 0.4 * heights.max()], 80))


def stroke_width(ink: Mask) -> float:
    """How thick the strokes of ink (H, W) are: four times the mean distance to where there is none.

    Of long strokes that is some 2 pixels more than their width.

    Example:
        >>> round(stroke_width(np.ones((4, 50), dtype=bool)), 1)
        5.7
    """
    framed = cv2.copyMakeBorder(ink.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, 3)
    return float(4 * depth.sum() / max(int(ink.sum()), 1))


def join_parts(parts: Sequence[Part], height: float) -> list[Part]:
    """The symbols of one line, from left to right, each of all its parts.

    Joined are parts above each other that share half a width (= i j, and strokes broken across), a dot with the stem
    below it, and parts in each other's columns over a small gap; then what is level with an end of a stroke that faces
    it over a small gap (- → ¬ +).

    Args:
        parts: of one line.
        height: a capital's.
    """
    bars = _grouped(
        parts, height, lambda a, b: _is_flat(a, b, height) and _is_flat(b, a, height) and is_continued(a, b, height)
    )
    found = _grouped(bars, height, lambda a, b: are_stacked(a.box, b.box, height) or are_near(a, b, height))
    dotted = _dot_stems(found, height)
    return _grouped(dotted, height, lambda a, b: is_continued(a, b, height))


def _dot_stems(parts: Sequence[Part], height: float) -> list[Part]:
    """Join every dot that is left with the stem that is nearest to a side of it."""
    groups = [[part] for part in parts]
    for k, dot in enumerate(parts):
        stems = [
            (max(dot.box.x, stem.box.x) - min(dot.box.right, stem.box.right), j)
            for j, stem in enumerate(parts)
            if j != k and groups[j] and dot.box.y < stem.box.y and is_dotted(dot.box, stem.box, height)
        ]
        if stems:
            groups[min(stems)[1]].append(dot)
            groups[k] = []
    return sorted((joined_part(group) for group in groups if group), key=lambda part: part.box)


def _grouped(parts: Sequence[Part], height: float, belong: Callable[[Part, Part], bool]) -> list[Part]:
    """Join all parts that belong together, be it by others; only neighbours are asked about."""
    groups = list(range(len(parts)))

    def root(k: int) -> int:
        while groups[k] != k:
            k = groups[k]
        return k

    order = sorted(range(len(parts)), key=lambda k: parts[k].box)
    for number, a in enumerate(order):
        for b in order[number + 1 :]:
            if parts[b].box.x > parts[a].box.right + 0.3 * height:
                break
            if root(a) != root(b) and belong(parts[a], parts[b]):
                groups[root(b)] = root(a)
    found: dict[int, list[Part]] = {}
    for k, part in enumerate(parts):
        found.setdefault(root(k), []).append(part)
    return sorted((joined_part(group) for group in found.values()), key=lambda part: part.box)


def are_near(a: Part, b: Part, height: float) -> bool:
    """Whether parts in each other's columns are as near as the sides of a gap in a stroke."""
    if min(a.box.right, b.box.right) - max(a.box.x, b.box.x) < -_BESIDE * height:
        return False
    whole = joined_part([a, b]).box
    facing = face(a, b, _GAP * height) if max(whole.width, whole.height) <= _HIGHEST * height else None
    return facing is not None and max(facing.ends) <= 2.5


def are_stacked(a: Box, b: Box, height: float) -> bool:
    """Whether two parts stand above each other, near enough for a symbol."""
    shared = min(a.right, b.right) - max(a.x, b.x)
    between = max(a.y, b.y) - min(a.bottom, b.bottom)
    whole = max(a.bottom, b.bottom) - min(a.y, b.y)
    return shared >= _STACKED * min(a.width, b.width) and between <= _ABOVE * height and whole <= _HIGHEST * height


def is_dotted(a: Box, b: Box, height: float) -> bool:
    """Whether one is a dot and the other a narrow stem a little below it, and not far to a side."""
    dot, stem = (a, b) if a.y < b.y else (b, a)
    if (
        max(dot.width, dot.height) > _DOT * height
        or stem.width > 0.6 * height
        or not 0.35 <= stem.height / height <= 0.9
    ):
        return False
    beside = max(dot.x, stem.x) - min(dot.right, stem.right)
    return -0.1 * height <= stem.y - dot.bottom <= 0.35 * height and beside <= 0.1 * height


def _is_flat(part: Part, other: Part, height: float) -> bool:
    stroke = min(stroke_width(part.ink), stroke_width(other.ink))
    return part.box.height <= max(1.7 * stroke, 0.22 * height)


def is_continued(a: Part, b: Part, height: float) -> bool:
    """Whether a level piece of a stroke goes on in another part, from end to end over a small gap."""
    flat = [_is_flat(a, b, height), _is_flat(b, a, height)]
    whole = joined_part([a, b]).box
    if not any(flat) or whole.width > (_BAR if all(flat) else _HIGHEST) * height:
        return False
    facing = face(a, b, (_GAP if all(flat) else _LEVEL_GAP) * height)
    if facing is None or facing.rise > 0.3:
        return False
    if all(flat):
        return True
    ends, away = facing.ends, facing.away[flat.index(False)]
    even = min(ends) >= 0.35 and max(ends) <= 1.3 and abs(ends[0] - ends[1]) <= 0.3
    return even and facing.aside <= 0.5 and away >= _AWAY


class Facing(NamedTuple):
    """Where two parts are nearest.

    Attributes:
        gap: how wide it is, in pixels.
        ends: how long what faces the other part is in each, in strokes' widths.
        rise: the sine of the angle between the gap's direction and the line.
        away: how far back from the gap the ink near it lies in each.
        aside: how far to a side of the gap's direction at most.
    """

    gap: float
    ends: tuple[float, float]
    rise: float
    away: tuple[float, float]
    aside: float


def face(a: Part, b: Part, room: float) -> Facing | None:
    """How two parts face each other over a gap; ``None`` if it is wider than ``room`` pixels."""
    if max(a.box.x, b.box.x) - min(a.box.right, b.box.right) > room:
        return None
    if max(a.box.y, b.box.y) - min(a.box.bottom, b.box.bottom) > room:
        return None
    both = joined_part([a, b]).box
    first, second = _on(a, both), _on(b, both)
    apart = cv2.distanceTransform((~first).astype(np.uint8), cv2.DIST_L2, 5)
    gap = float(apart[second].min())
    if gap > room:
        return None
    back = cv2.distanceTransform((~second).astype(np.uint8), cv2.DIST_L2, 5)
    stroke = min(stroke_width(a.ink), stroke_width(b.ink))
    ends = np.argwhere(first & (back <= gap + 1)), np.argwhere(second & (apart <= gap + 1))
    lengths = [(float(np.hypot(*np.ptp(end, axis=0))) + 1) / stroke for end in ends]
    middles = [end.mean(axis=0) for end in ends]
    across = middles[1] - middles[0]
    across /= max(float(np.hypot(*across)), 1e-9)
    back_a, aside_a = _behind(first, middles[0], -across, stroke)
    back_b, aside_b = _behind(second, middles[1], across, stroke)
    return Facing(gap, (lengths[0], lengths[1]), abs(float(across[0])), (back_a, back_b), max(aside_a, aside_b))


def _on(part: Part, whole: Box) -> Mask:
    ink = np.zeros((whole.height, whole.width), dtype=bool)
    ink[crop(part.box.moved(-whole.x, -whole.y))] = part.ink
    return ink


def _behind(ink: Mask, end: Values, direction: Values, stroke: float) -> tuple[float, float]:
    """Say how far the ink within two strokes' widths of an end lies in a direction, and to a side of it."""
    points = np.argwhere(ink) - end
    close = points[np.hypot(*points.T) <= 2 * stroke]
    if not len(close):  # of a long end the middle may lie far from it
        return 0.0, 0.0
    near = close.mean(axis=0) / stroke
    return float(near @ direction), abs(float(near[0] * direction[1] - near[1] * direction[0]))
