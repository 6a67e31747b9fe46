"""Lines of writing: which of the boxes on a page stand in one, from the top down."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Box

Values = NDArray[np.float64]
_STEEPEST = 7.0  # degrees that lines may have
_TRUSTED = 1.5  # degrees by which one may differ from the page
_STRIPE = 3.0  # mean widths
_SHRUNK = 2 / 3  # of its height is left of a box that is higher than the mean


class Line(NamedTuple):
    """A line of writing: the row of its symbols' middle at the first column, its slope, and its boxes by number."""

    row: float
    slope: float
    members: list[int]

    def at(self, x: float) -> float:
        """The row of its middle in a column."""
        return self.row + self.slope * x


def typical_size(boxes: Sequence[Box]) -> tuple[float, float]:
    """The mean width and height of the boxes, without marks that are small beside the others (dots, commas).

    Example:
        >>> typical_size([Box(0, 0, 20, 30), Box(30, 0, 20, 34), Box(60, 28, 4, 5)])
        (20.0, 32.0)
    """
    sides = np.array([max(box.width, box.height) for box in boxes], dtype=np.float64)
    large = np.array([box[2:] for box in boxes], dtype=np.float64)[sides >= 0.5 * np.percentile(sides, 80)]
    heights = large[:, 1]
    return float(large[:, 0].mean()), float(heights[heights >= 0.5 * np.percentile(heights, 80)].mean())


def find_slope(boxes: Sequence[Box], height: float) -> float:
    """The slope that lines on the page have in common: at which boxes' middles fall into the fewest rows.

    Args:
        height: what boxes' heights are on average.
    """
    x, y = np.array([box.middle for box in boxes]).T
    weight = np.array([min(box.height / height, 1.0) for box in boxes])
    best, slope = -1.0, 0.0
    for degrees in np.arange(-_STEEPEST, _STEEPEST + 0.1, 0.2):
        tried = math.tan(math.radians(degrees))
        rows = (y - tried * x) * 8 / height
        counts = np.bincount(np.rint(rows - rows.min()).astype(np.int64) + 8, weights=weight)
        smooth = np.convolve(counts, np.hanning(7), mode="same")
        sharp = float(np.square(smooth).sum()) * (1 - 0.005 * abs(degrees))
        if sharp > best:
            best, slope = sharp, tried
    return slope


def find_lines(boxes: Sequence[Box]) -> list[Line]:
    """Lines from the top down; every box is in one.

    Boxes that are higher than the mean lose a third of their height; stripes 3 mean widths wide, along the page's
    slope, have each a histogram of the rows that boxes cover, whose peaks are pieces of lines; pieces are joined from
    stripe to stripe, and straight lines through them take the boxes whose middles are nearest. Lines closer than 2/3
    of the mean height are one.

    Args:
        boxes: of symbols or parts of them.

    Source: Ampelakiotis, Perikos, Hatzilygeroudis, Tsihrintzis, Electronics 10 (2021), 2761.

    Example:
        >>> boxes = [Box(x, y + x // 20, 20, 30) for y in (0, 40) for x in range(0, 200, 30)]
        >>> [line.members for line in find_lines(boxes)]
        [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12, 13]]
    """
    if not boxes:
        return []
    width, height = typical_size(boxes)
    large = [k for k, box in enumerate(boxes) if box.height >= 0.4 * height] or list(range(len(boxes)))
    slope = find_slope([boxes[k] for k in large], height)
    x, y = np.array([box.middle for box in boxes]).T
    groups = _join_pieces(_find_pieces(boxes, large, slope, width, height), x, y, slope, height)
    lines = [_fitted(group, x, y, slope, height) for group in groups]
    for _ in range(4):
        lines = _merge(lines, x, y, slope, height)
        taken = _find_nearest(lines, x[large], y[large])
        kept = [[k for k, line in zip(large, taken, strict=True) if line == n] for n in range(len(lines))]
        lines = [_fitted(members, x, y, slope, height) for members in kept if members]
    lines = _merge(lines, x, y, slope, height)
    middle = float(np.mean(x))
    lines.sort(key=lambda line: line.at(middle))
    owner = _find_nearest(lines, x, y)
    return [line._replace(members=[k for k in range(len(boxes)) if owner[k] == n]) for n, line in enumerate(lines)]


def _find_pieces(
    boxes: Sequence[Box], large: Sequence[int], slope: float, width: float, height: float
) -> list[list[list[int]]]:
    """Per stripe, the pieces of lines in it, as numbers of boxes."""
    stripes: dict[int, list[int]] = {}
    for k in large:
        stripes.setdefault(int(boxes[k].middle[0] // (_STRIPE * width)), []).append(k)
    found = []
    for stripe in sorted(stripes):
        members = stripes[stripe]
        middles = np.array([boxes[k].middle[1] - slope * boxes[k].middle[0] for k in members])
        halves = np.array([min(boxes[k].height, height) * _SHRUNK / 2 for k in members])
        top = float((middles - halves).min())
        rows = np.arange(int(np.ptp(middles) + 2 * halves.max()) + 3)
        covered = (abs(rows[:, None] + top - middles) <= halves * 0.75).sum(axis=1)
        edges = np.flatnonzero(np.diff(np.pad(covered > 0, 1).astype(np.int8)))
        runs = [(a + top, b + top) for a, b in edges.reshape(-1, 2)]
        pieces = [[k for k, m in zip(members, middles, strict=True) if a <= m <= b] for a, b in runs]
        found.append([piece for piece in pieces if piece])
    return found


def _join_pieces(stripes: list[list[list[int]]], x: Values, y: Values, slope: float, height: float) -> list[list[int]]:
    """Follow pieces from stripe to stripe: each goes to the line whose last boxes are nearest in height."""
    groups: list[list[int]] = []
    for pieces in stripes:
        joined = list(groups)
        for piece in pieces:
            row = float(np.mean(y[piece] - slope * x[piece]))
            ends = [abs(float(np.median((y - slope * x)[group[-5:]])) - row) for group in joined]
            if ends and min(ends) < 0.5 * height:
                joined[int(np.argmin(ends))].extend(piece)
            else:
                groups.append(list(piece))
    return groups


def _fitted(members: list[int], x: Values, y: Values, slope: float, height: float) -> Line:
    """Fit a straight line through middles, robustly; few boxes leave it the page's slope."""
    here, rows = x[members], y[members] - slope * x[members]
    middle, extra = float(here.mean()), 0.0
    level = float(np.median(rows))
    for _ in range(5):
        off = rows - level - extra * (here - middle)
        weight = 1 / np.maximum(abs(off), 0.05 * height)
        prior = (2 * height / math.tan(math.radians(_TRUSTED / 2))) ** 2 * float(weight.mean()) / 8
        level = float(np.sum(weight * (rows - extra * (here - middle))) / weight.sum())
        extra = float(
            np.sum(weight * (here - middle) * (rows - level)) / (np.sum(weight * (here - middle) ** 2) + prior)
        )
    limit = math.tan(math.radians(_TRUSTED))
    extra = float(np.clip(extra, -limit, limit))
    return Line(level - extra * middle, slope + extra, members)


def _merge(lines: list[Line], x: Values, y: Values, slope: float, height: float) -> list[Line]:
    """Make one line of any two that are closer than 2/3 of the mean height where they are."""
    lines = list(lines)
    while len(lines) > 1:
        pairs = [(_find_distance(a, b, x), i, j) for i, a in enumerate(lines) for j, b in enumerate(lines) if i < j]
        nearest, i, j = min(pairs)
        if nearest > _SHRUNK * height:
            break
        both = lines[i].members + lines[j].members
        lines = [line for k, line in enumerate(lines) if k not in (i, j)] + [_fitted(both, x, y, slope, height)]
    return lines


def _find_distance(a: Line, b: Line, x: Values) -> float:
    """Find how far two lines are apart, on average over the columns of the shorter."""
    short = min((a, b), key=lambda line: len(line.members))
    return float(np.mean([abs(a.at(c) - b.at(c)) for c in x[short.members]]))


def _find_nearest(lines: Sequence[Line], x: Values, y: Values) -> NDArray[np.int64]:
    """Find the number of the line nearest to each point."""
    rows = np.array([line.row for line in lines])[:, None] + np.array([line.slope for line in lines])[:, None] * x
    return np.asarray(np.argmin(abs(rows - y), axis=0), dtype=np.int64)


def reading_order(boxes: Sequence[Box]) -> list[int]:
    """The numbers of one line's boxes from left to right.

    Example:
        >>> reading_order([Box(40, 0, 9, 9), Box(0, 5, 9, 9), Box(20, 2, 9, 9)])
        [1, 2, 0]
    """
    return sorted(range(len(boxes)), key=lambda k: (boxes[k].middle[0], boxes[k].y))
