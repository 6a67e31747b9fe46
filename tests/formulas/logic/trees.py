"""Random formulas, whose names say what they are: a variable is bound, or one of u to z."""

from hypothesis import strategies as st

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

VARIABLES = ["x", "y1", "z", "a", "e", "f2"]
CONSTANTS = ["a", "e", "f2", "b", "zeus", "and", "iff1", "0", "007", "12", "motherOf"]
FUNCTIONS = ["f", "g1", "x", "e", "p", "zeus", "all", "not3", "motherOf", "isMan"]
PREDICATES = ["P", "F", "Q1", "G1", "IsMan", "A", "All"]
BINARY = [And, Or, Implies, Iff]


@st.composite
def terms(draw, bound, levels):
    kind = draw(st.integers(0, 3)) if levels else draw(st.integers(0, 1))
    if kind == 0:
        names = [name for name in VARIABLES if name in bound or name[0] >= "u"]
        return Variable(draw(st.sampled_from(names)))
    if kind == 1:
        return Function(draw(st.sampled_from([name for name in CONSTANTS if name not in bound])))
    below = terms(bound, levels - 1)
    if kind == 2:
        return Function(draw(st.sampled_from("+-")), (draw(below), draw(below)))
    return Function(draw(st.sampled_from(FUNCTIONS)), tuple(draw(st.lists(below, min_size=1, max_size=3))))


@st.composite
def formulas(draw, bound=frozenset(), levels=4):
    kind = draw(st.integers(0, 8)) if levels else draw(st.integers(0, 2))
    inside = terms(bound, 2)
    if kind == 0:
        return Predicate(draw(st.sampled_from(PREDICATES)), tuple(draw(st.lists(inside, max_size=3))))
    if kind == 1:
        return Equality(draw(inside), draw(inside))
    if kind == 2:
        return Comparison(draw(st.sampled_from("<>")), draw(inside), draw(inside))
    if kind == 3:
        return Not(draw(formulas(bound, levels - 1)))
    if kind in (4, 5):
        name = draw(st.sampled_from(VARIABLES))
        return [ForAll, Exists][kind - 4](Variable(name), draw(formulas(bound | {name}, levels - 1)))
    below = formulas(bound, levels - 1)
    return draw(st.sampled_from(BINARY))(draw(below), draw(below))
