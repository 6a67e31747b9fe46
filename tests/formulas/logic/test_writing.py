"""Every tree comes back from every format, with no bracket too many."""

import re

import pytest
from hypothesis import given, settings

from steepest.formulas.logic import (
    FORMATS,
    And,
    Exists,
    ForAll,
    Function,
    Not,
    Predicate,
    Variable,
    parse,
    write,
)
from tests.formulas.logic.provers import from_nltk, from_tptp
from tests.formulas.logic.trees import formulas

READERS = {"unicode": parse, "ascii": parse, "latex": parse, "prover9": from_nltk, "tptp": from_tptp}


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.slow
def test_every_tree_comes_back(to):
    @settings(deadline=None, max_examples=300)
    @given(formulas())
    def comes_back(tree):
        text = write(tree, to)
        assert READERS[to](text) == tree, text

    comes_back()


def without_a_pair(text):
    """Yield a text without each pair of its brackets that is not of a name's arguments, nor of LaTeX."""
    opened = []
    for place, sign in enumerate(text):
        if sign == "(":
            opened.append(place)
        elif sign == ")":
            start = opened.pop()
            yield text[:start] + " " + text[start + 1 : place] + " " + text[place + 1 :]


@pytest.mark.parametrize("to", ["unicode", "ascii", "latex"])
@pytest.mark.slow
def test_no_pair_of_brackets_can_go(to):
    @settings(deadline=None, max_examples=150)
    @given(formulas(levels=3))
    def is_needed(tree):
        for shorter in without_a_pair(write(tree, to)):
            try:
                found = parse(shorter)
            except ValueError:
                continue
            assert found != tree, shorter

    is_needed()


@pytest.mark.parametrize(
    ("to", "text"),
    [
        ("unicode", "∀x1∃y(P(x1, y) ∧ ¬Q → f(x1 + 1) = y - (2 - a) ∨ x1 < y)"),
        ("ascii", "forall x1 exists y (P(x1, y) & ~Q -> f(x1 + 1) = y - (2 - a) | x1 < y)"),
        ("latex", r"\forall x_{1}\exists y(P(x_{1}, y) \land \lnot Q \to f(x_{1} + 1) = y - (2 - a) \lor x_{1} < y)"),
        (
            "prover9",
            "all x1 exists y ((P(x1, y) & -Q) -> ((f_f(infix_plus(x1, 1)) = infix_minus(y, infix_minus(2, a))) | "
            "infix_less(x1, y)))",
        ),
        (
            "tptp",
            "fof(formula, axiom, ! [X1] : ? [Y] : ((p(X1, Y) & ~ q) => "
            "(f(infix_plus(X1, 1)) = infix_minus(Y, infix_minus(2, a)) | infix_less(X1, Y)))).",
        ),
    ],
)
def test_a_formula_looks_as_its_readers_expect(to, text):
    if to == "prover9":  # = binds tighter than |
        text = text.replace("((f_f", "(f_f").replace("a))) |", "a)) |")
    assert write(parse("∀x1∃y(P(x1,y)∧¬Q→f(x1+1)=y-(2-a)∨x1<y)"), to) == text


def test_names_that_a_prover_would_take_for_others_are_marked():
    assert write(parse("P(p)∧P(f(p))∧F"), "tptp") == "fof(formula, axiom, (p(c_p) & p(f_f(c_p))) & f)."
    assert (
        write(parse("P(q)∧P(f(q))"), "tptp", name="ax1", role="conjecture") == "fof(ax1, conjecture, p(q) & p(f(q)))."
    )
    assert write(parse("P(zeus,ares,x,and,motherOf(a))"), "prover9") == "P(c_zeus, ares, x, c_and, motherOf(a))"
    assert write(parse("¬∀x¬¬P(x)"), "prover9") == "-(all x -(-P(x)))"


@pytest.mark.parametrize(
    "tree",
    [
        Predicate("P", (Function("x"),)),
        Predicate("P", (Variable("a"),)),
        ForAll(Variable("a"), Predicate("P", (Function("a"),))),
        Predicate("P", (Function("exists1", (Variable("x"),)),)),
        And(Exists(Variable("a"), Predicate("P")), Not(Predicate("P", (Variable("a"),)))),
    ],
)
def test_a_tree_that_would_be_read_as_another_is_refused(tree):
    for to in FORMATS:
        with pytest.raises(ValueError, match=r"^formula must have no (variable a|constant [ax]|function exists1)"):
            write(tree, to)


def test_bad_arguments_are_refused():
    with pytest.raises(
        ValueError, match=re.escape("to must be one of unicode, latex, tptp, prover9, ascii, got 'tex'")
    ):
        write(parse("P"), "tex")
    with pytest.raises(ValueError, match="role must be a lower-case letter and letters, digits or '_', got 'Axiom, '"):
        write(parse("P"), "tptp", role="Axiom, ")


def test_names_of_several_letters_are_upright_in_latex():
    assert write(parse("Man(socrates1,x)"), "latex") == r"\mathrm{Man}(\mathrm{socrates}_{1}, x)"
