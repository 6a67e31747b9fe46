"""A design as some hand writes it, once: strokes that are moved, bent, slanted, hooked, joined or broken."""

import math

import numpy as np

from steepest.formulas.sets.made.curves import Points, draw_curve, extent_of, lengths_along
from steepest.formulas.sets.made.designs import Design, Stroke


def write_design(design: Design, rng: np.random.Generator) -> list[Points]:
    """Curves (m, 2) of the pen, in heights of a capital, as one hand wrote them.

    Example:
        >>> from steepest.formulas.sets.made import read_designs
        >>> strokes = write_design(read_designs()["+"][0], np.random.default_rng(0))
        >>> [stroke.shape[1] for stroke in strokes]
        [2, 2]
    """
    care = rng.uniform(0.4, 1.4)  # less is more careful
    chosen = [stroke for stroke in design.strokes if not stroke.optional or rng.random() < 0.5]
    _, side = extent_of([stroke.points for stroke in chosen])
    strokes = [_write_stroke(stroke, side, care, rng) for stroke in chosen]
    if len(strokes) > 1 and rng.random() < 0.1:
        strokes = _stay_on_paper(strokes, side, rng)
    if rng.random() < 0.08:
        strokes = _break(strokes, side, rng)
    return _bend(_tilt(strokes, care, rng), care, rng)


def _write_stroke(stroke: Stroke, side: float, care: float, rng: np.random.Generator) -> Points:
    """Move the points of a stroke, each and together, round some corners, and draw its curve with other ends."""
    points = stroke.points + rng.normal(scale=0.028 * care * side, size=stroke.points.shape)
    middle = points.mean(axis=0)
    turn, grow = rng.normal(scale=0.06 * care), math.exp(rng.normal(scale=0.06 * care))
    matrix = grow * np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    points = (points - middle) @ matrix + middle + rng.normal(scale=0.025 * care * side, size=2)
    corners = stroke.corners & (rng.random(len(points)) > 0.15)
    curve = draw_curve(points, corners)
    return _end(_end(curve, side, rng)[::-1], side, rng)[::-1]


def _end(curve: Points, side: float, rng: np.random.Generator) -> Points:
    """Make a curve longer or shorter at its end, or let it end in a small hook."""
    kind = rng.random()
    if kind > 0.45:
        return curve
    along = lengths_along(curve)
    if along[-1] < 0.15 * side:
        return curve
    before = curve[np.searchsorted(along, 0.9 * along[-1]) - 1]
    ahead = (curve[-1] - before) / max(math.hypot(*(curve[-1] - before)), 1e-9)
    if kind < 0.2:
        return np.concatenate([curve, curve[-1:] + ahead * side * rng.uniform(0.02, 0.12)])
    if kind < 0.35:
        return curve[: max(int(np.searchsorted(along, along[-1] - side * rng.uniform(0.02, 0.1))), 2)]
    turn = rng.choice([-1, 1]) * rng.uniform(1.0, 2.7)
    aside = ahead @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return np.concatenate([curve, curve[-1:] + aside * side * rng.uniform(0.03, 0.1)])


def _stay_on_paper(strokes: list[Points], side: float, rng: np.random.Generator) -> list[Points]:
    """Join a stroke with the next where that is near, as a pen does that is not lifted."""
    k = int(rng.integers(len(strokes) - 1))
    if math.dist(strokes[k][-1], strokes[k + 1][0]) > 0.7 * side:
        return strokes
    return [*strokes[:k], np.concatenate([strokes[k], strokes[k + 1]]), *strokes[k + 2 :]]


def _break(strokes: list[Points], side: float, rng: np.random.Generator) -> list[Points]:
    """Take a short piece out of a stroke."""
    k = int(rng.integers(len(strokes)))
    along = lengths_along(strokes[k])
    start = rng.uniform(0.1, 0.9) * along[-1]
    stop = start + side * rng.uniform(0.04, 0.14)
    parts = [strokes[k][along < start], strokes[k][along > stop]]
    return [*strokes[:k], *(part for part in parts if len(part) > 1), *strokes[k + 1 :]] or strokes


def _tilt(strokes: list[Points], care: float, rng: np.random.Generator) -> list[Points]:
    """Slant, turn and stretch strokes together."""
    middle, _ = extent_of(strokes)
    turn, slant = rng.normal(scale=0.12 * care), rng.normal(0.06, 0.17)
    wide = math.exp(rng.normal(0.04, 0.2))
    matrix = np.array([[wide, 0.0], [-slant, 1.0]])
    matrix = matrix @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return [(stroke - middle) @ matrix for stroke in strokes]


def _bend(strokes: list[Points], care: float, rng: np.random.Generator) -> list[Points]:
    """Move the points of strokes by a smooth field: three waves in each direction, about as long as the symbol."""
    _, side = extent_of(strokes)
    ways = rng.normal(scale=2.6 / side, size=(2, 3, 2))
    phases, sizes = rng.uniform(0, 2 * math.pi, size=(2, 3)), rng.normal(scale=0.025 * care * side, size=(2, 3))
    moved = []
    for stroke in strokes:
        waves = np.sin(np.einsum("akc,mc->mak", ways, stroke) + phases) * sizes
        moved.append(stroke + waves.sum(axis=2))
    return moved
