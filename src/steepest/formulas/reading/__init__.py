"""From the picture of a page to the formulas on it, with a recogniser of symbols, and again after corrections."""

from steepest._errors import check_extra

check_extra("formulas", "cv2", "lark", "numpy", "PIL")

from steepest.formulas.image.fragments import as_on_pages, make_fragments  # noqa: E402
from steepest.formulas.reading.boxes import read_boxes  # noqa: E402
from steepest.formulas.reading.reading import read_formulas, read_symbols  # noqa: E402
from steepest.formulas.reading.recognizer import Recognizer  # noqa: E402
from steepest.formulas.reading.results import Formulas, ReadLine, ReadSymbol, read_json  # noqa: E402

__all__ = [
    "Formulas",
    "ReadLine",
    "ReadSymbol",
    "Recognizer",
    "as_on_pages",
    "make_fragments",
    "read_boxes",
    "read_formulas",
    "read_json",
    "read_symbols",
]
