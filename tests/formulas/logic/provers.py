"""Other readers of what is written for provers: NLTK's of Prover9, and a grammar of TPTP's first-order formulas."""

from functools import reduce
from pathlib import Path

from lark import Lark, Transformer
from nltk.sem import logic

from steepest.formulas.logic import (
    And,
    Comparison,
    Equality,
    Exists,
    ForAll,
    Function,
    Iff,
    Implies,
    Not,
    Or,
    Predicate,
    Variable,
)

INFIX = {"infix_plus": "+", "infix_minus": "-", "infix_less": "<", "infix_greater": ">"}
NLTK_BINARY = {
    logic.AndExpression: And,
    logic.OrExpression: Or,
    logic.ImpExpression: Implies,
    logic.IffExpression: Iff,
}


def plain(name):
    return INFIX.get(name) or name.removeprefix("c_").removeprefix("f_")


def from_nltk(text):
    return nltk_formula(logic.LogicParser().parse(text), frozenset())


def nltk_formula(node, bound):
    if type(node) in NLTK_BINARY:
        return NLTK_BINARY[type(node)](nltk_formula(node.first, bound), nltk_formula(node.second, bound))
    match node:
        case logic.NegatedExpression():
            return Not(nltk_formula(node.term, bound))
        case logic.AllExpression() | logic.ExistsExpression():
            name = node.variable.name
            made = ForAll if isinstance(node, logic.AllExpression) else Exists
            return made(Variable(name), nltk_formula(node.term, bound | {name}))
        case logic.EqualityExpression():
            return Equality(nltk_term(node.first, bound), nltk_term(node.second, bound))
    name, arguments = nltk_parts(node, bound)
    return Comparison(plain(name), *arguments) if name in INFIX else Predicate(name, arguments)


def nltk_term(node, bound):
    name, arguments = nltk_parts(node, bound)
    if not arguments and (name in bound or (name[0] in "uvwxyz" and name[1:].isdigit() | (len(name) == 1))):
        return Variable(name)
    return Function(plain(name), arguments)


def nltk_parts(node, bound):
    if not isinstance(node, logic.ApplicationExpression):
        return node.variable.name, ()
    function, arguments = node.uncurry()
    return function.variable.name, tuple(nltk_term(argument, bound) for argument in arguments)


class FromTptp(Transformer):
    def start(self, parts):
        return parts[-1]

    def binary(self, parts):
        left, sign, right = parts
        return (Implies if sign == "=>" else Iff)(left, right)

    def conjunction(self, parts):
        return reduce(And, parts)

    def disjunction(self, parts):
        return reduce(Or, parts)

    def negation(self, parts):
        return Not(*parts)

    def quantified(self, parts):
        return (ForAll if parts[0] == "!" else Exists)(Variable(parts[1].lower()), parts[2])

    def equality(self, parts):
        return Equality(*parts)

    def predicate(self, parts):
        name, *arguments = parts
        if name in INFIX:
            return Comparison(INFIX[name], *arguments)
        return Predicate(name[0].upper() + name[1:], tuple(arguments))

    def variable(self, parts):
        return Variable(parts[0].lower())

    def number(self, parts):
        return Function(str(parts[0]))

    def function(self, parts):
        return Function(plain(str(parts[0])), tuple(parts[1:]))


TPTP = Lark(Path(__file__).with_name("tptp.lark").read_text(encoding="utf-8"), maybe_placeholders=False)


def from_tptp(text):
    return FromTptp().transform(TPTP.parse(text))
