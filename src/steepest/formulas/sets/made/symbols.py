"""Pictures of all classes that look like handwriting, from what we designed alone."""

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.symbols import SIDE, cut_symbol
from steepest.formulas.logic.labels import LABELS
from steepest.formulas.sets.made.designs import Design, read_designs
from steepest.formulas.sets.made.hands import write_design
from steepest.formulas.sets.made.pens import ink_strokes


def make_images(designs: tuple[Design, ...], count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Pictures (count, 28, 28) of 0 and 1 of a class."""
    images = np.zeros((count, SIDE, SIDE), dtype=np.uint8)
    weights = np.array([design.weight for design in designs])
    for k, which in enumerate(rng.choice(len(designs), size=count, p=weights / weights.sum())):
        images[k] = cut_symbol(ink_strokes(write_design(designs[which], rng), rng))
    return images


def make_symbols(count: int, seed: int) -> tuple[NDArray[np.uint8], list[str]]:
    designs = read_designs()
    made = [make_images(designs[label], count, np.random.default_rng([seed, k])) for k, label in enumerate(LABELS)]
    return np.concatenate(made), [label for label in LABELS for _ in range(count)]
