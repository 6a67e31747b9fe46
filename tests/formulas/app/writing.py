"""Formulas as strokes of a pen, in pixels of a screen."""

_HEIGHT = 56.0
# In hundredths of a capital's height, y downwards: its strokes, and how far the next symbol is from its left.
_SIGNS = {
    "∀": [[(0, 0), (35, 100), (70, 0)], [(14, 40), (56, 40)]],
    "∃": [[(0, 0), (55, 0), (55, 100), (0, 100)], [(5, 50), (55, 50)]],
    "x": [[(0, 40), (45, 100)], [(45, 40), (0, 100)]],
    "(": [[(22, -8), (6, 20), (0, 50), (6, 82), (22, 112)]],
    ")": [[(0, -8), (16, 20), (22, 50), (16, 82), (0, 112)]],
    "P": [[(0, 0), (0, 100)], [(0, 2), (30, 0), (48, 12), (50, 28), (44, 44), (26, 52), (2, 52)]],
    "Q": [
        [(40, 0), (16, 8), (2, 30), (0, 55), (10, 85), (35, 100), (60, 90), (76, 62), (74, 30), (60, 8), (40, 0)],
        [(48, 70), (84, 108)],
    ],
    "→": [[(0, 55), (90, 55)], [(62, 32), (90, 55), (62, 78)]],
    "∧": [[(0, 100), (32, 25), (64, 100)]],
    "¬": [[(0, 45), (60, 45), (60, 75)]],
}
_GAP = 22.0


def strokes_of(text, left=20.0, top=40.0, height=_HEIGHT):
    """The strokes ``[[[x, y], ...], ...]`` of a line of text."""
    found, at = [], left
    for sign in text:
        strokes = _SIGNS[sign]
        for stroke in strokes:
            found.append([[round(at + x * height / 100, 1), round(top + y * height / 100, 1)] for x, y in stroke])
        at += (max(x for stroke in strokes for x, _ in stroke) + _GAP) * height / 100
    return found
