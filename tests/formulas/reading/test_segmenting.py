"""Pieces of ink become symbols as the nets say, and no ink is lost."""

import numpy as np
import pytest

from steepest.formulas.image import Box, Part, make_page, read_page
from steepest.formulas.image.boxes import joined_box, overlap
from steepest.formulas.image.touching import find_cuts
from steepest.formulas.reading import read_formulas
from steepest.formulas.reading.fitting import fit_seams, page_examples
from steepest.formulas.reading.lines import read_best
from steepest.formulas.reading.results import ReadSymbol
from steepest.formulas.reading.seams import Net, Seams, Writing, load_seams
from steepest.formulas.reading.segmenting import Decision, Segmenter, is_near
from tests.formulas.image.drawing import drawn
from tests.formulas.reading.recognising import Nearest

IMAGES, LABELS = drawn()
WRITING = Writing(40.0, 40.0, 0.0)


def bar(x, y, width, height):
    return Part(Box(x, y, width, height), np.ones((height, width), dtype=bool))


def saying(inputs, logit):
    """A net that says the same of everything."""
    return Net(np.zeros(inputs), np.ones(inputs), ((np.zeros((1, inputs)), np.array([float(logit)])),))


def seams(pair=-1, more=-9, cut=-9, place=0):
    return Seams(saying(37, pair), saying(9, more), saying(30, cut), saying(11, place), load_seams().junction)


DUMBBELL = Part(Box(0, 0, 50, 40), np.pad(np.ones((4, 14), dtype=bool), ((18, 18), (18, 18))))
DUMBBELL.ink[:, :18] = DUMBBELL.ink[:, 32:] = True


def test_pieces_are_joined_where_the_net_says_so_and_only_near_ones():
    parts = [bar(0, 0, 4, 40), bar(7, 0, 4, 40), bar(60, 0, 4, 40)]
    assert [part.box for part in Segmenter(Nearest(), seams()).segment(parts, WRITING).parts] == [p.box for p in parts]
    joined = Segmenter(Nearest(), seams(pair=1)).segment(parts, WRITING).parts
    assert [part.box for part in joined] == [Box(0, 0, 11, 40), Box(60, 0, 4, 40)]


def test_a_piece_is_cut_where_the_net_says_so_and_its_halves_stay_apart():
    whole = Segmenter(Nearest(), seams(more=9)).segment([DUMBBELL], WRITING).parts
    assert [part.box for part in whole] == [DUMBBELL.box]
    unsure = Segmenter(Nearest(), seams(cut=1)).segment([DUMBBELL], WRITING).parts
    assert len(unsure) == 1
    halves = Segmenter(Nearest(), seams(pair=1, more=9, cut=1)).segment([DUMBBELL], WRITING).parts
    assert len(halves) >= 2
    assert joined_box(part.box for part in halves) == DUMBBELL.box
    assert sum(int(part.ink.sum()) for part in halves) >= 0.9 * DUMBBELL.ink.sum()


def test_a_decision_can_be_changed():
    parts = [bar(0, 0, 4, 40), bar(7, 0, 4, 40)]
    for logit, count in ((1, 1), (-1, 2)):
        segmenter = Segmenter(Nearest(), seams(pair=logit))
        found = segmenter.segment(parts, WRITING)
        (decision,) = found.decisions
        assert (len(found.parts), decision.logit) == (count, logit)
        assert len(segmenter.segment(parts, WRITING, [decision.about]).parts) == 3 - count
    segmenter = Segmenter(Nearest(), seams(more=9, cut=-9))
    (decision,) = segmenter.segment([DUMBBELL], WRITING).decisions
    assert len(segmenter.segment([DUMBBELL], WRITING, [decision.about]).parts) == 2
    assert decision.logit < 0


def test_large_and_far_pieces_are_no_pair():
    assert is_near(bar(0, 0, 10, 40), bar(12, 0, 10, 40), 40)
    assert not is_near(bar(0, 0, 10, 40), bar(20, 0, 10, 40), 40)
    assert not is_near(bar(0, 0, 60, 40), bar(61, 0, 10, 40), 40)


def test_slanted_symbols_are_cut_between_them():
    left, right = np.zeros((2, 40, 60), dtype=bool)
    for row in range(40):
        left[row, 30 - row // 2 : 35 - row // 2] = right[row, 41 - row // 2 : 46 - row // 2] = True
    touching = np.zeros((40, 60), dtype=bool)
    touching[20, 20:32] = True
    cuts = find_cuts(Part(Box(5, 7, 60, 40), left | right | touching), 40)
    assert [cut.crossed for cut in cuts] == sorted(cut.crossed for cut in cuts)

    def shares(half):
        ink = np.zeros((40, 60), dtype=bool)
        x, y = half.box.x - 5, half.box.y - 7
        ink[y : y + half.box.height, x : x + half.box.width] = half.ink
        return (ink & left).sum() / left.sum(), (ink & right).sum() / right.sum()

    assert any(min(shares(cut.left)[0], shares(cut.right)[1]) > 0.95 for cut in cuts)


def test_nothing_asks_the_recogniser_twice():
    recognizer = Nearest()
    segmenter = Segmenter(recognizer, seams(pair=-1))
    parts = [bar(0, 0, 4, 40), bar(7, 0, 4, 40)]
    segmenter.segment(parts, WRITING)
    asked = recognizer.asked
    assert asked == 3
    segmenter.segment(parts, WRITING)
    assert recognizer.asked == asked


@pytest.mark.parametrize("seed", range(4))
def test_broken_symbols_and_such_that_touch_are_found(seed):
    made = make_page(IMAGES, LABELS, seed, texts=["HT→x∃HT", "¬∃xTH="], broken=0.2, touching=0.1)
    found = [symbol.box for line in read_formulas(made.image, Nearest()).lines for symbol in line.symbols]
    truth = [placed.box for line in made.lines for placed in line]
    hit = sum(any(overlap(box, other) >= 0.8 for other in found) for box in truth)
    plain = [symbol.box for line in read_page(made.image).lines for symbol in line]
    assert hit >= len(truth) - 1
    assert hit >= sum(any(overlap(box, other) >= 0.8 for other in plain) for box in truth)


def test_nets_are_the_same_from_json():
    first = load_seams()
    again = Seams.from_json(first.to_json())
    rng = np.random.default_rng(0)
    for a, b, inputs in (
        (first.pair, again.pair, 37),
        (first.more, again.more, 9),
        (first.cut, again.cut, 30),
        (first.place, again.place, 11),
    ):
        x = rng.normal(size=(5, inputs))
        np.testing.assert_array_equal(a(x), b(x))
        assert a(x).shape == (5,)


@pytest.mark.slow
def test_fitted_nets_tell_what_they_have_learnt():
    recognizer = Nearest()
    fitted = fit_seams(IMAGES, LABELS, recognizer, pages=1, seed=1)
    (inputs, same), (wholes, several), _, _ = page_examples(IMAGES, LABELS, recognizer, fitted.junction, 1_000_000)
    assert 0 < same.sum() < len(same)
    assert ((fitted.pair(inputs) > 0) == same).mean() > 0.97
    assert ((fitted.more(wholes) > 0) == several).mean() > 0.9
    again = fit_seams(IMAGES, LABELS, recognizer, pages=1, seed=1)
    assert again.to_json() == fitted.to_json()


def symbol(sign):
    return ReadSymbol(Box(0, 0, 9, 9), np.ones((28, 28), dtype=np.uint8), 1.0, 0.0, ((sign, 1.0),))


@pytest.mark.parametrize(("logit", "text"), [(1.0, "P"), (30.0, "1A")])
def test_the_grammar_chooses_between_segmentations_that_are_both_likely(logit, text):
    line = [symbol("1"), symbol("A")]
    asked = []

    def other(changed):
        asked.append(changed)
        return [symbol("p")]

    assert read_best(line, [Decision(("cut", 1), logit)], other, False).text == text
    assert asked == ([[("cut", 1)]] if logit < 4 else [])


def test_a_formula_that_loses_little_is_not_segmented_otherwise():
    unsure = ReadSymbol(Box(0, 0, 9, 9), np.ones((28, 28), dtype=np.uint8), 1.0, 0.0, (("1", 0.55), ("A", 0.45)))
    assert read_best([unsure], [Decision(("cut", 1), 0.1)], pytest.fail, False).text == "A"
