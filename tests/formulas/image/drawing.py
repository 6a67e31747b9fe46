"""Symbols drawn with lines and ellipses: enough of them to make pages for tests."""

import cv2
import numpy as np

_STROKES = {
    "H": [[(4, 1), (4, 26)], [(22, 1), (22, 26)], [(4, 13), (22, 13)]],
    "T": [[(2, 2), (25, 2)], [(13, 2), (13, 26)]],
    "x": [[(3, 3), (24, 24)], [(24, 3), (3, 24)]],
    "=": [[(2, 9), (25, 9)], [(2, 18), (25, 18)]],
    "i": [[(13, 2), (13, 3)], [(13, 10), (13, 26)]],
    "→": [[(1, 13), (26, 13)], [(19, 7), (26, 13), (19, 19)]],
    "∃": [[(4, 2), (22, 2), (22, 25), (4, 25)], [(6, 13), (22, 13)]],
    ",": [[(12, 2), (12, 18), (6, 26)]],
    "¬": [[(1, 8), (26, 8), (26, 18)]],
    "(": [[(14, 1), (9, 8), (9, 19), (14, 26)]],
}


def drawn(thickness=3):
    """Images (N, 28, 28) and their labels."""
    images = []
    for strokes in _STROKES.values():
        image = np.zeros((28, 28), dtype=np.uint8)
        for stroke in strokes:
            cv2.polylines(image, [np.array(stroke, dtype=np.int32)], False, 1, thickness)
        images.append(image)
    return np.stack(images), list(_STROKES)
