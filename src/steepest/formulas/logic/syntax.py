"""Formulas of first-order logic as trees."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

INFIX = ("+", "-")
RELATIONS = ("<", ">")
_VARIABLE = re.compile(r"[a-z]\d*", re.ASCII)
_FUNCTION = re.compile(r"[a-z][A-Za-z]*\d*", re.ASCII)
_NUMBER = re.compile(r"\d+", re.ASCII)
_PREDICATE = re.compile(r"[A-Z][A-Za-z]*\d*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable: one lower-case letter, and digits.

    Raises:
        ValueError: it is named otherwise.
    """

    name: str

    def __post_init__(self) -> None:
        _check_name("a variable", self.name, _VARIABLE, "a lower-case letter and digits")


@dataclass(frozen=True, slots=True)
class Function:
    """A function of terms; a constant or a number is one without arguments.

    Raises:
        ValueError: the name is not ``+`` or ``-`` with two arguments, digits without arguments, or a lower-case letter,
            more letters and digits.
    """

    name: str
    arguments: "tuple[Term, ...]" = ()

    def __post_init__(self) -> None:
        if self.name in INFIX:
            if len(self.arguments) != 2:
                raise ValueError(f"{self.name} must have 2 arguments, got {len(self.arguments)}")
        elif _NUMBER.fullmatch(self.name):
            if self.arguments:
                raise ValueError(f"the number {self.name} must have no arguments, got {len(self.arguments)}")
        else:
            _check_name("a function", self.name, _FUNCTION, "a lower-case letter, more letters and digits")


@dataclass(frozen=True, slots=True)
class Predicate:
    """A predicate of terms; a proposition is one without arguments.

    Raises:
        ValueError: the name is not an upper-case letter, more letters and digits.
    """

    name: str
    arguments: "tuple[Term, ...]" = ()

    def __post_init__(self) -> None:
        _check_name("a predicate", self.name, _PREDICATE, "an upper-case letter, more letters and digits")


@dataclass(frozen=True, slots=True)
class Equality:
    """left = right."""

    left: "Term"
    right: "Term"


@dataclass(frozen=True, slots=True)
class Comparison:
    """left < right, or left > right.

    Raises:
        ValueError: the relation is neither.
    """

    relation: str
    left: "Term"
    right: "Term"

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            raise ValueError(f"relation must be '<' or '>', got {self.relation!r}")


@dataclass(frozen=True, slots=True)
class Not:
    """¬ body."""

    body: "Formula"


@dataclass(frozen=True, slots=True)
class And:
    """left ∧ right."""

    left: "Formula"
    right: "Formula"


@dataclass(frozen=True, slots=True)
class Or:
    """left ∨ right."""

    left: "Formula"
    right: "Formula"


@dataclass(frozen=True, slots=True)
class Implies:
    """left → right."""

    left: "Formula"
    right: "Formula"


@dataclass(frozen=True, slots=True)
class Iff:
    """left ↔ right."""

    left: "Formula"
    right: "Formula"


@dataclass(frozen=True, slots=True)
class ForAll:
    """∀ variable body."""

    variable: Variable
    body: "Formula"


@dataclass(frozen=True, slots=True)
class Exists:
    """∃ variable body."""

    variable: Variable
    body: "Formula"


Term = Variable | Function
Quantified = ForAll | Exists
Binary = And | Or | Implies | Iff
Atom = Predicate | Equality | Comparison
Formula = Atom | Not | Binary | Quantified
Node = Term | Formula


def children(node: Node) -> tuple[Node, ...]:
    """What lies directly below a node, in reading order; of a quantifier also its variable."""
    match node:
        case Variable():
            return ()
        case Function() | Predicate():
            return node.arguments
        case Not():
            return (node.body,)
        case ForAll() | Exists():
            return (node.variable, node.body)
        case _:
            return (node.left, node.right)


def free_variables(node: Node) -> frozenset[str]:
    """Names of the variables that no quantifier binds.

    Example:
        >>> sorted(free_variables(ForAll(Variable("x"), Predicate("P", (Variable("x"), Variable("y"))))))
        ['y']
    """
    return frozenset(leaf.name for leaf, bound in leaves(node) if isinstance(leaf, Variable) and leaf.name not in bound)


def leaves(node: Node) -> Iterator[tuple[Term, frozenset[str]]]:
    """The variables, constants and numbers of a tree, each with the names of the variables that are bound there."""
    left: list[tuple[Node, frozenset[str]]] = [(node, frozenset())]
    while left:
        here, bound = left.pop()
        if isinstance(here, ForAll | Exists):
            left.append((here.body, bound | {here.variable.name}))
        elif isinstance(here, Variable) or (isinstance(here, Function) and not here.arguments):
            yield here, bound
        else:
            left += [(child, bound) for child in reversed(children(here))]


def depth(node: Node) -> int:
    """How many nodes lie on the longest way down.

    Example:
        >>> depth(Not(Predicate("P", (Variable("x"),))))
        3
    """
    deepest, left = 0, [(node, 1)]
    while left:
        here, level = left.pop()
        deepest = max(deepest, level)
        left += [(child, level + 1) for child in children(here)]
    return deepest


def is_variable(name: str) -> bool:
    """Whether a name that no quantifier binds is a variable's: one letter from u to z, and digits, as in Prover9.

    Example:
        >>> is_variable("x1"), is_variable("a"), is_variable("zeus")
        (True, False, False)
    """
    return "u" <= name[0] <= "z" and _VARIABLE.fullmatch(name) is not None


def _check_name(what: str, name: str, pattern: re.Pattern[str], allowed: str) -> None:
    if not pattern.fullmatch(name):
        raise ValueError(f"{what} must be named by {allowed}, got {name!r}")
