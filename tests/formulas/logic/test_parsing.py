"""What is a formula, how it groups, and what is said where a text is none."""

import pytest

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
    draw_tree,
    free_variables,
    parse,
    write,
)

P, Q, R, S = (Predicate(name) for name in "PQRS")
x, y, one = Variable("x"), Variable("y"), Function("1")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("¬P∧Q", And(Not(P), Q)),
        ("P∧Q∨R", Or(And(P, Q), R)),
        ("P∨Q∧R", Or(P, And(Q, R))),
        ("P∨Q→R", Implies(Or(P, Q), R)),
        ("P→Q↔R", Iff(Implies(P, Q), R)),
        ("P→Q→R", Implies(P, Implies(Q, R))),
        ("P∧Q∧R", And(And(P, Q), R)),
        ("P∨Q∨R", Or(Or(P, Q), R)),
        ("P↔Q↔R", Iff(Iff(P, Q), R)),
        ("(P→Q)→R", Implies(Implies(P, Q), R)),
        ("∀x P∧Q", And(ForAll(x, P), Q)),
        ("∀x(P∧Q)", ForAll(x, And(P, Q))),
        ("(∀x)(∃y)P", ForAll(x, Exists(y, P))),
        ("¬∃x¬P", Not(Exists(x, Not(P)))),
        ("¬x=y", Not(Equality(x, y))),
        ("x≠y", Not(Equality(x, y))),
        ("x+1<y", Comparison("<", Function("+", (x, one)), y)),
        ("x-1-y>1", Comparison(">", Function("-", (Function("-", (x, one)), y)), one)),
        ("x-(1-y)=1", Equality(Function("-", (x, Function("-", (one, y)))), one)),
        ("((x)=(y))", Equality(x, y)),
        ("∀x f(x)=y", ForAll(x, Equality(Function("f", (x,)), y))),
        ("∀xf(x)=y", ForAll(x, Equality(Function("f", (x,)), y))),
        ("∀x12P(x12)", ForAll(Variable("x12"), Predicate("P", (Variable("x12"),)))),
        ("P(existsOf)", Predicate("P", (Function("existsOf"),))),
        ("P(coexists)", Predicate("P", (Function("coexists"),))),
        ("Man(socrates)", Predicate("Man", (Function("socrates"),))),
    ],
)
def test_a_text_groups_as_its_signs_bind(text, tree):
    assert parse(text) == tree


@pytest.mark.parametrize(
    "text",
    [
        "forall x (~P(x_1) & exists y Q | R -> x1 = 12 <-> x != y)",
        "forall x(~P(x1)/\\exists y Q\\/R=>x1=12<=>x!=y)",
        r"$\forall x\,\left(\neg P(x_{1})\wedge\exists y\; Q\vee R\rightarrow x_1=12\iff x\neq y\right)$",
        r"\forall x(\lnot P(x_{ 1 }) \land \exists y Q \lor R \to x_1 = 12 \leftrightarrow x \ne y)",
    ],
)
def test_one_sign_has_many_spellings(text):
    assert parse(text) == parse("∀x(¬P(x1)∧∃yQ∨R→x1=12↔x≠y)")


def test_a_name_is_a_variable_where_it_is_bound_or_from_u_to_z():
    assert parse("P(a)∧∀a P(a)∧P(x,x1,zeus)") == And(
        And(Predicate("P", (Function("a"),)), ForAll(Variable("a"), Predicate("P", (Variable("a"),)))),
        Predicate("P", (x, Variable("x1"), Function("zeus"))),
    )
    assert free_variables(parse("P(x)∧∀x Q(x,y)∧R(a)")) == {"x", "y"}
    assert free_variables(parse("∀x(P(x)∧∃y Q(x,y))")) == frozenset()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it ends where a formula must stand"),
        ("P→", "it ends where a formula must stand"),
        ("P∧∧Q", "at character 3 stands '∧', where a formula must stand"),
        ("∀P(x)", "at character 2 stands 'P', where a variable must stand"),
        ("∀x1=2", "at character 4 stands '=', where a formula must stand"),
        ("P(x,)", "at character 5 stands ')', where a term must stand"),
        ("x", "it ends where '=', '≠', '<', '>', '+', '-' or '(' must stand"),
        ("(x)", "it ends where '=', '≠', '<', '>', '+' or '-' must stand"),
        ("x=y=z", "at character 4 stands '=', where a connective, '+', '-', '(' or the end must stand"),
        ("P)", "at character 2 stands ')', where a connective, '(' or the end must stand"),
        ("P & % Q", "at character 5 stands '%', which no formula has"),
        (r"P \land \foo", r"at character 9 stands '\\foo', which no formula has"),
        (r"P \toQ", r"at character 3 stands '\\toQ', which no formula has"),
        (r"P \land \land", r"at character 9 stands '\\land', where a formula must stand"),
        ("P(a b)", "at character 5 stands 'b' after 'a' and a space, where a sign must stand between them"),
        ("P 1", "at character 3 stands '1' after 'P' and a space, where a sign must stand between them"),
    ],
)
def test_a_text_that_is_no_formula_is_refused_with_the_place(text, said):
    with pytest.raises(ValueError, match=r"^text is no formula") as error:
        parse(text)
    assert str(error.value) == f"text is no formula: {said}"


def test_depth_is_bounded_and_brackets_are_not():
    deep = parse("¬" * 299 + "P")
    assert parse(write(deep)) == deep
    assert parse("(" * 20000 + "P" + ")" * 20000) == P
    with pytest.raises(ValueError, match="must nest at most 300 deep, got 20001"):
        parse("¬" * 20000 + "P")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Variable("X"), "a variable must be named by a lower-case letter and digits, got 'X'"),
        (lambda: Variable("xy"), "a variable must be named by"),
        (lambda: Function("F"), "a function must be named by"),
        (lambda: Function("12", (x,)), "the number 12 must have no arguments, got 1"),
        (lambda: Function("+", (x,)), r"\+ must have 2 arguments, got 1"),
        (lambda: Predicate("p"), "a predicate must be named by"),
        (lambda: Predicate("P "), "a predicate must be named by"),
        (lambda: Comparison("=", x, y), "relation must be '<' or '>', got '='"),
    ],
)
def test_a_tree_of_other_names_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_tree_is_drawn_line_by_line():
    assert draw_tree(parse("∀x(¬P(x,f(1+y))↔∃y x<y)")).splitlines() == [
        "∀x",
        "└─ ↔",
        "   ├─ ¬",
        "   │  └─ P",
        "   │     ├─ x",
        "   │     └─ f",
        "   │        └─ +",
        "   │           ├─ 1",
        "   │           └─ y",
        "   └─ ∃y",
        "      └─ <",
        "         ├─ x",
        "         └─ y",
    ]
