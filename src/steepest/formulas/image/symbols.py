"""A symbol as a recogniser takes it: 28x28 pixels, and what scaling loses beside it."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Box, Mask, box_of, crop

SIDE = 28


class Symbol(NamedTuple):
    """A symbol on a page.

    Attributes:
        box: of its ink, in the page's pixels.
        bitmap: (28, 28) ``uint8``, 1 where there is ink.
        relative_height: of the box, over the height of capitals on the page.
        baseline: how far above its line's baseline the box ends, over the height of capitals; below it: negative.
    """

    box: Box
    bitmap: NDArray[np.uint8]
    relative_height: float
    baseline: float


def cut_symbol(ink: Mask) -> NDArray[np.uint8]:
    """Ink (H, W) scaled to 28x28, 1 where there is ink: its longer side fills the square, its shape is kept.

    As many pixels are set as the scaled ink's area is, so that thin strokes do not vanish.

    Raises:
        ValueError: there is no ink.

    Example:
        >>> cut_symbol(np.ones((14, 7), dtype=bool)).sum(axis=0).tolist() == [0] * 7 + [28] * 14 + [0] * 7
        True
    """
    if ink.ndim != 2 or not ink.any():
        raise ValueError(f"ink must be of shape (H, W) with some pixel set, got shape {ink.shape}")
    tight = ink[crop(box_of(ink))]
    factor = SIDE / max(tight.shape)
    height, width = (min(max(round(side * factor), 1), SIDE) for side in tight.shape)
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(tight.astype(np.float32), (width, height), interpolation=way)
    count = max(round(float(small.sum())), 1)
    level = np.partition(small.ravel(), -count)[-count]
    bitmap = np.zeros((SIDE, SIDE), dtype=np.uint8)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    bitmap[top : top + height, left : left + width] = (small >= max(float(level), 1e-6)).astype(np.uint8)
    return bitmap
