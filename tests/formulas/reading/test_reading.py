"""Pages that are made are read as they were written, and again after a correction."""

import dataclasses
import json

import numpy as np
import pytest

from steepest.formulas.image import Box, Symbol, make_page
from steepest.formulas.reading import ReadSymbol, make_fragments, read_formulas, read_json, read_symbols
from steepest.formulas.reading.reading import weigh
from steepest.formulas.reading.sizes import case_shares, size_shares
from tests.formulas.image.drawing import drawn
from tests.formulas.reading.recognising import Nearest

IMAGES, LABELS = drawn()


def symbol(*alternatives, height=1.0, baseline=0.0):
    bitmap = np.zeros((28, 28), dtype=np.uint8)
    bitmap[:, 10:14] = 1
    return ReadSymbol(Box(3, 4, 20, 40), bitmap, height, baseline, alternatives)


def certain(text):
    return [symbol((sign, 1.0)) for sign in text]


@pytest.mark.parametrize("seed", range(4))
def test_a_page_is_read_as_it_was_written(seed):
    made = make_page(IMAGES, LABELS, seed, texts=["H→T=", "¬∃xT,"], broken=0, touching=0)
    found = read_formulas(made.image, Nearest(), grammar=False)
    assert found.text == "H→T=\n¬∃xT,"
    assert [line.tree for line in found.lines] == [None, None]


def test_a_formula_has_its_tree_and_another_line_its_misfit():
    made = make_page(IMAGES, LABELS, 1, texts=["∃x¬T", "H→→T"], broken=0, touching=0)
    first, second = read_formulas(made.image, Nearest(sharpness=300)).lines
    assert (first.text, first.misfit) == ("∃x¬T", None)
    assert first.tree is not None
    assert (second.tree, second.misfit) == (None, 2)
    assert [s.choice.character for s in second.symbols] == list(second.text)


def test_a_recogniser_that_does_not_know_none_reads_too():
    made = make_page(IMAGES, LABELS, 1, texts=["∃x¬T"], broken=0, touching=0)
    assert read_formulas(made.image, Nearest(knows_none=False)).text == "∃x¬T"


def test_an_empty_page_says_nothing():
    found = read_formulas(np.full((200, 300), 230, dtype=np.uint8), Nearest())
    assert (found.lines, found.text, json.loads(found.to_json())) == ((), "", {"lines": []})


def test_a_correction_changes_what_the_others_are_read_as():
    first = read_symbols([[symbol(("p", 0.9)), symbol(("c", 0.6), ("(", 0.4)), *certain("x)")]]).lines[0]
    assert first.text == "P(x)"
    corrected = [*first.symbols[:1], first.symbols[1].as_character("v"), *first.symbols[2:]]
    assert read_symbols([corrected]).lines[0].misfit == 1
    assert read_symbols([corrected], grammar=False).text == "pvX)"


@pytest.mark.parametrize("character", ["v", "V", "∨"])
def test_a_corrected_symbol_is_that_character_alone(character):
    line = [*certain("A"), symbol(("x", 1.0)).as_character(character), *certain("B")]
    plain = read_symbols([line], grammar=False).lines[0]
    assert plain.text == f"A{character}B"
    assert plain.symbols[1].choice.label == "v"
    assert (read_symbols([line]).lines[0].tree is not None) == (character == "∨")


def test_what_no_class_is_cannot_be_a_correction():
    with pytest.raises(ValueError, match="character must be one that symbols can be, got '!'"):
        symbol(("x", 1.0)).as_character("!")


def test_a_line_longer_than_the_grammar_takes_is_read_without():
    line = read_symbols([certain("B" * 301)]).lines[0]
    assert (line.text, line.tree, line.misfit) == ("B" * 301, None, None)


def test_height_chooses_between_cases_where_nothing_else_does():
    for height, text in ((0.6, "o"), (1.0, "O")):
        assert read_symbols([[symbol(("o", 1.0), height=height)]], grammar=False).text == text
    shares = case_shares(0.6)
    assert min(shares.values()) >= 0.5
    assert shares["k"] == shares["K"] == 1


def test_sizes_tell_a_comma_from_a_bracket_and_never_decide_alone():
    comma, bracket, odd = [0.15, 0.35, -0.2], [0.3, 1.15, -0.15], [3.0, 0.01, 3.0]
    shares = size_shares([",", ")"], np.array([comma, bracket, odd]))
    assert shares[0, 0] > 5 * shares[0, 1]
    assert shares[1, 1] > 5 * shares[1, 0]
    assert shares.min() == shares[2].max() == 0.05


def test_of_what_the_recogniser_cannot_tell_apart_the_size_tells():
    class Undecided:
        labels = (",", ")")

        def probabilities(self, bitmaps):
            return np.full((len(bitmaps), 2), 0.5)

    bitmap = np.ones((28, 28), dtype=np.uint8)
    small, tall = Symbol(Box(0, 0, 5, 12), bitmap, 0.3, -0.15), Symbol(Box(9, 0, 14, 46), bitmap, 1.15, -0.15)
    ((comma, bracket),) = weigh([[small, tall]], Undecided())
    assert (comma.alternatives[0][0], bracket.alternatives[0][0]) == (",", ")")
    assert comma.alternatives[0][1] + comma.alternatives[1][1] == pytest.approx(1)


def test_json_gives_the_same_symbols_back():
    made = make_page(IMAGES, LABELS, 2, texts=["∃x¬T", "=i"], broken=0, touching=0)
    found = read_formulas(made.image, Nearest())
    corrected = dataclasses.replace(
        found, lines=(read_symbols([[found.lines[0].symbols[0].as_character("∀"), *found.lines[0].symbols[1:]]]).lines)
    )
    for formulas in (found, corrected):
        back = read_json(formulas.to_json())
        again = read_symbols(back)
        assert again.text == formulas.text
        for line, lines in zip(formulas.lines, again.lines, strict=True):
            assert [s.box for s in line.symbols] == [s.box for s in lines.symbols]
            assert [s.corrected for s in line.symbols] == [s.corrected for s in lines.symbols]
            assert all((a.bitmap == b.bitmap).all() for a, b in zip(line.symbols, lines.symbols, strict=True))
    written = json.loads(found.to_json())["lines"][0]["symbols"][0]
    assert written["label"] == "∃"
    assert len(written["alternatives"]) == 5
    assert sum(p for _, p in written["alternatives"]) <= 1.0001


@pytest.mark.parametrize(
    "change",
    [
        {"box": [1, 2, 0, 4]},
        {"box": [1, 2]},
        {"bitmap": "00"},
        {"bitmap": "zz"},
        {"alternatives": [["!", 1.0]]},
        {"alternatives": []},
        {"alternatives": [["x", 2.0]]},
        {"baseline": float("nan")},
        {"corrected": True, "character": "!"},
    ],
)
def test_json_that_is_none_of_ours_is_one_sentence(change):
    whole = json.loads(read_symbols([certain("x")]).to_json())
    whole["lines"][0]["symbols"][0].update(change)
    with pytest.raises(ValueError, match="text must be JSON as to_json writes it"):
        read_json(json.dumps(whole))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lines": 3}', "[" * 100_000])
def test_text_that_is_no_json_is_one_sentence(text):
    with pytest.raises(ValueError, match="text must be JSON as to_json writes it"):
        read_json(text)


def test_a_recogniser_of_other_labels_is_one_sentence():
    strange = Nearest()
    strange.labels = ("x", "!", *strange.labels[2:])
    image = make_page(IMAGES, LABELS, 2, texts=["Hx"]).image
    with pytest.raises(ValueError, match="recognizer must have labels of"):
        read_formulas(image, strange)


def test_fragments_are_the_same_for_a_seed_and_no_whole_symbols():
    a, b, c = (make_fragments(IMAGES, LABELS, 40, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert a.dtype == np.uint8
    assert a.any(axis=(1, 2)).all()
    whole = Nearest(sharpness=60).probabilities(a)[:, -1]
    assert np.mean(whole > 0.5) > 0.25


@pytest.mark.parametrize(
    ("images", "labels", "count"), [(IMAGES[:0], [], 1), (IMAGES, LABELS[:2], 1), (IMAGES, LABELS, -1)]
)
def test_fragments_of_nothing_are_one_sentence(images, labels, count):
    with pytest.raises(ValueError, match="must be"):
        make_fragments(images, labels, count, 0)
