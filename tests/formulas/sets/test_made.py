"""Symbols that are made."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.formulas.logic import LABELS
from steepest.formulas.sets.made import find_fonts, make_symbols, read_designs
from steepest.formulas.sets.made.curves import draw_curve
from steepest.formulas.sets.made.designs import read_design
from steepest.formulas.sets.made.fonts import characters_of, ink_character
from steepest.formulas.sets.made.hands import write_design
from steepest.formulas.sets.made.pens import ink_strokes


@pytest.fixture(scope="module", name="fonts")
def fonts_here() -> tuple[Path, ...]:
    found = find_fonts()
    if not found:
        pytest.skip("DejaVu is not installed")
    return found


def test_every_class_has_designs_and_most_have_several() -> None:
    designs = read_designs()
    assert set(designs) == set(LABELS)
    assert all(len(of_label) >= 3 for of_label in designs.values())
    assert all(design.weight > 0 for of_label in designs.values() for design in of_label)


def test_a_design_is_read_with_its_corners_and_what_may_be_left_out() -> None:
    design = read_design("7 0.5 2 0,10 60,0! 20,100 | ?15,50 60,50")
    assert (design.label, design.weight) == ("7", 2.0)
    first, second = design.strokes
    np.testing.assert_allclose(first.points, [[0, 0.05], [0.3, 0], [0.1, 0.5]])
    assert first.corners.tolist() == [False, True, False]
    assert (first.optional, second.optional) == (False, True)


@pytest.mark.parametrize("line", ["a 1 1 0,0", "a 1 1 0,0 5", "a 1 0,0 5,5", "a x 1 0,0 5,5", "a 1 1 0,0 5,5 |", ""])
def test_a_line_that_is_no_design_is_refused_in_a_sentence(line: str) -> None:
    with pytest.raises(ValueError, match=r"line must be a label, a height, a weight and strokes as .*, got "):
        read_design(line)


def test_a_corner_is_sharp_and_another_point_is_not() -> None:
    points = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    straight = draw_curve(points, np.array([False, True, False]))
    np.testing.assert_allclose(straight[:, 1], 1 - abs(1 - straight[:, 0]), atol=1e-12)
    smooth = draw_curve(points, np.array([False, False, False]))
    assert (smooth[1:10, 1] > smooth[1:10, 0]).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=8), st.data())
def test_a_curve_goes_through_all_of_its_points(points: list[tuple[float, float]], data: st.DataObject) -> None:
    corners = np.array(data.draw(st.lists(st.booleans(), min_size=len(points), max_size=len(points))))
    curve = draw_curve(np.array(points), corners)
    np.testing.assert_allclose(curve[::10], np.array(points), atol=1e-9)


def test_the_same_seed_makes_the_same_symbols_and_another_makes_others() -> None:
    first, second, other = (make_symbols(2, seed) for seed in (5, 5, 6))
    assert first.labels == tuple(label for label in LABELS for _ in range(2))
    np.testing.assert_array_equal(first.images, second.images)
    assert (first.images != other.images).any(axis=(1, 2)).mean() > 0.95


def test_a_class_is_made_alike_whatever_other_classes_are_asked_for() -> None:
    few = make_symbols(3, 1, labels="∃7")
    many = make_symbols(3, 1, labels="a7∃")
    np.testing.assert_array_equal(few.images[3:], many.images[3:6])
    np.testing.assert_array_equal(few.images[:3], many.images[6:])


def test_each_symbol_fills_its_square_as_a_symbol_that_was_cut_does() -> None:
    made = make_symbols(3, 2)
    spans = [[np.ptp(np.flatnonzero(image.any(axis=axis))) + 1 for axis in (0, 1)] for image in made.images]
    assert min(max(span) for span in spans) >= 26
    assert made.images.max() == 1
    assert made.images.mean(axis=(1, 2)).min() > 0.01


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(LABELS), st.integers(0, 2**32), st.data())
def test_any_hand_writes_any_design_with_finite_strokes_and_some_ink(
    label: str, seed: int, data: st.DataObject
) -> None:
    design = data.draw(st.sampled_from(read_designs()[label]))
    rng = np.random.default_rng(seed)
    strokes = write_design(design, rng)
    assert strokes
    assert all(len(stroke) > 1 and np.isfinite(stroke).all() for stroke in strokes)
    assert ink_strokes(strokes, rng).any()


def test_no_two_symbols_of_one_hand_are_alike() -> None:
    images = make_symbols(40, 3, labels="b").images.reshape(40, -1)
    assert len(np.unique(images, axis=0)) == 40


def test_designs_of_greater_weight_are_taken_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    flat, steep = read_design("- 1 9 0,0 100,0"), read_design("- 1 1 0,0 0,100")
    monkeypatch.setattr("steepest.formulas.sets.made.symbols.read_designs", lambda: {"-": (flat, steep)})
    images = make_symbols(100, 0, labels="-").images
    wide = [np.flatnonzero(image.any(axis=0)).size > np.flatnonzero(image.any(axis=1)).size for image in images]
    assert 82 <= sum(wide) <= 97


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_symbols(0, 0), "count must be at least 1, got 0"),
        (lambda: make_symbols(1, -1), "seed must be at least 0, got -1"),
        (lambda: make_symbols(1, 0, labels="aC"), r"labels must be of steepest.formulas.logic.LABELS, got 'C'"),
        (lambda: make_symbols(1, 0, printed=2), "printed must be from 0 to 1, got 2"),
    ],
)
def test_what_cannot_be_made_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_the_share_of_print_is_as_asked_and_none_without_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steepest.formulas.sets.made.symbols.ink_character", lambda *_: np.ones((9, 9), dtype=bool))
    fonts = (Path("a.ttf"),)
    shares = [make_symbols(200, 4, labels="g", fonts=fonts, printed=p).images.all(axis=(1, 2)).mean() for p in (0.3, 1)]
    assert 0.2 < shares[0] < 0.4
    assert shares[1] == 1
    assert not make_symbols(50, 4, labels="g", printed=1).images.all(axis=(1, 2)).any()


def test_bent_print_differs_from_symbol_to_symbol(fonts: tuple[Path, ...]) -> None:
    images = make_symbols(60, 4, labels="g", fonts=fonts, printed=1).images
    assert len({image.tobytes() for image in images}) == 60


def test_both_cases_are_printed_where_a_class_is_both() -> None:
    assert [characters_of(label) for label in "cGv∀"] == ["cC", "G", "vV∨", "∀"]


def test_every_class_is_in_some_font_and_what_is_in_none_is_left_to_hands(fonts: tuple[Path, ...]) -> None:
    rng = np.random.default_rng(0)
    for label in LABELS:
        assert any(ink_character(label, fonts[:1], rng) is not None for _ in range(3)), label
    assert ink_character("\ue123", fonts[:1], rng) is None
