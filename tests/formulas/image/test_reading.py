"""Pages that are made are taken apart as they were put together."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.formulas.image import Box, Part, find_lines, join_parts, make_page, read_page, reading_order
from steepest.formulas.image.boxes import overlap
from steepest.formulas.image.parts import is_continued
from steepest.formulas.image.symbols import cut_symbol
from steepest.formulas.image.touching import split_parts
from tests.formulas.image.drawing import drawn

IMAGES, LABELS = drawn()


def ink_of(label, size=40):
    large = cv2.resize(IMAGES[LABELS.index(label)], (size, size), interpolation=cv2.INTER_NEAREST) > 0
    rows, columns = np.flatnonzero(large.any(axis=1)), np.flatnonzero(large.any(axis=0))
    return large[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def part(ink, x, y):
    return Part(Box(x, y, ink.shape[1], ink.shape[0]), ink)


@pytest.mark.parametrize("seed", range(6))
def test_a_page_is_read_as_it_was_written(seed):
    made = make_page(IMAGES, LABELS, seed, lines=(1, 4), symbols=(3, 12), broken=0, touching=0)
    page = read_page(made.image)
    assert [len(line) for line in page.lines] == [len(line) for line in made.lines]
    for found, truth in zip(page.lines, made.lines, strict=True):
        assert all(overlap(s.box, placed.box) >= 0.8 for s, placed in zip(found, truth, strict=True))


def test_the_boxes_of_a_large_picture_are_its_own_pixels():
    made = make_page(IMAGES, LABELS, 3, texts=["HTx=i"], broken=0, touching=0)
    factor = math.ceil(2700 / max(made.image.shape))
    page = read_page(cv2.resize(made.image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC))
    for symbol, placed in zip(page.lines[0], made.lines[0], strict=True):
        assert overlap(symbol.box, Box(*(factor * value for value in placed.box))) >= 0.75


def test_height_and_baseline_tell_a_comma_from_a_capital():
    made = make_page(IMAGES, LABELS, 5, texts=["HT,HH,→HT"], broken=0, touching=0)
    symbols = read_page(made.image).lines[0]
    capitals, commas, arrow = [symbols[k] for k in (0, 1, 3, 4, 7, 8)], [symbols[2], symbols[5]], symbols[6]
    assert all(0.8 < s.relative_height < 1.2 and abs(s.baseline) < 0.35 for s in capitals)
    assert all(s.relative_height < 0.5 and s.baseline < 0.1 for s in commas)
    assert arrow.baseline > 0.05


@pytest.mark.parametrize("image", [np.full((200, 300), 230, dtype=np.uint8), np.zeros((40, 50, 3), dtype=np.uint8)])
def test_nothing_is_read_from_an_empty_page(image):
    assert read_page(image).lines == []


def test_every_step_leaves_a_picture(tmp_path):
    read_page(make_page(IMAGES, LABELS, 0, texts=["HT"]).image, debug=tmp_path / "steps")
    names = sorted(file.name for file in (tmp_path / "steps").iterdir())
    assert [name[3:-4] for name in names] == [
        "grey",
        "paper",
        "ink",
        "text-area",
        "parts",
        "lines",
        "symbols",
    ]
    assert all(cv2.imread(str(tmp_path / "steps" / name)).ndim == 3 for name in names)


def test_slanted_lines_that_overlap_in_rows_are_apart():
    slope = math.tan(math.radians(5))
    boxes = [Box(x, round(row + slope * x), 20, 30) for row in (0, 36, 72) for x in range(0, 900, 30)]
    assert [line.members for line in find_lines(boxes)] == [[*range(30)], [*range(30, 60)], [*range(60, 90)]]


def test_no_boxes_are_no_lines():
    assert find_lines([]) == []
    assert reading_order([]) == []


@pytest.mark.parametrize(("label", "pieces"), [("=", 2), ("i", 2)])
def test_parts_above_each_other_are_one_symbol(label, pieces):
    whole = ink_of(label)
    count, labels = cv2.connectedComponents(whole.astype(np.uint8))
    parts = []
    for k in range(1, count):
        rows, columns = np.nonzero(labels == k)
        box = Box(columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
        parts.append(Part(box, (labels == k)[box.y : box.bottom, box.x : box.right]))
    assert len(parts) == pieces
    beside = part(ink_of("H"), whole.shape[1] + 4, 0)
    joined = join_parts([*parts, beside], 40)
    assert [p.box for p in joined] == [Box(0, 0, whole.shape[1], whole.shape[0]), beside.box]


def test_a_broken_arrow_is_joined_and_a_dash_before_a_letter_is_not():
    arrow = ink_of("→")
    left, right = part(arrow[8:15, :15], 0, 8), part(arrow[:, 17:], 17, 0)
    assert is_continued(left, right, 40)
    assert len(join_parts([left, right], 40)) == 1
    dash, letter = part(np.ones((5, 18), dtype=bool), 0, 17), part(ink_of("H"), 20, 0)
    assert len(join_parts([dash, letter], 40)) == 2


def test_what_is_too_wide_for_one_symbol_is_cut_where_it_is_thin():
    left, right = ink_of("H"), ink_of("∃")
    both = np.zeros((44, left.shape[1] + right.shape[1] - 1), dtype=bool)
    both[: left.shape[0], : left.shape[1]] |= left
    both[2 : right.shape[0] + 2, left.shape[1] - 1 :] |= right
    both[:, left.shape[1] - 2 : left.shape[1] + 1] &= False
    both[19:22, left.shape[1] - 4 : left.shape[1] + 3] = True
    found = split_parts([part(both, 5, 7)], 38)
    assert len(found) == 2
    assert abs(found[0].box.right - 5 - left.shape[1]) <= 4


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1), st.floats(0.02, 1))
def test_a_cut_symbol_fits_and_fills_its_square(height, width, seed, share):
    ink = np.random.default_rng(seed).random((height, width)) < share
    ink[seed % height, seed % width] = True
    bitmap = cut_symbol(ink)
    assert bitmap.shape == (28, 28)
    assert bitmap.dtype == np.uint8
    assert set(np.unique(bitmap)) <= {0, 1}
    assert bitmap.any()
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    tall, broad = np.ptp(rows) + 1, np.ptp(columns) + 1
    factor = 28 / max(tall, broad)
    room = [(28 - max(round(side * factor), 1)) // 2 for side in (tall, broad)]
    inside = bitmap[room[0] : 28 - room[0], room[1] : 28 - room[1]]
    assert inside.sum() == bitmap.sum()


@pytest.mark.parametrize("ink", [np.zeros((5, 5), dtype=bool), np.zeros((0, 5), dtype=bool)])
def test_no_ink_is_no_symbol(ink):
    with pytest.raises(ValueError, match=r"ink must be of shape \(H, W\) with some pixel set"):
        cut_symbol(ink)
