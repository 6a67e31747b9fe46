"""The most probable formula against trying all, and where nothing fits."""

import itertools
import logging
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Lark, UnexpectedToken

import steepest.formulas.logic
from steepest.formulas.logic import LABELS, Predicate, most_probable, parse, write
from steepest.formulas.logic.labels import MEANINGS, kind_of
from steepest.formulas.logic.scanning import make_token
from tests.formulas.logic.trees import formulas

GRAMMAR = Path(steepest.formulas.logic.__file__).with_name("formula.lark").read_text(encoding="utf-8")
LETTER_BY_LETTER = Lark(GRAMMAR.replace(" more*", ""), parser="lalr", lexer="basic", start="formula")
IN_WORDS = Lark(GRAMMAR, parser="lalr", lexer="basic", start="formula")
FEW = ["x", "v", "p", "A", "o", "1", "(", ")", "=", "∀", "¬", "→", "+", ","]


def fits(parser, characters, whole):
    """Say whether characters are a formula, or begin one."""
    state = parser.parse_interactive()
    try:
        for place, character in enumerate(characters):
            state.feed_token(make_token(kind_of(character), character, place, place + 1))
        if whole:
            state.feed_eof()
    except UnexpectedToken:
        return False
    return True


def characters_of(alternatives):
    found = {}
    for label, probability in alternatives:
        for character, share in MEANINGS[label].items():
            found[character] = max(found.get(character, 0), probability * share)
    return found


def try_all(parser, symbols):
    """Return the greatest probability of a formula, and how many symbols begin one."""
    choices = [characters_of(alternatives) for alternatives in symbols]
    best = max(
        (
            math.prod(table[character] for table, character in zip(choices, characters, strict=True))
            for characters in itertools.product(*choices)
            if fits(parser, characters, True)
        ),
        default=None,
    )
    begun = max(
        length
        for length in range(len(symbols) + 1)
        if any(fits(parser, characters, False) for characters in itertools.product(*choices[:length]))
    )
    return best, begun


def certain(text):
    """Return symbols of whose class there is no doubt."""
    return [[("v" if sign == "∨" else sign if sign in LABELS else sign.lower(), 1.0)] for sign in text]


alternatives = st.lists(
    st.tuples(st.sampled_from(FEW), st.floats(0.01, 1)), min_size=1, max_size=2, unique_by=lambda pair: pair[0]
)


@pytest.mark.parametrize("words", [False, True])
def test_no_formula_is_more_probable(words):
    parser = IN_WORDS if words else LETTER_BY_LETTER
    seen = set()

    @settings(deadline=None, max_examples=120)
    @given(st.lists(alternatives, min_size=1, max_size=5))
    def is_best(symbols):
        best, begun = try_all(parser, symbols)
        reading = most_probable(symbols, words=words)
        seen.add(best is None)
        product = math.prod(choice.probability for choice in reading.choices)
        assert reading.probability == pytest.approx(product)
        if best is None:
            assert (reading.tree, reading.misfit) == (None, begun)
            assert reading.text == most_probable(symbols, grammar=False).text
        else:
            assert reading.misfit is None
            assert reading.probability == pytest.approx(best)
            assert fits(parser, reading.text, True)
            assert reading.tree == parse(reading.text)

    is_best()
    assert seen == {False, True}


@pytest.mark.slow
def test_the_chart_has_the_language_of_the_parser():
    signs = ["a", "A", "1", "(", ")", "=", "∀", "¬", "→", ","]
    count = 0
    for length in range(1, 6):
        for characters in itertools.product(signs, repeat=length):
            if not fits(LETTER_BY_LETTER, characters[:-1], False):
                continue
            reading = most_probable([[(sign, 1.0)] for sign in characters])
            certain_of_all = reading.tree is not None and reading.probability == 1
            assert certain_of_all == fits(LETTER_BY_LETTER, characters, True), characters
            count += certain_of_all
    assert count > 100


def test_the_grammar_has_one_tree_for_each_text(caplog):
    with caplog.at_level(logging.DEBUG, logger="lark"):
        Lark(GRAMMAR, parser="lalr", lexer="basic", start="formula", debug=True)
    assert "conflict" not in caplog.text.lower()


@settings(deadline=None, max_examples=100)
@given(formulas(levels=3))
def test_every_formula_is_read_from_its_classes(tree):
    text = write(tree).replace(" ", "")
    if len(text) > 100 or "motherOf" in text:
        return
    symbols = certain(text)
    reading = most_probable(symbols, words=True)
    assert len(reading.text) == len(text)
    assert reading.tree == parse(reading.text)
    assert [choice.label for choice in reading.choices] == [label for ((label, _),) in symbols]


@pytest.mark.parametrize(
    "text",
    [
        "∀v(P(v)∨V(v))",
        "∀x∃y(P(x,y)→¬Q(x))∧S",
        "C(c)↔K(k)∨O(o,0)∧W(w)",
        "∃x10(x10=z0)",
        "(∀x)(∃s)S(s,x)",
        "∀xf(x)=s+1",
        "V∨V",
    ],
)
def test_the_grammar_tells_what_pixels_cannot(text):
    assert most_probable(certain(text)).text == text


def test_a_bracket_that_looks_like_a_digit_or_letter_is_one_where_only_it_fits():
    assert most_probable(certain("∀x(P(x1→Q(x)l")).text == "∀x(P(x)→Q(x))"
    assert most_probable(certain("Pla)")).text == "P(a)"
    assert most_probable(certain("x=O")).text == "x=o"
    assert most_probable(certain("f(1)=10")).text == "f(1)=10"
    assert most_probable(certain("x0=1o")).text == "x0=10"


def test_words_are_read_where_they_are_asked_for():
    symbols = certain("∀x(Man(x)→Mortal(x))")
    assert most_probable(symbols).misfit == 4
    assert most_probable(symbols, words=True).text == "∀x(Man(x)→Mortal(x))"
    assert most_probable(certain("PvQ"), words=True).text == "P∨Q"
    assert most_probable(certain("P(exists)"), words=True).tree.arguments[0].name == "exists"


@pytest.mark.parametrize(
    ("text", "misfit"), [("P(x", 3), (",P", 0), ("PQ", 1), ("∀A", 1), ("P→)", 3), ("P∧→Q", 2), ("x=y=z", 3), ("(P", 2)]
)
def test_where_nothing_fits_is_said(text, misfit):
    reading = most_probable(certain(text))
    assert (reading.tree, reading.misfit) == (None, misfit)


def test_choices_name_the_class_that_speaks_for_the_character():
    reading = most_probable([[("0", 0.2), ("o", 0.7), ("d", 0.1)]])
    assert reading.choices == (("O", "o", 0.7),)
    assert (reading.tree, reading.probability) == (Predicate("O"), pytest.approx(0.7))


def test_three_hundred_symbols_are_read_and_no_more():
    rng = np.random.default_rng(0)
    text = "¬" * 260 + "∀x(P(x)→Q(f(x),y))∧A∧D∧E∧F∧G∧H∧I∧J∧L∧M∧N"[:40]
    symbols = [
        [(label, 0.6)] + [(str(other), 0.1) for other in rng.choice(LABELS, 4)] for ((label, _),) in certain(text)
    ]
    reading = most_probable(symbols)
    assert len(reading.text) == 300
    assert reading.tree == parse(reading.text)
    assert reading.log_probability > 300 * math.log(0.6) - 1e-6
    with pytest.raises(ValueError, match="symbols must be at most 300 where the grammar chooses, got 301"):
        most_probable(symbols + symbols[:1])
    assert len(most_probable(symbols * 4, grammar=False).text) == 1200
    assert most_probable(certain("¬" * 299 + "A")).tree == parse("¬" * 299 + "A")


@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        ([], "symbols must hold at least one symbol, got none"),
        ([[("P", 1.0)]], r"symbols\[0\] must name classes of .*, got 'P'"),
        ([[("a", 1.0)], [("∨", 1.0)]], r"symbols\[1\] must name classes of .*, got '∨'"),
        ([[("a", 1.5)]], r"symbols\[0\] must give 'a' a probability from 0 to 1, got 1.5"),
        ([[("a", math.nan)]], r"symbols\[0\] must give 'a' a probability from 0 to 1, got nan"),
        ([[("a", 0.0)]], r"symbols\[0\] must have a class whose probability is above 0, got none"),
        ([[]], r"symbols\[0\] must have a class whose probability is above 0, got none"),
    ],
)
def test_bad_symbols_are_refused(symbols, said):
    with pytest.raises(ValueError, match=said):
        most_probable(symbols)


def test_the_classes_are_those_of_the_sheet():
    assert len(LABELS) == len(set(LABELS)) == 67
    characters = {character for meanings in MEANINGS.values() for character in meanings}
    assert characters == set(LABELS) | set("CKOPSVWXZ∨")
