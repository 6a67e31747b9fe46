"""Symbols of a set that look like others: mislabelled, or badly written."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

NEAREST = 5
Points = NDArray[np.float32]
_ROWS = 1000
_FEWEST = 3  # of a class, to say what is usual in it


def find_outliers(images: NDArray[np.uint8], labels: Sequence[str], most: int = 200) -> list[tuple[int, str]]:
    """Symbols of which none of the 5 nearest has their class, and what most of these are; the surest first.

    Nearness is that of blurred pictures of 14x14. Classes with fewer than 3 symbols are not judged, nor are symbols to
    whose class's mean only one other class's is nearer.

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
    found = []
    suspects = np.flatnonzero(_is_far(points, numbers, counts) & (counts[numbers] >= _FEWEST))
    for first in range(0, len(suspects), _ROWS):
        rows = suspects[first : first + _ROWS]
        distances = _distances(points[rows], points)
        distances[np.arange(len(rows)), rows] = np.inf
        near = numbers[np.argpartition(distances, NEAREST, axis=1)[:, :NEAREST]]
        for k, theirs in zip(rows.tolist(), near, strict=True):
            votes = np.bincount(theirs)
            if not (theirs == numbers[k]).any():
                found.append((int(votes.max()), k, str(names[votes.argmax()])))
    found.sort(key=lambda one: (-one[0], one[1]))
    return [(k, like) for _, k, like in found[:most]]


def _is_far(points: Points, numbers: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell for which points the means of two other classes at least are nearer than that of their own."""
    means = np.zeros((len(counts), points.shape[1]), dtype=np.float32)
    np.add.at(means, numbers, points)
    distances = _distances(points, np.asarray(means / counts[:, None], dtype=np.float32))
    own = distances[np.arange(len(points)), numbers]
    return np.asarray((distances < own[:, None]).sum(axis=1) >= min(2, len(counts) - 1))


def _distances(points: Points, others: Points) -> Points:
    """Squared distances (N, M), but for what a row has in common."""
    return np.asarray(np.square(others).sum(axis=1) - 2 * points @ others.T, dtype=np.float32)


def _blur(images: NDArray[np.uint8]) -> Points:
    """Make points (N, 196)."""
    soft = np.stack([cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.5) for image in images])
    return np.asarray(soft.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(images), -1), dtype=np.float32)
