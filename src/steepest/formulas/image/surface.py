"""What a camera makes of ink on paper: ruled lines, shadows, blur and noise."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Grey, Mask

Light = NDArray[np.float32]


def photographed(ink: Mask, size: int, rng: np.random.Generator) -> Grey:
    """A photograph (H, W) of ink (H, W) whose capitals are ``size`` pixels high; two in five papers are lined."""
    paper = np.full(ink.shape, rng.uniform(195, 245), dtype=np.float32)
    if rng.random() < 0.4:
        paper *= ruled(ink.shape, size, rng)
    dark = rng.uniform(20, 80)
    soft = cv2.GaussianBlur(ink.astype(np.float32), (0, 0), rng.uniform(0.5, 0.9))
    seen = (paper * (1 - soft) + dark * soft) * lit(ink.shape, size, rng)
    seen += rng.normal(0, rng.uniform(1, 9), size=ink.shape).astype(np.float32)
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def ruled(shape: tuple[int, int], size: int, rng: np.random.Generator) -> Light:
    """How much light comes back from lined paper (H, W): 1, or .6 to .85 on lines 1 or 2 pixels thick."""
    height, width = shape
    slope, pitch = math.tan(math.radians(rng.uniform(-2, 2))), size * rng.uniform(0.9, 1.7)
    shade, thick = rng.uniform(0.6, 0.85), int(rng.integers(1, 2, endpoint=True))
    light = np.ones(shape, dtype=np.float32)
    y = -abs(slope) * width + rng.uniform(0, pitch)
    while y < height + abs(slope) * width:
        ends = (0, round(y * 16)), ((width - 1) * 16, round((y + slope * width) * 16))
        cv2.line(light, *ends, shade, thick, cv2.LINE_AA, 4)
        y += pitch
    return light


def lit(shape: tuple[int, int], size: int, rng: np.random.Generator) -> Light:
    """How much light falls on a page (H, W): more on one side, and in three of five pages a shadow over a part."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn = rng.uniform(0, 2 * math.pi)
    slope = (x / width - 0.5) * math.cos(turn) + (y / height - 0.5) * math.sin(turn)
    light = 1 - rng.uniform(0, 0.3) * (slope + 0.7)
    if rng.random() < 0.6:
        corners = np.array([width, height]) * rng.uniform(-0.2, 1.2, size=(3, 2))
        shadow = np.zeros(shape, dtype=np.float32)
        cv2.fillPoly(shadow, [corners.astype(np.int32)], 1.0)
        light *= 1 - rng.uniform(0.15, 0.45) * cv2.GaussianBlur(shadow, (0, 0), size * rng.uniform(0.1, 1.0))
    return np.asarray(light, dtype=np.float32)
