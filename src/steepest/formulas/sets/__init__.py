"""Sets of handwritten symbols: read, written, joined, parted."""

from steepest._errors import check_extra

check_extra("formulas", "cv2", "numpy", "PIL")

from steepest.formulas.sets.copies import folds, group_copies, hold_out_symbols  # noqa: E402
from steepest.formulas.sets.reading import read_set, write_set  # noqa: E402
from steepest.formulas.sets.strokes import draw_strokes, stroke_bitmap, write_strokes  # noqa: E402
from steepest.formulas.sets.symbol_set import NOTHING, SymbolSet, no_symbols  # noqa: E402

__all__ = [
    "NOTHING",
    "SymbolSet",
    "draw_strokes",
    "folds",
    "group_copies",
    "hold_out_symbols",
    "no_symbols",
    "read_set",
    "stroke_bitmap",
    "write_set",
    "write_strokes",
]
