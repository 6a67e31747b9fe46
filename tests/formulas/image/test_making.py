"""Pages that are made say truly what is on them."""

import itertools

import cv2
import numpy as np
import pytest

from steepest.formulas.image import make_page
from steepest.formulas.image.making import break_stroke, meet, scaled
from tests.formulas.image.drawing import drawn

IMAGES, LABELS = drawn()


def test_a_seed_gives_one_page_and_another_gives_another():
    a, b, c = (make_page(IMAGES, LABELS, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.image, b.image)
    assert a.lines == b.lines
    assert a.image.shape != c.image.shape or (a.image != c.image).any()


def test_the_texts_are_written_in_their_order_and_apart():
    made = make_page(IMAGES, LABELS, 4, texts=["HTx=", "i→∃"], touching=0)
    assert ["".join(placed.label for placed in line) for line in made.lines] == ["HTx=", "i→∃"]
    for line in made.lines:
        assert all(a.box.right < b.box.x for a, b in itertools.pairwise(line))
    height, width = made.image.shape
    boxes = [placed.box for line in made.lines for placed in line]
    assert all(b.x >= 0 and b.y >= 0 and b.right <= width and b.bottom <= height for b in boxes)


def test_boxes_are_around_dark_pixels():
    made = make_page(IMAGES, LABELS, 7, texts=["HTHT"], touching=0, broken=0)
    paper = np.median(made.image)
    for placed in made.lines[0]:
        b = placed.box
        assert made.image[b.y : b.bottom, b.x : b.right].min() < 0.6 * paper


def test_neighbours_touch_where_they_shall():
    made = make_page(IMAGES, LABELS, 0, texts=["HHHHHHHH"], touching=1, broken=0)
    assert made.touching == 7
    (line,) = made.lines
    assert all(a.box.right > b.box.x for a, b in itertools.pairwise(line))


def test_ink_meets_in_one_pixel_and_not_where_no_row_is_shared():
    assert meet(np.ones((5, 4), dtype=bool), np.ones((5, 4), dtype=bool), 0) == 3
    assert meet(np.ones((5, 4), dtype=bool), np.ones((5, 4), dtype=bool), 5) is None


def test_a_stroke_is_broken_into_two():
    rng = np.random.default_rng(0)
    bar = np.ones((5, 40), dtype=bool)
    cut = break_stroke(bar, 50, rng)
    assert cv2.connectedComponents(cut.astype(np.uint8))[0] == 3
    assert 0.7 * bar.sum() < cut.sum() < bar.sum()


def test_sizes_are_those_of_labels():
    rng = np.random.default_rng(0)
    tall, low = (scaled(IMAGES[LABELS.index(x)] > 0, x, 50, 0, rng).shape for x in "H,")
    assert 43 <= tall[0] <= 57
    assert 12 <= low[0] <= 20


@pytest.mark.parametrize(
    ("images", "labels", "texts", "sentence"),
    [
        (IMAGES[:0], [], None, "must be as many, and some, got 0 and 0"),
        (IMAGES, LABELS[:2], None, "must be as many, and some, got 10 and 2"),
        (IMAGES, LABELS, ["HQ"], "texts must hold labels of images only, got 'Q'"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(images, labels, texts, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_page(images, labels, 0, texts=texts)
