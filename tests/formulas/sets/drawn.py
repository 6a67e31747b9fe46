"""Sets that tests draw: a few strokes of each class, each copy a little different."""

import cv2
import numpy as np

from steepest.formulas.image import cut_symbol
from steepest.formulas.sets import SymbolSet

STROKES = {
    "+": [[(10, 50), (90, 50)], [(50, 10), (50, 90)]],
    "l": [[(50, 5), (50, 95)]],
    "L": [[(20, 5), (20, 90), (80, 90)]],
    "<": [[(90, 5), (10, 50), (90, 95)]],
    "∀": [[(5, 5), (50, 95), (95, 5)], [(27, 50), (73, 50)]],
}


def draw(label: str, rng: np.random.Generator) -> np.ndarray:
    ink = np.zeros((120, 120), dtype=np.uint8)
    for stroke in STROKES[label]:
        points = np.array(stroke) + 10 + rng.normal(0, 5, (len(stroke), 2))
        cv2.polylines(ink, [points.round().astype(np.int32)], False, 1, int(rng.integers(5, 11)))
    return cut_symbol(ink.astype(bool))


def drawn_set(each: int, seed: int = 0, labels: str = "".join(STROKES)) -> SymbolSet:
    rng = np.random.default_rng(seed)
    wanted = [label for label in labels for _ in range(each)]
    return SymbolSet(np.stack([draw(label, rng) for label in wanted]), tuple(wanted))
