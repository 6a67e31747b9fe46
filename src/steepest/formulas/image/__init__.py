"""From the picture of a page of handwriting to its symbols, one function a step; and pages that are made."""

import os

from steepest._errors import check_extra

check_extra("formulas", "cv2", "numpy", "PIL")

_PATH = os.environ.get("LD_LIBRARY_PATH")
import cv2  # noqa: E402, F401

# OpenCV puts its own folder there, and the current one, for every program that this one starts.
os.environ.pop("LD_LIBRARY_PATH", None) if _PATH is None else os.environ.update(LD_LIBRARY_PATH=_PATH)

from steepest.formulas.image.boxes import Box, Part  # noqa: E402
from steepest.formulas.image.ink import binarize, find_text_area  # noqa: E402
from steepest.formulas.image.lines import Line, find_lines, reading_order  # noqa: E402
from steepest.formulas.image.making import Made, Placed, make_page  # noqa: E402
from steepest.formulas.image.opening import open_image  # noqa: E402
from steepest.formulas.image.paper import find_paper, to_grey  # noqa: E402
from steepest.formulas.image.parts import find_parts, join_parts  # noqa: E402
from steepest.formulas.image.reading import Page, read_page  # noqa: E402
from steepest.formulas.image.symbols import Symbol, cut_symbol  # noqa: E402
from steepest.formulas.image.touching import split_parts  # noqa: E402

__all__ = [
    "Box",
    "Line",
    "Made",
    "Page",
    "Part",
    "Placed",
    "Symbol",
    "binarize",
    "cut_symbol",
    "find_lines",
    "find_paper",
    "find_parts",
    "find_text_area",
    "join_parts",
    "make_page",
    "open_image",
    "read_page",
    "reading_order",
    "split_parts",
    "to_grey",
]
