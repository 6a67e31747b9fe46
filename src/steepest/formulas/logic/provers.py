"""How formulas are written for provers: TPTP's FOF and Prover9."""

from steepest.formulas.logic.languages import EQUIVALENCE, UNARY, Language
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
    Node,
    Not,
    Or,
    Predicate,
    Quantified,
    Term,
    Variable,
    children,
)

INFIX_NAMES = {"+": "infix_plus", "-": "infix_minus", "<": "infix_less", ">": "infix_greater"}
# What NLTK's reader takes for signs; `exists` and `forall` are no names here either.
_WORDS = frozenset({"all", "some", "exist", "iota", "not", "and", "or", "implies", "iff"})


class _Prover(Language):
    """Write every connective within another in brackets, and infix signs as functions."""

    def binding(self, connective: type[Binary]) -> tuple[int, int, int]:
        return EQUIVALENCE, UNARY, UNARY

    def relation(self, node: Equality | Comparison) -> str:
        if isinstance(node, Equality):
            return super().relation(node)
        return INFIX_NAMES[node.relation] + self.arguments((node.left, node.right))

    def term(self, node: Term) -> str:
        if isinstance(node, Variable):
            return self.variable(node)
        return (INFIX_NAMES.get(node.name) or self.function(node)) + self.arguments(node.arguments)

    def variable(self, node: Variable) -> str:
        return node.name

    def function(self, node: Function) -> str:
        """Name a function; with ``f_``, or ``c_`` of a constant, where the name alone would be taken for another."""
        return node.name if self.is_plain(node) else f"{'f' if node.arguments else 'c'}_{node.name}"

    def is_plain(self, node: Function) -> bool:
        raise NotImplementedError


class Tptp(_Prover):
    """The language of TPTP's first-order formulas (FOF), for one formula."""

    def __init__(self, formula: Formula) -> None:
        super().__init__({ForAll: "!", Exists: "?", Not: "~", And: "&", Or: "|", Implies: "=>", Iff: "<=>"})
        self._predicates = _name_predicates(formula)

    def negation(self, node: Not) -> str:
        """~ of a formula."""
        return f"~ {self.formula(node.body, UNARY)}"

    def quantified(self, node: Quantified) -> str:
        """A quantifier, its variable in brackets, and what follows."""
        return f"{self.signs[type(node)]} [{self.variable(node.variable)}] : {self.formula(node.body, UNARY)}"

    def predicate(self, node: Predicate) -> str:
        """A predicate, its first letter in lower case."""
        return _lower(node.name) + self.arguments(node.arguments)

    def variable(self, node: Variable) -> str:
        """A variable, its letter in upper case."""
        return node.name.upper()

    def is_plain(self, node: Function) -> bool:
        """Whether a name is no predicate's and no number with zeros before it."""
        return node.name not in self._predicates and (node.name[0] != "0" or node.name == "0")


class Prover9(_Prover):
    """The language of Prover9, with brackets where NLTK's reader of it needs them."""

    def __init__(self) -> None:
        super().__init__({ForAll: "all", Exists: "exists", Not: "-", And: "&", Or: "|", Implies: "->", Iff: "<->"})

    def negation(self, node: Not) -> str:
        """- of a formula: it binds tighter than = and quantifiers, and ``--`` would be another sign."""
        body = self.formula(node.body)
        return f"-{body}" if isinstance(node.body, Predicate) else f"-({body})"

    def quantified(self, node: Quantified) -> str:
        """A quantifier and what follows, in brackets where NLTK would take a name for another variable."""
        body = self.formula(node.body)
        bare = isinstance(node.body, Not | ForAll | Exists)
        return f"{self.signs[type(node)]} {node.variable.name} {body if bare else f'({body})'}"

    def is_plain(self, node: Function) -> bool:
        """Whether a name is no sign's, a function's has several letters, and a constant of several begins before u."""
        letters = node.name.rstrip("0123456789")
        if letters in _WORDS:
            return False
        return len(letters) > 1 if node.arguments else len(letters) < 2 or letters[0] < "u"


def _name_predicates(formula: Formula) -> frozenset[str]:
    """Collect the names of a formula's predicates as TPTP has them."""
    found, left = set(), [formula]
    while left:
        here: Node = left.pop()
        if isinstance(here, Predicate):
            found.add(_lower(here.name))
        left += [child for child in children(here) if not isinstance(child, Variable | Function)]
    return frozenset(found)


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]
