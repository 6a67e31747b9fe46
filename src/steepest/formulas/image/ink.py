"""Which pixels of a page are ink: without uneven light, shadows, noise, and the lines that paper has."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Box, Grey, Mask, box_of, joined_box

Light = NDArray[np.float32]
Pixels = NDArray[np.int64]
_WINDOW = 0.06  # of the page's shorter side, at least 31 pixels: what the light is taken to be even in
_SAUVOLA = 0.12  # k of the threshold mean (1 + k (deviation / 128 - 1))
_FAINT = 0.35  # of the darkest ink's depth: what is fainter is none
_PALE = 0.55  # of the darkest ink's depth: what a piece of ink must have on average
_RIM = 4  # pixels at the page's edge in which no symbol stands
_EDGE = 0.5  # of the depth of the ink around it: where a stroke ends
_SOFT = 0.5  # pixels of blur against grain
_STEEPEST = 6.0  # degrees that a ruled line may have
_SPECK = 0.06  # of the typical part's height: what is smaller in both directions is dirt


def even_light(grey: Grey, paper: Mask | None = None) -> Grey:
    """The page (H, W) over its background, as if light fell evenly: paper is 255.

    The background is what is left when everything narrower than a stroke's surroundings is closed by its brighter
    neighbours, smoothed.
    """
    side = max(int(_WINDOW * min(grey.shape)), 31) | 1
    scale = min(500 / max(grey.shape), 1.0)
    quiet = cv2.medianBlur(grey, 3)
    small = cv2.resize(quiet, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else quiet
    if paper is not None and not paper.all():
        seen = cv2.resize(paper.astype(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
        small = np.where(seen, small, np.uint8(0)).astype(np.uint8)
    near = max(round(side * scale), 5) | 1
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (near, near)))
    behind = cv2.GaussianBlur(closed, (0, 0), near / 6)
    background = cv2.resize(behind, grey.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    soft = cv2.GaussianBlur(grey, (0, 0), _SOFT).astype(np.float32)
    return np.clip(255 * soft / np.maximum(background, 1), 0, 255).astype(np.uint8)


def binarize(grey: Grey, paper: Mask | None = None) -> Mask:
    """The ink (H, W) of a page: darker than its surroundings by Sauvola's threshold, and no faint grain; unruled.

    Args:
        grey: the page (H, W).
        paper: the pixels where ink may be; all by default.

    Source: Sauvola, Pietikainen, "Adaptive document image binarization", Pattern Recognition 33 (2000), 225-236.
    """
    even = even_light(grey, paper)
    depth = 255 - even
    if paper is not None:
        depth[~paper] = 0
        even[~paper] = 255
    seen = depth[depth > 20]
    if seen.size < 5:
        return np.zeros(grey.shape, dtype=bool)
    dark = float(np.median(seen[seen >= 0.5 * np.percentile(seen, 99)]))
    if dark < 40:
        return np.zeros(grey.shape, dtype=bool)
    side = (max(int(_WINDOW * min(grey.shape)), 31) | 1,) * 2
    light = even.astype(np.float32)
    mean = cv2.boxFilter(light, -1, side)
    variance = np.maximum(cv2.boxFilter(light * light, -1, side) - mean * mean, 0)
    local = mean * (1 + _SAUVOLA * (np.sqrt(variance) / 128 - 1))
    ink: Mask = (light < local) & (depth > _FAINT * dark) & (depth > _EDGE * _find_darkest_near(depth))
    return _without_faint(remove_ruling(ink, depth), depth, dark)


def _without_faint(ink: Mask, depth: Grey, dark: float) -> Mask:
    """Leave out pieces that are nowhere as dark as ink is: edges of shadows."""
    count, labels = cv2.connectedComponents(ink.astype(np.uint8), connectivity=8)
    sums = np.bincount(labels.ravel(), weights=depth.ravel(), minlength=count)
    means = sums / np.maximum(np.bincount(labels.ravel(), minlength=count), 1)
    kept = means > _PALE * dark
    kept[0] = False
    return np.asarray(kept[labels])


def _find_darkest_near(depth: Grey) -> Light:
    """Find how dark ink is about each pixel, so that a stroke's edge is where half of that is reached."""
    quiet = cv2.GaussianBlur(depth, (0, 0), 0.8)
    return cv2.GaussianBlur(cv2.dilate(quiet, np.ones((9, 9), dtype=np.uint8)), (0, 0), 2.0).astype(np.float32)


def find_ruling(depth: Grey) -> list[tuple[float, float]]:
    """Ruled lines as (row at the first column, slope): thin, nearly level, and from one side to the other.

    Args:
        depth: how much darker than the paper each pixel (H, W) is.
    """
    height, width = depth.shape
    tall = cv2.morphologyEx(depth, cv2.MORPH_OPEN, np.ones((7, 1), dtype=np.uint8))
    thin = depth.astype(np.int16) - tall > 12
    level = cv2.morphologyEx(thin.astype(np.uint8), cv2.MORPH_OPEN, np.ones((1, 15), dtype=np.uint8))
    rows, columns = np.nonzero(level)
    if rows.size < width / 3:
        return []
    near = _find_sharpest(rows, columns, width, np.arange(-_STEEPEST, _STEEPEST + 0.05, 0.1))
    slope = _find_sharpest(rows, columns, width, np.arange(near - 0.08, near + 0.09, 0.02))
    slope = math.tan(math.radians(slope))
    counts = _rows_along(rows, columns, width, slope)
    band = np.convolve(counts, np.ones(3), mode="same")
    offset = abs(slope) * width
    found: list[tuple[float, float]] = []
    for row in np.argsort(-band):
        at = float(row) - offset
        inside = _columns_inside(at, slope, height, width)
        if band[row] < 0.45 * max(inside, width / 4):
            if band[row] < 0.45 * width / 4:
                break
            continue
        if all(abs(at - other) > 6 for other, _ in found):
            close = abs(rows - slope * columns - at) <= 2
            if np.ptp(columns[close]) > 0.8 * inside:
                found.append((at, slope))
    return found


def _rows_along(rows: Pixels, columns: Pixels, width: int, slope: float) -> Light:
    """Count pixels by the row in which a line with this slope through them begins, from the highest there can be."""
    begins = np.rint(rows - slope * columns + abs(slope) * width).astype(np.int64)
    return np.bincount(begins).astype(np.float32)


def _find_sharpest(rows: Pixels, columns: Pixels, width: int, degrees: NDArray[np.float64]) -> float:
    """Find, of several angles, that along which pixels fall into the fewest rows."""
    slopes = np.tan(np.radians(degrees))
    sharp = [float(np.square(_rows_along(rows, columns, width, slope)).sum()) for slope in slopes]
    return float(degrees[int(np.argmax(sharp))])


def _columns_inside(row: float, slope: float, height: int, width: int) -> float:
    """Count the columns in which a line is on the page."""
    at = row + slope * np.arange(width)
    return float(((at >= 0) & (at < height)).sum())


def remove_ruling(ink: Mask, depth: Grey) -> Mask:
    """The ink (H, W) without ruled lines: near one, only what is as dark as ink, or runs across it, stays.

    Args:
        ink: of the page with its lines.
        depth: how much darker than the paper each pixel (H, W) is.
    """
    lines = find_ruling(depth)
    if not lines:
        return ink
    height, width = ink.shape
    x = np.arange(width)
    band = np.zeros_like(ink)
    for row, slope in lines:
        middle = np.rint(row + slope * x).astype(np.int64)
        for away in (-2, -1, 0, 1, 2):
            y = middle + away
            here = (y >= 0) & (y < height)
            band[y[here], x[here]] = True
    off, on = depth[ink & ~band], depth[band & ink]
    if not off.size or not on.size:
        return ink
    dark, rule = float(np.median(off)), float(np.median(depth[band][depth[band] > 12]))
    if rule < 0.7 * dark:
        return np.asarray(ink & (~band | (depth > (rule + dark) / 2)))
    across = cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 1), dtype=np.uint8)) > 0
    return np.asarray(ink & (~band | across))


def find_text_area(ink: Mask) -> Box:
    """The box around the ink (H, W) that is no dirt and no rim of the page; the whole page where there is none.

    Example:
        >>> ink = np.zeros((60, 80), dtype=bool)
        >>> ink[20:40, 30:33] = ink[5, 70] = True
        >>> find_text_area(ink)
        Box(x=30, y=20, width=3, height=20)
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    boxes = [Box(*(int(value) for value in row[:4])) for row in stats[1:]]
    kept = text_boxes(boxes, ink.shape)
    return joined_box(boxes[k] for k in kept) if kept else box_of(np.ones_like(ink))


def text_boxes(boxes: list[Box], shape: tuple[int, int]) -> list[int]:
    """Which of the boxes are neither specks nor long things at the page's rim."""
    height, width = shape
    sides = np.array([max(box.width, box.height) for box in boxes], dtype=np.float64)
    if not sides.size:
        return []
    real = sides[sides >= 5]
    typical = float(np.median(real[real >= 0.25 * np.percentile(real, 90)])) if real.size else 1.0

    def is_rim(box: Box) -> bool:
        if box.right <= _RIM or box.bottom <= _RIM or box.x >= width - _RIM or box.y >= height - _RIM:
            return True
        touches = box.x <= 1 or box.y <= 1 or box.right >= width - 1 or box.bottom >= height - 1
        return touches and (box.width > 0.3 * width or box.height > 0.3 * height) and max(box[2:]) > 4 * typical

    return [k for k, box in enumerate(boxes) if sides[k] >= max(3, _SPECK * typical) and not is_rim(box)]
