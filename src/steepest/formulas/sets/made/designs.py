"""The symbols that we designed: strokes through points, several ways of writing each class."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Stroke(NamedTuple):
    """A stroke: points (n, 2) as x and y, y downwards, which of them are corners, and whether it may be left out."""

    points: NDArray[np.float64]
    corners: NDArray[np.bool_]
    optional: bool


class Design(NamedTuple):
    """A way of writing a class: strokes in heights of a capital, and how often it is taken beside the others."""

    label: str
    weight: float
    strokes: tuple[Stroke, ...]


@cache
def read_designs() -> dict[str, tuple[Design, ...]]:
    """Read the designs of each class from the file ``designs.txt`` of this folder.

    Example:
        >>> designs = read_designs()
        >>> len(designs), designs["L"][0].strokes[0].points.tolist()
        (67, [[0.05, 0.0], [0.05, 0.98], [0.65, 0.97]])
    """
    text = files(__package__).joinpath("designs.txt").read_text(encoding="utf-8")
    found: dict[str, tuple[Design, ...]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            design = read_design(line)
            found[design.label] = (*found.get(design.label, ()), design)
    return found


def read_design(line: str) -> Design:
    """Read a line such as ``7 1 0.5 0,5 60,2! 20,100 | ?15,52 62,48``: label, height of the grid, weight, strokes.

    Raises:
        ValueError: the line is none.

    Example:
        >>> seven = read_design("7 1 0.5 0,5 60,2! 20,100 | ?15,52 62,48")
        >>> seven.label, seven.weight, [stroke.optional for stroke in seven.strokes]
        ('7', 0.5, [False, True])
    """
    try:
        label, size, weight, strokes = line.split(maxsplit=3)
        read = tuple(_read_stroke(stroke.split(), float(size) / 100) for stroke in strokes.split("|"))
        return Design(label, float(weight), read)
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"line must be a label, a height, a weight and strokes as `0,5 60,2! 20,100 | ?15,52 62,48`, got {line!r}"
        ) from error


def _read_stroke(points: list[str], scale: float) -> Stroke:
    """Read the points of a stroke, two or more."""
    optional = points[0].startswith("?")
    numbers = np.array([[float(x) for x in point.strip("?!").split(",")] for point in points])
    if numbers.shape[1:] != (2,) or len(numbers) < 2:
        raise ValueError
    return Stroke(numbers * scale, np.array([point.endswith("!") for point in points]), optional)
