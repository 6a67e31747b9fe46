"""Trees as lines of text."""

from steepest.formulas.logic.languages import UNICODE
from steepest.formulas.logic.syntax import (
    Comparison,
    Equality,
    Exists,
    ForAll,
    Function,
    Node,
    Predicate,
    Variable,
    children,
)


def draw_tree(node: Node) -> str:
    """A tree, what a node is made of below it.

    Example:
        >>> from steepest.formulas.logic import parse
        >>> print(draw_tree(parse("∀x(P(x,f(a))∨Q)")))
        ∀x
        └─ ∨
           ├─ P
           │  ├─ x
           │  └─ f
           │     └─ a
           └─ Q
    """
    lines = []
    left = [(node, "", "")]
    while left:
        here, first, others = left.pop()
        lines.append(first + _label(here))
        below = children(here)[isinstance(here, ForAll | Exists) :]  # its variable stands beside the quantifier
        rows = [(child, others + "├─ ", others + "│  ") for child in below[:-1]]
        rows += [(child, others + "└─ ", others + "   ") for child in below[-1:]]
        left += reversed(rows)
    return "\n".join(lines)


def _label(node: Node) -> str:
    """Name what a node adds to those below it."""
    match node:
        case Variable() | Function() | Predicate():
            return node.name
        case Equality():
            return "="
        case Comparison():
            return node.relation
        case ForAll() | Exists():
            return UNICODE.signs[type(node)] + node.variable.name
        case _:
            return UNICODE.signs[type(node)]
