"""Smooth curves through points."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
STEPS = 10  # points of a curve for each of its control points
_T = np.arange(1, STEPS + 1) / STEPS
_BASIS = np.stack([-_T + 2 * _T**2 - _T**3, 2 - 5 * _T**2 + 3 * _T**3, _T + 4 * _T**2 - 3 * _T**3, _T**3 - _T**2]) / 2


def draw_curve(points: Points, corners: NDArray[np.bool_]) -> Points:
    """A curve (m, 2) through the points (n, 2): smooth, but for the corners, where it may turn at once.

    Source: Catmull, Rom, "A class of local interpolating splines" (1974).

    Example:
        >>> curve = draw_curve(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]), np.zeros(3, dtype=bool))
        >>> curve.shape, curve[10].tolist(), bool(curve[:, 1].argmax() == 10)
        ((21, 2), [1.0, 1.0], True)
    """
    ends = [0, *(np.flatnonzero(corners[1:-1]) + 1).tolist(), len(points) - 1]
    parts = [points[:1]]
    for first, last in pairwise(ends):
        part = points[first : last + 1]
        near = np.concatenate([2 * part[:1] - part[1:2], part, 2 * part[-1:] - part[-2:-1]])
        four = np.stack([near[:-3], near[1:-2], near[2:-1], near[3:]], axis=1)
        parts.append(np.einsum("kt,nkc->ntc", _BASIS, four).reshape(-1, 2))
    return np.concatenate(parts)


def lengths_along(curve: Points) -> NDArray[np.float64]:
    """How far along a curve (m, 2) each of its points is, from 0.

    Example:
        >>> lengths_along(np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])).tolist()
        [0.0, 5.0, 6.0]
    """
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])


def extent_of(strokes: list[Points]) -> tuple[Points, float]:
    """The middle of the box around strokes, and the box's longer side.

    Example:
        >>> middle, side = extent_of([np.array([[0.0, 0.0], [2.0, 1.0]])])
        >>> middle.tolist(), side
        ([1.0, 0.5], 2.0)
    """
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    return (low + high) / 2, max(float((high - low).max()), 1e-6)
