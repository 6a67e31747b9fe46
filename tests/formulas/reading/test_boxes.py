"""Boxes that a user sets right are read as they are."""

import cv2
import numpy as np
import pytest

from steepest.formulas.image import Box, make_page
from steepest.formulas.reading import read_boxes
from tests.formulas.image.drawing import drawn
from tests.formulas.reading.recognising import Nearest

IMAGES, LABELS = drawn()


def test_true_boxes_are_read_as_they_were_written_though_ink_touches():
    made = make_page(IMAGES, LABELS, 3, texts=["HT→x∃HT", "¬∃xTH="], broken=0.3, touching=0.3)
    found = read_boxes(made.image, [[placed.box for placed in line] for line in made.lines], Nearest(), grammar=False)
    assert found.text == "HT→x∃HT\n¬∃xTH="
    assert [len(line.symbols) for line in found.lines] == [7, 6]


def test_boxes_of_a_large_picture_are_in_its_own_pixels():
    made = make_page(IMAGES, LABELS, 3, texts=["HTx"], broken=0, touching=0)
    factor = int(np.ceil(2700 / max(made.image.shape)))
    large = cv2.resize(made.image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    boxes = [Box(*(factor * value for value in placed.box)) for placed in made.lines[0]]
    line = read_boxes(large, [boxes], Nearest(), grammar=False).lines[0]
    assert line.text == "HTx"
    assert all(abs(s.box.x - box.x) <= 2 * factor for s, box in zip(line.symbols, boxes, strict=True))


def page(*bars):
    image = np.full((120, 200), 240, dtype=np.uint8)
    for x, y, width, height in bars:
        image[y : y + height, x : x + width] = 20
    return image


def test_a_split_box_is_two_symbols_and_a_merged_one_is_one():
    image = page((40, 40, 60, 6))
    whole, left, right = Box(38, 30, 64, 30), Box(38, 30, 32, 30), Box(70, 30, 32, 30)
    assert len(read_boxes(image, [[whole]], Nearest(), grammar=False).lines[0].symbols) == 1
    first, second = read_boxes(image, [[left, right]], Nearest(), grammar=False).lines[0].symbols
    assert first.box.right == second.box.x == 70
    bars = page((40, 40, 40, 6), (40, 60, 40, 6))
    (equal,) = read_boxes(bars, [[Box(38, 30, 44, 50)]], Nearest(), grammar=False).lines[0].symbols
    assert equal.choice.label == "="


def test_ink_in_two_boxes_belongs_to_the_one_that_has_most_of_it():
    image = page((40, 30, 6, 60), (60, 30, 6, 60))
    boxes = [Box(58, 25, 12, 70), Box(35, 25, 28, 70)]
    first, second = read_boxes(image, [boxes], Nearest(), grammar=False).lines[0].symbols
    assert abs(first.box.width - 6) <= 2
    assert abs(second.box.width - 6) <= 2


@pytest.mark.parametrize("box", [Box(0, 0, 20, 20), Box(500, 500, 9, 9), Box(-50, -50, 9, 9)])
def test_a_box_without_ink_is_one_sentence(box):
    with pytest.raises(ValueError, match="lines must hold boxes with ink of their own"):
        read_boxes(page((40, 30, 6, 60)), [[box]], Nearest())


def test_no_boxes_say_nothing():
    assert read_boxes(page((40, 30, 6, 60)), [], Nearest()).lines == ()
