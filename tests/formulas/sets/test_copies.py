"""Copies of a symbol stay together, turned ones too; parts of a set share none."""

import cv2
import numpy as np
import pytest

from steepest._errors import InputError
from steepest.formulas.image import cut_symbol
from steepest.formulas.sets import SymbolSet, folds, group_copies, hold_out_symbols
from tests.formulas.sets.drawn import drawn_set


def scribble(rng: np.random.Generator) -> np.ndarray:
    """Ink (200, 200) of a line through five random points."""
    ink = np.zeros((200, 200), dtype=np.uint8)
    cv2.polylines(ink, [rng.integers(50, 150, (5, 2)).astype(np.int32)], False, 1, 8)
    return ink


def turned(ink: np.ndarray, degrees: float) -> np.ndarray:
    return cv2.warpAffine(ink, cv2.getRotationMatrix2D((100, 100), degrees, 1), (200, 200), flags=cv2.INTER_NEAREST)


def scribbles(count: int, degrees: tuple[float, ...] = (0, 4, -6)) -> np.ndarray:
    """(count * len(degrees), 28, 28): of each scribble its turned copies one after the other."""
    rng = np.random.default_rng(0)
    drawn = [scribble(rng) for _ in range(count)]
    return np.stack([cut_symbol(turned(ink, d) > 0) for ink in drawn for d in degrees])


def test_turned_copies_are_one_group_and_different_symbols_are_not():
    groups = group_copies(scribbles(40)).reshape(40, 3)
    assert (groups == groups[:, :1]).all(axis=1).mean() >= 0.95
    assert len(set(groups[:, 0].tolist())) >= 38


def test_groups_do_not_depend_on_how_many_are_looked_at_together():
    images = scribbles(60, (0, 3))
    mixed = np.random.default_rng(1).permutation(len(images))
    groups = group_copies(images[mixed])
    assert groups.max() + 1 <= 64  # 60, and the few that are not found
    assert [np.flatnonzero(groups == k)[0] for k in range(groups.max() + 1)] == sorted(
        np.flatnonzero(groups == k)[0] for k in range(groups.max() + 1)
    )


def test_a_fold_shares_no_copies_with_another_and_all_have_every_class():
    images = scribbles(60)
    symbols = SymbolSet(images, tuple("ab"[k // 3 % 2] for k in range(len(images))))
    found = folds(symbols, 5, seed=3)
    groups = group_copies(images)
    for k in range(groups.max() + 1):
        its = found[groups == k]
        of = {symbols.labels[i] for i in np.flatnonzero(groups == k)}
        assert len(set(its.tolist())) <= len(of)
    for fold in range(5):
        counts = symbols.some(np.flatnonzero(found == fold)).counts()
        assert all(12 <= counts[label] <= 24 for label in "ab")
    assert np.array_equal(found, folds(symbols, 5, seed=3))
    assert not np.array_equal(found, folds(symbols, 5, seed=4))


def test_what_is_held_out_has_no_copy_in_the_rest():
    images = scribbles(60)
    symbols = SymbolSet(images, ("a",) * len(images))
    rest, out = hold_out_symbols(symbols, 0.1)
    assert sorted([*rest, *out]) == list(range(len(images)))
    assert 14 <= len(out) <= 20
    groups = group_copies(images)
    assert not set(groups[rest].tolist()) & set(groups[out].tolist())


def test_a_class_of_copies_alone_is_trained_on():
    one, other = drawn_set(1, labels="L"), drawn_set(3, labels="∀")
    _, out = hold_out_symbols(one + one + one + other, 0.3)
    assert [i for i in out if i < 3] == []
    assert len(out) == 1
    with pytest.raises(InputError, match="no copies of each other"):
        hold_out_symbols(one + one, 0.3)


@pytest.mark.parametrize("count", [1, 4, 2.0, True])
def test_folds_are_at_least_two_and_at_most_as_many_as_there_are_symbols(count):
    with pytest.raises(ValueError, match="count must be"):
        folds(drawn_set(1, labels="L+<"), count)
