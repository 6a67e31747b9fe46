"""Ink of strokes: round pens, chisels, and pens that are pressed more and less."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.sets.made.curves import Points

PIXELS = 56  # of a capital's height
_SHIFT = 4  # binary places of a pixel that OpenCV is given


def ink_strokes(strokes: list[Points], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Ink (H, W) of strokes in heights of a capital, with a pen at random and somewhat rough edges.

    Example:
        >>> bar = ink_strokes([np.array([[0.0, 0.0], [2.0, 0.0]])], np.random.default_rng(0))
        >>> bool(bar.shape[1] > 3 * bar.shape[0]), bool(bar.any())
        (True, True)
    """
    thick = PIXELS * float(np.clip(0.106 * math.exp(rng.normal(scale=0.33)), 0.03, 0.22))
    points = np.concatenate(strokes)
    low, room = points.min(axis=0), math.ceil(thick) + 4
    width, height = (np.ceil((points.max(axis=0) - low) * PIXELS).astype(int) + 2 * room).tolist()
    ink = np.zeros((height, width), dtype=np.uint8)
    pixels = [(stroke - low) * PIXELS + room for stroke in strokes]
    kind = rng.random()
    if kind < 0.5:
        _draw_lines(ink, pixels, thick)
    elif kind < 0.7:
        _draw_chisel(ink, pixels, thick, rng)
    else:
        _draw_pressed(ink, pixels, thick, rng)
    return _roughen(ink, thick, rng)


def _draw_lines(ink: NDArray[np.uint8], pixels: list[Points], thick: float) -> None:
    """Draw curves (m, 2) in pixels with a round pen into ink (H, W)."""
    curves = [np.round(stroke * 2**_SHIFT).astype(np.int32) for stroke in pixels]
    cv2.polylines(ink, curves, False, 1, max(round(thick), 1), cv2.LINE_8, _SHIFT)


def _draw_chisel(ink: NDArray[np.uint8], pixels: list[Points], thick: float, rng: np.random.Generator) -> None:
    """Draw with a broad nib: a row of small pens at an angle."""
    turn, small = rng.uniform(0, math.pi), thick * rng.uniform(0.4, 0.7)
    reach = np.array([math.cos(turn), math.sin(turn)]) * (thick - small / 2)
    count = max(math.ceil(2 * (thick - small / 2) / small), 2)
    for part in np.linspace(-0.5, 0.5, count):
        _draw_lines(ink, [stroke + part * reach for stroke in pixels], small)


def _draw_pressed(ink: NDArray[np.uint8], pixels: list[Points], thick: float, rng: np.random.Generator) -> None:
    """Draw with a thickness that changes slowly along each stroke."""
    for stroke in pixels:
        phase, pieces = rng.uniform(0, 2 * math.pi), np.array_split(np.arange(len(stroke)), max(len(stroke) // 4, 1))
        more = rng.uniform(0.15, 0.5)
        for k, piece in enumerate(pieces):
            part = stroke[piece[0] : piece[-1] + 2]
            _draw_lines(ink, [part], thick * (1 + more * math.sin(phase + 5 * k / len(pieces))))


def _roughen(ink: NDArray[np.uint8], thick: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Let the edges of ink waver, as those of a photograph do after binarisation."""
    amount = rng.uniform(0, 0.6)
    soft = cv2.GaussianBlur(ink.astype(np.float32), (0, 0), min(0.2 * thick, 1.5) + 0.3)
    noise = cv2.GaussianBlur(rng.standard_normal(ink.shape, dtype=np.float32), (0, 0), 1.5)
    rough: NDArray[np.bool_] = soft + amount * noise > 0.5
    return rough if rough.any() else ink > 0
