"""Symbols that the package may ship: written by hands at random from designs of our own, and bent print."""

from steepest._errors import check_extra

check_extra("formulas", "cv2", "numpy", "PIL")

from steepest.formulas.sets.made.designs import Design, Stroke, read_designs  # noqa: E402
from steepest.formulas.sets.made.fonts import find_fonts  # noqa: E402
from steepest.formulas.sets.made.symbols import make_symbols  # noqa: E402

__all__ = ["Design", "Stroke", "find_fonts", "make_symbols", "read_designs"]
