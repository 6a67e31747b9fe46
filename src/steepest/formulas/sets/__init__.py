"""Sets of handwritten symbols: read, written, joined, parted."""

from steepest._errors import check_extra

check_extra("formulas", "cv2", "numpy", "PIL")

from steepest.formulas.sets.reading import read_set  # noqa: E402
from steepest.formulas.sets.symbol_set import NOTHING, SymbolSet  # noqa: E402

__all__ = ["NOTHING", "SymbolSet", "read_set"]
