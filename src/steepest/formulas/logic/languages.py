"""How formulas are written for readers: in Unicode, ASCII and LaTeX."""

import re

from steepest.formulas.logic.syntax import (
    INFIX,
    And,
    Binary,
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
    Quantified,
    Term,
    Variable,
)

LOOSE, EQUIVALENCE, IMPLICATION, DISJUNCTION, CONJUNCTION, UNARY = range(6)
# How tight a connective binds, and how tight what stands at its left and at its right must at least bind.
BINDING: dict[type[Binary], tuple[int, int, int]] = {
    And: (CONJUNCTION, CONJUNCTION, UNARY),
    Or: (DISJUNCTION, DISJUNCTION, CONJUNCTION),
    Implies: (IMPLICATION, DISJUNCTION, IMPLICATION),
    Iff: (EQUIVALENCE, EQUIVALENCE, IMPLICATION),
}
_NAME = re.compile(r"([A-Za-z]*)(\d*)", re.ASCII)


class Language:
    """What is written for each part of a formula.

    Args:
        signs: of connectives and quantifiers.
        apart: a space between any quantifier's variable and what follows.
        latex: names as LaTeX has them.
    """

    def __init__(self, signs: dict[type[Formula], str], *, apart: bool = False, latex: bool = False) -> None:
        self.signs, self.apart, self.latex = signs, apart, latex

    def formula(self, node: Formula, binding: int = LOOSE) -> str:
        """A formula, in brackets if it binds less tight than ``binding``."""
        match node:
            case Predicate():
                return self.predicate(node)
            case Equality() | Comparison():
                return self.relation(node)
            case Not():
                return self.negation(node)
            case ForAll() | Exists():
                return self.quantified(node)
            case _:
                own, left, right = self.binding(type(node))
                text = f"{self.formula(node.left, left)} {self.signs[type(node)]} {self.formula(node.right, right)}"
                return f"({text})" if own < binding else text

    def binding(self, connective: type[Binary]) -> tuple[int, int, int]:
        """How tight a connective binds, and how tight what stands beside it must."""
        return BINDING[connective]

    def negation(self, node: Not) -> str:
        """¬ of a formula."""
        sign, body = self.signs[Not], self.formula(node.body, UNARY)
        return f"{sign} {body}" if sign[-1].isalpha() and body[0].isalnum() else sign + body

    def quantified(self, node: Quantified) -> str:
        """A quantifier and what follows it: in brackets where its first digit would be the variable's."""
        sign, body = self.signs[type(node)], self.formula(node.body, UNARY)
        if body[0].isdigit():
            body = f"({body})"
        start = sign + " " * sign[-1].isalpha() + self.name(node.variable.name)
        return f"{start} {body}" if self.apart or body[0].isalpha() else start + body

    def relation(self, node: Equality | Comparison) -> str:
        """An equality, or a comparison."""
        sign = "=" if isinstance(node, Equality) else node.relation
        return f"{self.term(node.left)} {sign} {self.term(node.right)}"

    def predicate(self, node: Predicate) -> str:
        """A predicate and its arguments."""
        return self.name(node.name) + self.arguments(node.arguments)

    def term(self, node: Term) -> str:
        """A term."""
        if isinstance(node, Variable):
            return self.name(node.name)
        if node.name not in INFIX:
            return self.name(node.name) + self.arguments(node.arguments)
        left, right = node.arguments
        second = self.term(right)
        if isinstance(right, Function) and right.name in INFIX:
            second = f"({second})"
        return f"{self.term(left)} {node.name} {second}"

    def arguments(self, terms: tuple[Term, ...]) -> str:
        """What follows a name: its arguments in brackets, or nothing."""
        return f"({', '.join([self.term(term) for term in terms])})" if terms else ""

    def name(self, name: str) -> str:
        """A name; in LaTeX upright if it has several letters, and its digits below."""
        found = _NAME.fullmatch(name)
        if not self.latex or found is None or not found[1]:
            return name
        letters = found[1] if len(found[1]) == 1 else rf"\mathrm{{{found[1]}}}"
        return letters + (f"_{{{found[2]}}}" if found[2] else "")


UNICODE = Language({ForAll: "∀", Exists: "∃", Not: "¬", And: "∧", Or: "∨", Implies: "→", Iff: "↔"})
ASCII = Language(
    {ForAll: "forall", Exists: "exists", Not: "~", And: "&", Or: "|", Implies: "->", Iff: "<->"}, apart=True
)
LATEX = Language(
    {
        ForAll: r"\forall",
        Exists: r"\exists",
        Not: r"\lnot",
        And: r"\land",
        Or: r"\lor",
        Implies: r"\to",
        Iff: r"\leftrightarrow",
    },
    latex=True,
)
