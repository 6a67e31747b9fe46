"""Pictures of what is no symbol: pieces of broken ones, halves, and two that touch, as taking a page apart finds them.

A recogniser that is trained on them, with the label "", tells right boxes from wrong ones.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Box, Mask, Part, box_of, crop, joined_part, overlap
from steepest.formulas.image.making import GAPS, JITTER, break_stroke, meet, scaled
from steepest.formulas.image.symbols import SIDE, cut_symbol
from steepest.formulas.image.touching import find_cuts

Draw = Callable[[int], Mask]
_SIZES = (40, 64)  # pixels that capitals are high
_BROKEN = 0.1  # of symbols as on pages
_SAME = 0.8  # of what two boxes cover is shared, and they are one


def as_on_pages(images: NDArray[np.integer], labels: Sequence[str], seed: int) -> NDArray[np.uint8]:
    """The symbols (N, 28, 28) as taking a page apart finds them: turned a little, some broken, their edges smooth.

    What learns from fragments learns from these too, or it tells fragments by their edges.

    Args:
        images: of symbols, (N, 28, 28), not 0 where there is ink.
        labels: of the images.
        seed: the same pictures for the same seed.

    Example:
        >>> as_on_pages(np.ones((2, 28, 28), dtype=np.uint8), ["-", "1"], seed=0).shape
        (2, 28, 28)
    """
    rng = np.random.default_rng(seed)
    found = np.zeros((len(images), SIDE, SIDE), dtype=np.uint8)
    for k, (image, label) in enumerate(zip(images, labels, strict=True)):
        size = int(rng.integers(*_SIZES, endpoint=True))
        ink = scaled(image > 0, str(label), size, float(rng.uniform(-5, 5)), rng)
        broken = break_stroke(ink, size, rng) if rng.random() < _BROKEN else None
        found[k] = cut_symbol(ink if broken is None else broken)
    return found


def make_fragments(images: NDArray[np.integer], labels: Sequence[str], count: int, seed: int) -> NDArray[np.uint8]:
    """Pictures (count, 28, 28) of what is no symbol, 1 where there is ink, as :func:`cut_symbol` makes them.

    One in three is a piece of a symbol that is broken or has several parts, one a half of a symbol that was cut, and
    one more than a symbol: two neighbours, or one and a piece of the next. Some look like a symbol: a half of = does.

    Args:
        images: of symbols, (N, 28, 28), not 0 where there is ink.
        labels: of the images.
        seed: the same pictures for the same seed.

    Raises:
        ValueError: there is no image, they are not as many as the labels, or ``count`` is negative.

    Example:
        >>> make_fragments(np.ones((2, 28, 28), dtype=np.uint8), ["-", "1"], 3, seed=0).shape
        (3, 28, 28)
    """
    if not len(images) or len(images) != len(labels):
        raise ValueError(f"images and labels must be as many, and some, got {len(images)} and {len(labels)}")
    if count < 0:
        raise ValueError(f"count must be at least 0, got {count}")
    rng = np.random.default_rng(seed)
    found = np.zeros((count, SIDE, SIDE), dtype=np.uint8)
    ways = (_make_piece, _make_half, _make_pair)
    made = 0
    while made < count:
        size, angle = int(rng.integers(*_SIZES, endpoint=True)), float(rng.uniform(-5, 5))

        def draw(k: int, size: int = size, angle: float = angle) -> Mask:
            return scaled(images[k] > 0, str(labels[k]), size, angle, rng)

        ink = ways[rng.integers(len(ways))](draw, len(images), size, rng)
        if ink is not None:
            found[made] = cut_symbol(ink)
            made += 1
    return found


def _make_piece(draw: Draw, count: int, size: int, rng: np.random.Generator) -> Mask | None:
    """Return one of a symbol's parts, or all but one; a symbol of one part is broken first."""
    ink = draw(int(rng.integers(count)))
    number, parts = cv2.connectedComponents(ink.astype(np.uint8), connectivity=8)
    if number == 2:
        broken = break_stroke(ink, size, rng)
        if broken is None:
            return None
        number, parts = cv2.connectedComponents(broken.astype(np.uint8), connectivity=8)
    one = parts == rng.integers(1, number)
    return np.asarray(one if rng.random() < 0.7 else (parts > 0) & ~one)


def _make_half(draw: Draw, count: int, size: int, rng: np.random.Generator) -> Mask | None:
    """Return one side of a symbol that was cut where it need not be."""
    ink = draw(int(rng.integers(count)))
    halves = [half for cut in find_cuts(_part(ink), size) for half in (cut.left, cut.right)]
    return halves[rng.integers(len(halves))].ink if halves else None


def _make_pair(draw: Draw, count: int, size: int, rng: np.random.Generator) -> Mask | None:
    """Return two neighbours, which touch or not, or a wrong half of them."""
    left, right = (_part(draw(int(k))) for k in rng.integers(count, size=2))
    drop = len(left.ink) - len(right.ink) + round(size * rng.uniform(-2 * JITTER, 2 * JITTER))
    reach = meet(left.ink, right.ink, drop - len(left.ink) + len(right.ink))
    if reach is None or rng.random() < 0.3:
        reach = left.box.width + round(0.5 * size * rng.uniform(GAPS[0], 0.6 * GAPS[1]))
    right = Part(right.box.moved(reach, drop), right.ink)
    both = joined_part([left, right])
    if rng.random() < 0.5:
        return both.ink
    wrong = [
        half
        for cut in find_cuts(both, size)
        for half in (cut.left, cut.right)
        if all(overlap(half.box, one.box) < _SAME for one in (left, right))
    ]
    return wrong[rng.integers(len(wrong))].ink if wrong else None


def _part(ink: Mask) -> Part:
    box = box_of(ink)
    return Part(Box(0, 0, box.width, box.height), ink[crop(box)])
