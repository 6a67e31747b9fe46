"""Trees to text: for readers, for LaTeX, and for provers."""

import re
from collections.abc import Iterator

from steepest.formulas.logic.languages import ASCII, LATEX, UNICODE, Language
from steepest.formulas.logic.provers import Prover9, Tptp
from steepest.formulas.logic.syntax import Formula, Function, Node, Variable, children, is_variable, leaves

FORMATS = ("unicode", "latex", "tptp", "prover9", "ascii")
_READABLE = {"unicode": UNICODE, "latex": LATEX, "ascii": ASCII}
_SIGNS = ("forall", "exists")
_WORD = re.compile(r"[a-z][A-Za-z0-9_]*")


def write(formula: Formula, to: str = "unicode", *, name: str = "formula", role: str = "axiom") -> str:
    r"""A formula as text, with as few brackets as give the same tree when it is read.

    ``"unicode"``, ``"ascii"`` and ``"latex"`` are what :func:`~steepest.formulas.logic.parse` reads. In the languages
    of provers brackets stand wherever one connective is within another, and x + y, x - y, x < y and x > y are
    ``infix_plus(x, y)``, ``infix_minus``, ``infix_less`` and ``infix_greater``.

    ``"tptp"`` is a statement ``fof(name, role, ...).``: first letters of variables become upper case, x1 is X1, and
    those of predicates lower case, P is p. A function or constant p keeps its letter, but is ``f_p`` or ``c_p`` where
    the formula has the predicate P too. A number that begins with 0 and goes on, 007, is ``c_007``.

    ``"prover9"`` is a formula without the full stop; NLTK reads it as it stands. There a function of one letter is
    ``f_g(x)``, since NLTK takes g for a variable; a constant of several letters of which the first is u to z, which
    Prover9 takes for a variable, is ``c_zeus``; and words such as ``and`` are ``f_and`` and ``c_and``.

    Args:
        to: one of :data:`FORMATS`.
        name, role: of TPTP's statement, lower-case words.

    Raises:
        ValueError: there is no such format, ``name`` or ``role`` is no word, or the formula would be read as another,
            since a constant has a variable's name, a variable that no quantifier binds has a constant's, or a function
            is named as a quantifier is.

    Example:
        >>> from steepest.formulas.logic import parse
        >>> formula = parse("∀x(P(x)→¬Q)")
        >>> print(*(write(formula, to) for to in FORMATS), sep="\n")
        ∀x(P(x) → ¬Q)
        \forall x(P(x) \to \lnot Q)
        fof(formula, axiom, ! [X] : (p(X) => ~ q)).
        all x (P(x) -> -Q)
        forall x (P(x) -> ~Q)
    """
    if to not in FORMATS:
        raise ValueError(f"to must be one of {', '.join(FORMATS)}, got {to!r}")
    _check_names(formula)
    if to != "tptp":
        language: Language = Prover9() if to == "prover9" else _READABLE[to]
        return language.formula(formula)
    for key, value in (("name", name), ("role", role)):
        if not _WORD.fullmatch(value):
            raise ValueError(f"{key} must be a lower-case letter and letters, digits or '_', got {value!r}")
    return f"fof({name}, {role}, {Tptp(formula).formula(formula)})."


def _check_names(formula: Formula) -> None:
    """Make sure that every name tells what it is.

    Raises:
        ValueError: one is not.
    """
    for name in _list_functions(formula):
        if name.rstrip("0123456789") in _SIGNS:
            raise ValueError(f"formula must have no function {name}: it would be read as a quantifier")
    for leaf, bound in leaves(formula):
        varies = leaf.name in bound or is_variable(leaf.name)
        if varies and isinstance(leaf, Function):
            raise ValueError(f"formula must have no constant {leaf.name} here: it would be read as a variable")
        if not varies and isinstance(leaf, Variable):
            raise ValueError(
                f"formula must have no variable {leaf.name} outside a quantifier: it would be read as a constant"
            )


def _list_functions(formula: Formula) -> Iterator[str]:
    left: list[Node] = [formula]
    while left:
        here = left.pop()
        if isinstance(here, Function):
            yield here.name
        left += children(here)
