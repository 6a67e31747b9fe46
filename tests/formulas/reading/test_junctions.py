"""Cuts as they look from near."""

import json

import numpy as np
import pytest
import torch

from steepest.formulas.image.boxes import Box, Part
from steepest.formulas.image.touching import FINE, Cut, find_cuts
from steepest.formulas.reading.fitting import page_looks
from steepest.formulas.reading.junction_fitting import Looks, _fold, _Network, fit_junctions
from steepest.formulas.reading.junctions import SIDE, Junctions, as_tensors, draw_junctions
from steepest.formulas.reading.seams import cut_layouts, load_seams
from tests.formulas.image.drawing import drawn

IMAGES, LABELS = drawn()


def two_squares(x=0, y=0, side=20):
    """Two squares that touch, and the cut between them."""
    ink = np.ones((side, side), dtype=bool)
    left, right = Part(Box(x, y, side, side), ink), Part(Box(x + side, y, side, side), ink)
    return Part(Box(x, y, 2 * side, side), np.hstack([ink, ink])), Cut(left, right, 0.0)


def test_a_picture_does_not_depend_on_where_on_the_page_a_piece_lies_nor_on_how_large_the_writing_is():
    part, cut = two_squares()
    picture = draw_junctions(part, [cut], 26.0)
    elsewhere, there = two_squares(300, 70)
    np.testing.assert_array_equal(picture, draw_junctions(elsewhere, [there], 26.0))
    part, cut = two_squares(side=60)
    large = draw_junctions(part, [cut], 78.0)
    assert np.abs(picture.astype(float) - large).mean() < 6  # of 255


def test_each_side_is_in_a_picture_of_its_own_about_where_they_meet():
    part, cut = two_squares(side=40)
    left, right = draw_junctions(part, [cut], 26.0)[0] > 200  # the column where they meet is in each by half
    assert left[:, : SIDE // 2 - 1].all()
    assert right[:, SIDE // 2 + 1 :].all()
    assert not (left & right).any()
    apart = Cut(cut.left, Part(cut.right.box.moved(6, 0), cut.right.ink), 0.0)
    wide = Part(Box(0, 0, 86, 40), np.hstack([cut.left.ink, np.zeros((40, 6), dtype=bool), cut.right.ink]))
    left, right = draw_junctions(wide, [apart], 26.0)[0] > 200
    assert abs(np.flatnonzero(left.any(axis=0)).max() + np.flatnonzero(right.any(axis=0)).min() - SIDE) <= 1


def test_what_is_written_is_read_and_says_the_same():
    net = load_seams().junction
    again = Junctions.from_table(json.loads(json.dumps(net.to_table())))
    rng = np.random.default_rng(0)
    pictures, layouts = rng.integers(0, 256, (7, 2, SIDE, SIDE), dtype=np.uint8), rng.normal(size=(7, 11))
    np.testing.assert_array_equal(net(pictures, layouts), again(pictures, layouts))


def test_the_net_that_is_kept_is_the_one_that_was_fitted():
    torch.manual_seed(0)
    network = _Network(11)
    pictures = np.random.default_rng(0).integers(0, 256, (50, 2, SIDE, SIDE), dtype=np.uint8)
    layouts = np.random.default_rng(1).normal(size=(50, 11))
    mean, scale = np.zeros(11), np.full(11, 2.0)
    given = as_tensors(pictures, layouts, mean, scale)
    for _ in range(3):
        network(*given)  # the norms' statistics
    wanted = network.eval()(*given).detach().numpy()
    found = Junctions(mean, scale, _fold(network))(pictures, layouts)
    np.testing.assert_allclose(found, wanted, atol=2e-3)  # weights in 16 bits


@pytest.mark.slow
def test_what_is_fitted_tells_right_cuts_from_wrong_ones_of_pages_that_it_has_not_seen():
    pieces = [piece for seed in range(4) for piece in page_looks(IMAGES, LABELS, seed)]
    net = fit_junctions(pieces, 0)
    assert any(not piece.right.any() for piece in pieces)  # symbols that are whole
    unseen = [piece for seed in (100, 101) for piece in page_looks(IMAGES, LABELS, seed) if piece.right.any()]
    best = [piece.right[net(piece.pictures, piece.layouts).argmax()] for piece in unseen]
    by_chance = np.mean([piece.right.mean() for piece in unseen])
    assert np.mean(best) > by_chance + 0.3
    few = [json.dumps(fit_junctions(pieces[:20], seed).to_table()) for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2]


def test_fitting_leaves_the_generators_of_others_alone_and_needs_no_piece():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    all_right = Looks(np.zeros((2, 2, SIDE, SIDE), dtype=np.uint8), np.zeros((2, 11)), np.ones(2, dtype=bool))
    for pieces in ([], [all_right]):
        net = fit_junctions(pieces, 0)
        assert net(all_right.pictures, all_right.layouts).shape == (2,)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("height", [8.0, 40.0, 200.0])
def test_every_cut_of_a_piece_has_a_picture(height):
    part = Part(Box(5, 9, 60, 40), np.random.default_rng(0).random((40, 60)) < 0.6)
    cuts = find_cuts(part, height, FINE)
    pictures = draw_junctions(part, cuts, height)
    assert pictures.shape == (len(cuts), 2, SIDE, SIDE)
    assert len(load_seams().junction(pictures, cut_layouts(part, cuts, height))) == len(cuts)
