"""Text to trees."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedToken

from steepest.formulas.logic.scanning import SIGNS, scan, show_at
from steepest.formulas.logic.syntax import (
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
    Term,
    Variable,
    depth,
    is_variable,
)

DEEPEST = 300
_CONNECTIVES = ("AND", "OR", "IMPLIES", "IFF")
_BINARY: dict[str, type[Binary]] = dict(zip(_CONNECTIVES, (And, Or, Implies, Iff), strict=True))


def parse(text: str) -> Formula:
    """The tree of a formula in Unicode, ASCII or LaTeX.

    ¬ and the quantifiers bind tightest, then ∧, ∨, → and ↔; → groups to the right, the others to the left. Predicates
    begin with an upper-case letter, functions and constants with a lower-case one, and have more letters and digits; a
    variable is one letter and digits. A name is a variable where a quantifier binds it or it is u to z, as in Prover9.

    Raises:
        ValueError: it is no formula, or more than 300 nodes lie below one another.

    Example:
        >>> parse("∀x(P(x)→Q(a))") == parse("forall x (P(x) -> Q(a))") == parse(r"\\forall x (P(x) \\to Q(a))")
        True
        >>> parse("P(x")
        Traceback (most recent call last):
            ...
        ValueError: text is no formula: it ends where '+', '-', ',', '(' or ')' must stand
    """
    return build_tree(text, list(scan(text)))


def build_tree(text: str, tokens: Sequence[Token]) -> Formula:
    """The tree of a text's tokens.

    Raises:
        ValueError: as :func:`parse`.
    """
    state = formula_parser().parse_interactive()
    for index, token in enumerate(tokens):
        try:
            state.feed_token(token)
        except UnexpectedToken:
            raise ValueError(_say_unexpected(text, tokens, index)) from None
    try:
        built: Formula = state.feed_eof()  # type: ignore[no-untyped-call]
    except UnexpectedToken:
        raise ValueError(_say_unexpected(text, tokens, len(tokens))) from None
    if depth(built) > DEEPEST:
        raise ValueError(f"text must nest at most {DEEPEST} deep, got {depth(built)}")
    formula: Formula = _tell_variables(built, frozenset())
    return formula


@cache
def formula_parser() -> Lark:
    """The parser of the grammar in ``formula.lark``, to which tokens are fed; it makes trees whose variables are still
    constants, but for those beside quantifiers."""
    grammar = Path(__file__).with_name("formula.lark").read_text(encoding="utf-8")
    return Lark(
        grammar, parser="lalr", lexer="basic", start="formula", transformer=_Builder(), maybe_placeholders=False
    )


class _Builder(Transformer[Token, Formula]):
    """Make trees of what the rules of the grammar match."""

    def binary(self, parts: list[Any]) -> Formula:
        left, sign, right = parts
        return _BINARY[sign.type](left, right)

    def negation(self, parts: list[Any]) -> Formula:
        return Not(parts[-1])

    def quantified(self, parts: list[Any]) -> Formula:
        (sign, variable), body = parts
        return ForAll(variable, body) if sign.type == "FORALL" else Exists(variable, body)

    def quantifier(self, parts: list[Any]) -> tuple[Token, Variable]:
        sign, variable = parts
        return sign, variable

    def related(self, parts: list[Any]) -> Formula:
        left, sign, right = parts
        if sign.type in ("EQUAL", "UNEQUAL"):
            return Equality(left, right) if sign.type == "EQUAL" else Not(Equality(left, right))
        return Comparison(str(sign), left, right)

    def relation(self, parts: list[Any]) -> Token:
        found: Token = parts[0]
        return found

    def predicate(self, parts: list[Any]) -> Formula:
        return Predicate(*parts)

    def infix(self, parts: list[Any]) -> Term:
        left, sign, right = parts
        return Function(str(sign), (left, right))

    def function(self, parts: list[Any]) -> Term:
        return Function(*parts)

    def number(self, parts: list[Any]) -> Term:
        return Function(_join(parts))

    def variable(self, parts: list[Any]) -> Term:
        return Variable(_join(parts))

    def terms(self, parts: list[Any]) -> tuple[Term, ...]:
        return tuple(parts)

    def name(self, parts: list[Any]) -> str:
        return _join(parts)


def _join(parts: Sequence[Token]) -> str:
    """Join the characters of a name.

    Raises:
        ValueError: something stands between them.
    """
    for before, after in pairwise(parts):
        if before.end_pos != after.start_pos:
            raise ValueError(
                f"text is no formula: at character {(after.start_pos or 0) + 1} stands '{after}' after "
                f"'{before}' and a space, where a sign must stand between them"
            )
    return "".join(parts)


def _tell_variables(node: Any, bound: frozenset[str]) -> Any:
    """Return a tree whose variables are variables."""
    match node:
        case Variable():
            return node
        case Function(name, ()) if name in bound or is_variable(name):
            return Variable(name)
        case Function(name, arguments) | Predicate(name, arguments):
            return type(node)(name, tuple([_tell_variables(argument, bound) for argument in arguments]))
        case Not(body):
            return Not(_tell_variables(body, bound))
        case ForAll(variable, body) | Exists(variable, body):
            return type(node)(variable, _tell_variables(body, bound | {variable.name}))
        case Comparison(relation, left, right):
            return Comparison(relation, _tell_variables(left, bound), _tell_variables(right, bound))
        case _:
            return type(node)(_tell_variables(node.left, bound), _tell_variables(node.right, bound))


def _say_unexpected(text: str, tokens: Sequence[Token], index: int) -> str:
    """Say which token does not fit, and what would: the automaton knows before it has read it."""
    state = formula_parser().parse_interactive()
    for token in tokens[:index]:
        state.feed_token(token)
    expected = _say_expected(state.accepts())  # type: ignore[no-untyped-call]
    if index == len(tokens):
        return f"text is no formula: it ends where {expected} must stand"
    place = tokens[index].start_pos or 0
    return f"text is no formula: at character {place + 1} stands {show_at(text, place)}, where {expected} must stand"


def _say_expected(kinds: set[str]) -> str:
    """Say in words what kinds of tokens may come next."""
    if "NOT" in kinds:
        return "a formula"
    if kinds == {"LOWER"}:
        return "a variable"
    if kinds == {"LOWER", "DIGIT", "_OPEN"}:
        return "a term"
    said = [SIGNS[kind][0] for kind in SIGNS if kind in kinds and kind not in _CONNECTIVES]
    words = ["a connective"] * ("AND" in kinds) + [f"'{sign}'" for sign in said] + ["the end"] * ("$END" in kinds)
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
