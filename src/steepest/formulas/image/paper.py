"""From a picture of any kind to grey, and the paper in it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Grey, Mask

_SMALL = 400  # pixels of the longer side on which the paper is looked for
_DARKER = 0.6  # of the paper's light comes back from what is beside it, or less
_LEAST = 0.25  # of the picture is paper, or the whole is taken for it


def to_grey(image: NDArray[np.uint8]) -> Grey:
    """A picture (H, W), or in colour (H, W, 3) or (H, W, 4), as grey (H, W) on white.

    Args:
        image: red, green, blue, and how opaque it is.

    Raises:
        ValueError: it has another shape or type, or no pixels.

    Example:
        >>> to_grey(np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], dtype=np.uint8)).tolist()
        [[76, 255]]
    """
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))):
        raise ValueError(
            f"image must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4), got {image.dtype} {image.shape}"
        )
    if not image.size:
        raise ValueError(f"image must have pixels, got shape {image.shape}")
    if image.ndim == 2:
        return image.copy()
    grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(image[:, :, :3]), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    if image.shape[2] == 4:
        opaque = image[:, :, 3].astype(np.float32) / 255
        grey = np.rint(grey * opaque + 255 * (1 - opaque)).astype(np.uint8)
    return grey


def find_paper(grey: Grey) -> Mask:
    """Which pixels (H, W) are on the paper: all of them, unless a bright sheet lies on something far darker.

    The sheet is the hull of the largest bright area; a shadow over a part of it is not dark enough, or not beside it.

    Example:
        >>> picture = np.full((60, 80), 20, dtype=np.uint8)
        >>> picture[10:50, 20:70] = 220
        >>> found = find_paper(picture)
        >>> bool(found[30, 40]), bool(found[5, 5])
        (True, False)
    """
    everything = np.ones(grey.shape, dtype=bool)
    scale = min(_SMALL / max(grey.shape), 1.0)
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    small = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((9, 9), dtype=np.uint8))
    _, bright = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if not (bright == 0).any() or not bright.any() or small[bright == 0].mean() > _DARKER * small[bright > 0].mean():
        return everything
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bright)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    hull = cv2.convexHull(np.argwhere(labels == largest)[:, ::-1].astype(np.int32))
    sheet = np.zeros(small.shape, dtype=np.uint8)
    cv2.fillConvexPoly(sheet, hull, 1)
    inside, outside = sheet > 0, sheet == 0
    filled = stats[largest, cv2.CC_STAT_AREA] / max(int(inside.sum()), 1)
    if inside.mean() < _LEAST or filled < 0.9 or not outside.any() or (bright[outside] > 0).mean() > 0.3:
        return everything
    sheet = np.asarray(cv2.erode(sheet, np.ones((5, 5), dtype=np.uint8), borderValue=1), dtype=np.uint8)
    large = cv2.resize(sheet, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(large > 0)
