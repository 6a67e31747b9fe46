"""What a recogniser learns beside the symbols of a set, so that it reads pages."""

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.fragments import as_on_pages, make_fragments
from steepest.formulas.sets.symbol_set import NOTHING, SymbolSet

Indices = NDArray[np.int64]


def widened(
    symbols: SymbolSet, rest: Indices, held_out: Indices, share: float, seed: int
) -> tuple[SymbolSet, Indices, Indices]:
    """The set with its symbols as pages show them, and with what is none; and which of these is learnt and held out.

    What is made of a symbol that is held out is held out; of pictures without ink nothing is made. The set's own come
    first.

    Args:
        share: of fragments, for each symbol.
        seed: the same pictures for the same seed.

    Example:
        >>> some = SymbolSet(np.ones((4, 28, 28), dtype=np.uint8), ["-", "1", "-", "1"])
        >>> wide, rest, held_out = widened(some, np.array([0, 1, 2]), np.array([3]), share=2.0, seed=0)
        >>> len(wide), len(rest), len(held_out), wide.counts()[""]
        (16, 12, 4, 8)
    """
    named = np.array([label != NOTHING for label in symbols.labels], dtype=bool) & symbols.images.any(axis=(1, 2))
    whole, parts = symbols, []
    for own, part in enumerate((rest, held_out)):
        some = symbols.some(part[named[part]])
        count, begins = round(share * len(some)), len(whole)
        if len(some):
            whole += SymbolSet(as_on_pages(some.images, some.labels, 2 * seed + own), some.labels)
            made = make_fragments(some.images, some.labels, count, 2 * seed + own)
            whole += SymbolSet(made, (NOTHING,) * count)
        parts.append(np.concatenate([part, np.arange(begins, len(whole))]))
    return whole, parts[0], parts[1]
