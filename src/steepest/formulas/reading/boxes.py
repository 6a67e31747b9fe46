"""Formulas from a picture and boxes that a user has set right: split, merged, moved."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Box, Mask, Part, box_of, crop
from steepest.formulas.image.debug import Pictures
from steepest.formulas.image.parts import capital_height
from steepest.formulas.image.reading import find_ink, measure_line
from steepest.formulas.reading.reading import read_symbols, weigh
from steepest.formulas.reading.recognizer import Recognizer
from steepest.formulas.reading.results import Formulas


def read_boxes(
    image: NDArray[np.uint8],
    lines: Sequence[Sequence[Box]],
    recognizer: Recognizer,
    *,
    grammar: bool = True,
    words: bool = False,
) -> Formulas:
    """Read a page whose symbols are known to be in boxes: each box is one symbol, and shrinks to its ink.

    Ink in several boxes belongs to the one that has most of what it hangs together with.

    Args:
        image: as in :func:`read_formulas`.
        lines: boxes in the picture's pixels, line by line from the top down.
        grammar, words: as in :func:`read_formulas`.

    Raises:
        ValueError: a box holds no ink.
    """
    _, ink, scale = find_ink(image, Pictures(None))
    every = [_scaled(box, scale, ink.shape) for line in lines for box in line]
    parts = iter(_share_out(ink, every, [box for line in lines for box in line]))
    found = [[next(parts) for _ in line] for line in lines if line]
    if not found:
        return Formulas(())
    height = capital_height([part.box for line in found for part in line])
    symbols = [measure_line(line, height, scale) for line in found]
    return read_symbols(weigh(symbols, recognizer), grammar=grammar, words=words)


def _scaled(box: Box, scale: float, shape: tuple[int, ...]) -> Box:
    """Return a box at another scale, inside the page."""
    x, y = (min(max(round(scale * value), 0), side - 1) for value, side in ((box.x, shape[1]), (box.y, shape[0])))
    right, bottom = min(round(scale * box.right), shape[1]), min(round(scale * box.bottom), shape[0])
    return Box(x, y, max(right - x, 1), max(bottom - y, 1))


def _share_out(ink: Mask, boxes: Sequence[Box], given: Sequence[Box]) -> list[Part]:
    """Give each box its ink."""
    count, pieces = cv2.connectedComponents(ink.astype(np.uint8), connectivity=8)
    owner, most = np.full(ink.shape, -1, dtype=np.int64), np.zeros(ink.shape, dtype=np.int64)
    for number, box in enumerate(boxes):
        inside = pieces[crop(box)]
        held = np.bincount(inside.ravel(), minlength=count)[inside]
        mine = ink[crop(box)] & (held > most[crop(box)])
        owner[crop(box)][mine] = number
        most[crop(box)][mine] = held[mine]
    found = []
    for number, (box, asked) in enumerate(zip(boxes, given, strict=True)):
        own = owner[crop(box)] == number
        if not own.any():
            raise ValueError(f"lines must hold boxes with ink of their own, got {tuple(asked)} without")
        tight = box_of(own)
        found.append(Part(tight.moved(box.x, box.y), own[crop(tight)]))
    return found
