"""Ink is found in bad light, on lined paper, and on paper that lies on a desk."""

import cv2
import numpy as np
import pytest

from steepest.formulas.image import binarize, find_paper, find_parts, find_text_area, to_grey
from steepest.formulas.image.ink import find_ruling


def page(ruled=False, shadow=False, seed=0):
    """A page with three strokes of ink, and where they are."""
    ink = np.zeros((300, 400), dtype=bool)
    ink[100:140, 80:86] = ink[100:140, 150:156] = ink[118:123, 220:260] = True
    light = np.full(ink.shape, 230.0)
    if ruled:
        for row in range(20, 300, 50):
            light[row : row + 2] *= 0.5
    light[ink] = 50
    if shadow:
        light *= np.linspace(1, 0.4, 400)
        light *= 1 - 0.3 / (1 + np.exp((180 - np.arange(400)) / 3))
    noise = np.random.default_rng(seed).normal(0, 4, size=ink.shape)
    return np.clip(light + noise, 0, 255).astype(np.uint8), ink


@pytest.mark.parametrize("ruled", [False, True])
@pytest.mark.parametrize("shadow", [False, True])
def test_ink_is_what_is_written(ruled, shadow):
    grey, truth = page(ruled, shadow)
    parts = find_parts(binarize(grey))
    assert len(parts) == 3
    found = np.zeros_like(truth)
    for part in parts:
        found[part.box.y : part.box.bottom, part.box.x : part.box.right] |= part.ink
    assert (found & truth).sum() / (found | truth).sum() > 0.85


def test_ruled_lines_are_found_and_strokes_are_not():
    rows = [row for row, _ in sorted(find_ruling(255 - page(ruled=True)[0]))]
    np.testing.assert_allclose(rows, [20.5, 70.5, 120.5, 170.5, 220.5, 270.5], atol=1.5)
    assert find_ruling(255 - page()[0]) == []


def test_grain_and_the_edge_of_a_shadow_are_no_ink():
    light = np.full((300, 400), 220.0)
    light *= 1 - 0.35 / (1 + np.exp((200 - np.arange(400)) / 6))
    grey = np.clip(light + np.random.default_rng(0).normal(0, 6, size=light.shape), 0, 255).astype(np.uint8)
    assert find_parts(binarize(grey)) == []


def test_the_text_area_leaves_dirt_and_the_rim_out():
    ink = page()[1].copy()
    ink[10:12, 300] = ink[:, 0] = True
    assert find_text_area(ink) == (80, 100, 180, 40)


def test_paper_on_a_desk_is_found_and_the_desk_holds_no_ink():
    grey, _ = page()
    desk = np.full((500, 700), 40, dtype=np.uint8)
    desk[100:400, 150:550] = grey
    desk[30:60, 30:60] = 5
    paper = find_paper(desk)
    assert paper[110:390, 160:540].all()
    assert not paper[:90].any()
    assert not paper[:, :140].any()
    assert len(find_parts(binarize(desk, paper))) == 3


def test_a_shadow_over_half_the_paper_is_paper():
    grey, _ = page()
    grey[:, 200:] = (grey[:, 200:] * 0.65).astype(np.uint8)
    assert find_paper(grey).all()


def test_grey_is_that_of_colours_on_white():
    colour = np.zeros((1, 2, 4), dtype=np.uint8)
    colour[0, 0] = 0, 0, 0, 128
    assert to_grey(colour).tolist() == [[127, 255]]
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(to_grey(np.repeat(grey[:, :, None], 3, axis=2)), grey)
    assert to_grey(grey) is not grey
    assert cv2.cvtColor(np.full((1, 1, 3), 9, dtype=np.uint8), cv2.COLOR_RGB2GRAY)[0, 0] == 9


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((4, 4, 2), dtype=np.uint8), r"must be uint8 of shape .* got uint8 \(4, 4, 2\)"),
        (np.zeros((4, 4)), r"must be uint8 of shape .* got float64 \(4, 4\)"),
        (np.zeros((0, 4), dtype=np.uint8), r"must have pixels, got shape \(0, 4\)"),
    ],
)
def test_what_is_no_picture_is_one_sentence(image, sentence):
    with pytest.raises(ValueError, match=sentence):
        to_grey(image)
