"""Pictures of all classes that look like handwriting, from what we designed and from free fonts alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.symbols import SIDE, cut_symbol
from steepest.formulas.logic.labels import LABELS
from steepest.formulas.sets.made.designs import Design, read_designs
from steepest.formulas.sets.made.fonts import ink_character
from steepest.formulas.sets.made.hands import write_design
from steepest.formulas.sets.made.pens import ink_strokes
from steepest.formulas.sets.symbol_set import SymbolSet

PRINTED = 0.08  # the share of symbols from fonts, where there are some


def make_symbols(
    count: int, seed: int, *, labels: Sequence[str] = LABELS, fonts: Sequence[Path] = (), printed: float = PRINTED
) -> SymbolSet:
    """Symbols as hands at random write the designs of this package; with fonts, some are bent print.

    Args:
        count: of each class.
        seed: the same symbols for the same seed, whatever other classes are asked for.
        labels: the classes.
        fonts: files of fonts, as :func:`find_fonts` finds them.
        printed: the share of symbols from fonts, where there are some.

    Raises:
        ValueError: a number is out of range, or a label is none of ``steepest.formulas.logic.LABELS``.

    Example:
        >>> made = make_symbols(2, seed=1, labels="a∀")
        >>> made.images.shape, made.labels
        ((4, 28, 28), ('a', 'a', '∀', '∀'))
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    if not 0 <= printed <= 1:
        raise ValueError(f"printed must be from 0 to 1, got {printed}")
    unknown = [label for label in labels if label not in LABELS]
    if unknown:
        raise ValueError(f"labels must be of steepest.formulas.logic.LABELS, got {unknown[0]!r}")
    designs = read_designs()
    images = np.zeros((len(labels), count, SIDE, SIDE), dtype=np.uint8)
    for k, label in enumerate(labels):
        rng = np.random.default_rng([seed, LABELS.index(label)])
        for image, design in zip(images[k], _choose(designs[label], count, rng), strict=True):
            ink = ink_character(label, fonts, rng) if fonts and rng.random() < printed else None
            image[:] = cut_symbol(ink_strokes(write_design(design, rng), rng) if ink is None else ink)
    return SymbolSet(images.reshape(-1, SIDE, SIDE), tuple(label for label in labels for _ in range(count)))


def _choose(designs: Sequence[Design], count: int, rng: np.random.Generator) -> list[Design]:
    """Choose so many of the designs of a class, by their weights."""
    weights: NDArray[np.float64] = np.array([design.weight for design in designs])
    return [designs[which] for which in rng.choice(len(designs), size=count, p=weights / weights.sum())]
