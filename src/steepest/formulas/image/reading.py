"""From the picture of a page to the symbols of its lines."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Box, Grey, Mask, Part, crop
from steepest.formulas.image.debug import Pictures
from steepest.formulas.image.ink import binarize, find_text_area
from steepest.formulas.image.lines import find_lines, reading_order
from steepest.formulas.image.marks import place_marks
from steepest.formulas.image.paper import find_paper, to_grey
from steepest.formulas.image.parts import capital_height, find_parts, join_parts
from steepest.formulas.image.symbols import Symbol, cut_symbol
from steepest.formulas.image.touching import split_parts

LARGEST = 2600  # pixels of the longer side; larger pictures are read at this size


class Page(NamedTuple):
    """What is on a page: its lines from the top down, each with its symbols from left to right."""

    lines: list[list[Symbol]]


def segment_by_shape(parts: Sequence[Part], height: float) -> list[Part]:
    """The symbols of one line, from left to right: parts joined, and cut, by what lies how.

    Args:
        height: a capital's.
    """
    return split_parts(join_parts(parts, height), height)


def read_page(
    image: NDArray[np.uint8],
    debug: Path | str | None = None,
    segment: Callable[[Sequence[Part], float], list[Part]] = segment_by_shape,
) -> Page:
    """Find the symbols of a page, in reading order.

    Args:
        image: (H, W), (H, W, 3) or (H, W, 4).
        debug: a folder that gets a picture of every step.
        segment: makes the symbols of a line's parts; the height is a capital's.

    Raises:
        ValueError: ``image`` is none of these.
    """
    pictures = Pictures(debug)
    grey, ink, scale = find_ink(image, pictures)
    area = find_text_area(ink)
    pictures.save("text-area", grey, [area])
    parts = [Part(part.box.moved(area.x, area.y), part.ink) for part in find_parts(ink[crop(area)])]
    pictures.save("parts", grey, [part.box for part in parts])
    if not parts:
        return Page([])
    height = capital_height([part.box for part in parts])
    lines = place_marks(parts, find_lines([part.box for part in parts]), height)
    pictures.save("lines", grey, [part.box for part in parts], lines)
    whole = [segment([parts[k] for k in line.members], height) for line in lines]
    pictures.save("symbols", grey, [part.box for line in whole for part in line])
    return Page([measure_line(line, height, scale) for line in whole if line])


def find_ink(image: NDArray[np.uint8], pictures: Pictures) -> tuple[Grey, Mask, float]:
    """A picture in grey at the size in which it is read, its ink, and the pixels there of one in the picture.

    Raises:
        ValueError: the image is not (H, W), (H, W, 3) or (H, W, 4).
    """
    grey = to_grey(image)
    scale = page_scale(grey.shape)
    if scale < 1:
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    pictures.save("grey", grey)
    paper = find_paper(grey)
    pictures.save("paper", np.where(paper, grey, np.uint8(0)))
    ink = binarize(grey, paper)
    pictures.save("ink", ~ink)
    return grey, ink, scale


def page_scale(shape: Sequence[int]) -> float:
    """Pixels in which a page is read of each pixel of its picture (H, W, ...).

    Example:
        >>> page_scale((600, 800)), page_scale((2600, 5200, 3))
        (1.0, 0.5)
    """
    return min(LARGEST / max(shape[:2]), 1.0)


def measure_line(parts: Sequence[Part], height: float, scale: float = 1.0) -> list[Symbol]:
    """The symbols of a line from left to right.

    Args:
        parts: a symbol's ink each.
        height: a capital's.
        scale: pixels here of a pixel in the picture.
    """
    ordered = [parts[k] for k in reading_order([part.box for part in parts])]
    base = find_baseline([part.box for part in ordered], height)
    found = []
    for part in ordered:
        box = part.box
        rise = (base[0] + base[1] * box.middle[0] - box.bottom) / height
        x, y, width, tall = (round(value / scale) for value in box)
        found.append(Symbol(Box(x, y, max(width, 1), max(tall, 1)), cut_symbol(part.ink), box.height / height, rise))
    return found


def find_baseline(boxes: Sequence[Box], height: float) -> tuple[float, float]:
    """A line's baseline as (row at the first column, slope): where most symbols that are no marks end.

    Args:
        height: a capital's.
    """
    line = find_lines(boxes)[0]
    full = [box for box in boxes if box.height >= 0.5 * height] or list(boxes)
    drops = [box.bottom - line.slope * box.middle[0] for box in full]
    return float(np.median(drops)), line.slope
