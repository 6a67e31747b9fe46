"""What the nets are told are numbers, whatever the ink."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.formulas.image import Box, Part
from steepest.formulas.image.boxes import box_of, crop
from steepest.formulas.image.touching import find_cuts
from steepest.formulas.reading.seams import cut_layouts, pair_layout


def any_part(seed, x, y, width, height, share):
    ink = np.random.default_rng(seed).random((height, width)) < share
    ink[seed % height, seed % width] = True
    box = box_of(ink)
    return Part(box.moved(x, y), ink[crop(box)])


parts = st.builds(
    any_part,
    st.integers(0, 10**6), st.integers(0, 60), st.integers(0, 60), st.integers(1, 70), st.integers(1, 70),
    st.floats(0.02, 1),
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(parts, parts, st.floats(8, 60))
def test_of_a_pair_they_are_19_and_the_order_does_not_matter(a, b, height):
    layout = pair_layout(a, b, height)
    assert len(layout) == 19
    assert np.isfinite(layout).all()
    if a.ink.sum() != b.ink.sum():
        assert pair_layout(b, a, height) == layout


def test_two_frames_whose_ends_are_long_have_a_layout():
    frame = np.ones((60, 60), dtype=bool)
    frame[2:-2, 2:-2] = False
    inside = np.ones((52, 52), dtype=bool)
    inside[2:-2, 2:-2] = False
    layout = pair_layout(Part(Box(0, 0, 60, 60), frame), Part(Box(4, 4, 52, 52), inside), 50)
    assert np.isfinite(layout).all()


@settings(deadline=None, max_examples=100)
@given(parts, st.floats(8, 60))
def test_of_cuts_they_are_11_and_both_sides_have_ink_of_the_part(part, height):
    cuts = find_cuts(part, height)
    layouts = cut_layouts(part, cuts, height)
    assert layouts.shape == (len(cuts), 11)
    for cut, layout in zip(cuts, layouts, strict=True):
        assert np.isfinite(layout).all()
        for half in (cut.left, cut.right):
            inside = Box(half.box.x - part.box.x, half.box.y - part.box.y, half.box.width, half.box.height)
            assert half.ink.any()
            assert not (half.ink & ~part.ink[crop(inside)]).any()
