"""Symbols of known classes, to train on and to test with."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.symbols import SIDE
from steepest.formulas.logic.labels import LABELS

NOTHING = ""
"""The class of what is no symbol."""
CLASSES = (*LABELS, NOTHING)


@dataclass(frozen=True, eq=False)
class SymbolSet:
    """Symbols and their classes.

    Args:
        images: ``uint8`` (N, 28, 28), 1 where there is ink, each as :func:`~steepest.formulas.image.cut_symbol` makes
            them.
        labels: of each its class, one of ``steepest.formulas.logic.LABELS``, or ``""`` for what is no symbol.

    Raises:
        ValueError: the images are of another shape or type or hold other numbers, there are not as many labels, or one
            is no class.

    Example:
        >>> some = SymbolSet(np.ones((3, 28, 28), dtype=np.uint8), ["a", "∀", "a"])
        >>> len(some + some), some.counts(), some.some([1]).labels
        (6, {'a': 2, '∀': 1}, ('∀',))
    """

    images: NDArray[np.uint8]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        images = np.asarray(self.images)
        if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or images.dtype not in (np.uint8, np.bool_):
            raise ValueError(f"images must be uint8 of shape (N, 28, 28), got {images.dtype} of shape {images.shape}")
        if images.size and images.max() > 1:
            raise ValueError(f"images must hold 0 and 1 alone, got {images.max()}")
        if len(self.labels) != len(images):
            raise ValueError(f"labels must be as many as the {len(images)} images, got {len(self.labels)}")
        if unknown := sorted(set(self.labels).difference(CLASSES)):
            raise ValueError(f"labels must be of steepest.formulas.logic.LABELS or '', got {unknown[0]!r}")
        object.__setattr__(self, "images", images.astype(np.uint8, copy=False))
        object.__setattr__(self, "labels", tuple(self.labels))

    def __len__(self) -> int:
        return len(self.labels)

    def __add__(self, other: "SymbolSet") -> "SymbolSet":
        return SymbolSet(np.concatenate([self.images, other.images]), self.labels + other.labels)

    def counts(self) -> dict[str, int]:
        """Symbols of each class that there is one of, in the order of the classes."""
        found = Counter(self.labels)
        return {label: found[label] for label in CLASSES if found[label]}

    def some(self, indices: "Sequence[int] | NDArray[np.int64]") -> "SymbolSet":
        """The symbols of these indices, in their order."""
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        return SymbolSet(self.images[chosen], tuple(self.labels[i] for i in chosen.tolist()))


def no_symbols() -> SymbolSet:
    """A set of none.

    Example:
        >>> len(no_symbols())
        0
    """
    return SymbolSet(np.zeros((0, SIDE, SIDE), dtype=np.uint8), ())
