"""Where something stands on a page, and the ink of it."""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class Box(NamedTuple):
    """A rectangle of pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column after it."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.y + self.height

    @property
    def middle(self) -> tuple[float, float]:
        """x and y of its centre."""
        return self.x + self.width / 2, self.y + self.height / 2

    def moved(self, x: int, y: int) -> "Box":
        """The same rectangle elsewhere."""
        return Box(self.x + x, self.y + y, self.width, self.height)


class Part(NamedTuple):
    """Ink that belongs together: its box, and which pixels (height, width) of the box it covers."""

    box: Box
    ink: Mask


def box_of(ink: Mask) -> Box:
    """The smallest box around the ink (H, W); the whole of an empty picture.

    Example:
        >>> ink = np.zeros((5, 9), dtype=bool)
        >>> ink[1:3, 4:8] = True
        >>> box_of(ink)
        Box(x=4, y=1, width=4, height=2)
    """
    found = cv2.boundingRect(np.ascontiguousarray(ink, dtype=bool).view(np.uint8))
    return Box(*found) if found[2] else Box(0, 0, ink.shape[1], ink.shape[0])


def joined_box(boxes: Iterable[Box]) -> Box:
    """The smallest box around boxes.

    Example:
        >>> joined_box([Box(0, 0, 2, 2), Box(5, 1, 1, 4)])
        Box(x=0, y=0, width=6, height=5)
    """
    every = list(boxes)
    x, y = min(b.x for b in every), min(b.y for b in every)
    return Box(x, y, max(b.right for b in every) - x, max(b.bottom for b in every) - y)


def joined_part(parts: Iterable[Part]) -> Part:
    """The ink of several parts as one."""
    every = list(parts)
    box = joined_box(part.box for part in every)
    ink = np.zeros((box.height, box.width), dtype=bool)
    for part in every:
        ink[crop(part.box.moved(-box.x, -box.y))] |= part.ink
    return Part(box, ink)


def crop(box: Box) -> tuple[slice, slice]:
    """The box as rows and columns of an array.

    Example:
        >>> np.arange(6).reshape(2, 3)[crop(Box(1, 0, 2, 1))].tolist()
        [[1, 2]]
    """
    return slice(box.y, box.bottom), slice(box.x, box.right)


def overlap(a: Box, b: Box) -> float:
    """The area of what two boxes share over that of what they cover together.

    Example:
        >>> overlap(Box(0, 0, 2, 2), Box(1, 0, 2, 2))
        0.3333333333333333
    """
    width, height = min(a.right, b.right) - max(a.x, b.x), min(a.bottom, b.bottom) - max(a.y, b.y)
    shared = max(width, 0) * max(height, 0)
    return shared / (a.width * a.height + b.width * b.height - shared)
