"""Formulas of first-order logic: what is well formed, text to trees and back, and what a picture most probably says."""

from steepest._errors import check_extra

check_extra("formulas", "lark", "numpy")

from steepest.formulas.logic.drawing import draw_tree  # noqa: E402
from steepest.formulas.logic.labels import LABELS  # noqa: E402
from steepest.formulas.logic.parsing import parse  # noqa: E402
from steepest.formulas.logic.reading import Choice, Reading, most_probable  # noqa: E402
from steepest.formulas.logic.syntax import (  # noqa: E402
    And,
    Comparison,
    Equality,
    Exists,
    ForAll,
    Formula,
    Function,
    Iff,
    Implies,
    Not,
    Or,
    Predicate,
    Term,
    Variable,
    free_variables,
)
from steepest.formulas.logic.writing import FORMATS, write  # noqa: E402

__all__ = [
    "FORMATS",
    "LABELS",
    "And",
    "Choice",
    "Comparison",
    "Equality",
    "Exists",
    "ForAll",
    "Formula",
    "Function",
    "Iff",
    "Implies",
    "Not",
    "Or",
    "Predicate",
    "Reading",
    "Term",
    "Variable",
    "draw_tree",
    "free_variables",
    "most_probable",
    "parse",
    "write",
]
