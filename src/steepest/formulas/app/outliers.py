"""Symbols of a set that look like others: mislabelled, or badly written."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

NEAREST = 5
_ROWS = 1000
_FEWEST = 3  # of a class, to say what is usual in it


def find_outliers(images: NDArray[np.uint8], labels: Sequence[str], most: int = 200) -> list[tuple[int, str]]:
    """Symbols of which none of the 5 nearest has their class, and what most of these are; the surest first.

    Nearness is that of blurred pictures of 14x14. Classes with fewer than 3 symbols are not judged.

    Args:
        images: (N, 28, 28) of 0 and 1.

    Example:
        >>> bar, dot = np.zeros((2, 28, 28), np.uint8)
        >>> bar[:, 12:16] = dot[10:18, 10:18] = 1
        >>> find_outliers(np.stack([bar] * 6 + [dot] * 6), ["1"] * 6 + [","] * 5 + ["1"])
        [(11, ',')]
    """
    if len(labels) <= NEAREST:
        return []
    names, numbers, counts = np.unique(np.array(labels), return_inverse=True, return_counts=True)
    points = _blur(images)
    squares = np.square(points).sum(axis=1)
    found = []
    for first in range(0, len(points), _ROWS):
        rows = slice(first, first + _ROWS)
        distances = squares - 2 * points[rows] @ points.T  # but for what a row has in common
        distances[np.arange(len(distances)), np.arange(first, first + len(distances))] = np.inf
        near = numbers[np.argpartition(distances, NEAREST, axis=1)[:, :NEAREST]]
        for k, theirs in enumerate(near, first):
            own = numbers[k]
            votes = np.bincount(theirs)
            if counts[own] >= _FEWEST and not (theirs == own).any():
                found.append((int(votes.max()), k, str(names[votes.argmax()])))
    found.sort(key=lambda one: (-one[0], one[1]))
    return [(k, like) for _, k, like in found[:most]]


def _blur(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Make points (N, 196)."""
    soft = np.stack([cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.5) for image in images])
    return np.asarray(soft.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(images), -1), dtype=np.float32)
