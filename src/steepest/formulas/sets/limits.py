"""How much a set that a stranger may have made can hold, and what its images may be."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steepest._errors import InputError
from steepest.formulas.image.symbols import SIDE
from steepest.formulas.sets.symbol_set import CLASSES, SymbolSet

MOST_SYMBOLS = 200_000
LARGEST = 512 * 2**20  # bytes, unpacked
PIXELS = SIDE * SIDE


def read_bytes(path: Path, most: int = LARGEST) -> bytes:
    """What is in a file of a set.

    Raises:
        InputError: it cannot be read, or is larger than ``most`` bytes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > most:
        raise InputError(f"{path} must have at most {most} bytes, and has more")
    return content


def check_count(count: int, name: str) -> None:
    """Refuse a set of too many symbols.

    Raises:
        InputError: it is one.
    """
    if count > MOST_SYMBOLS:
        raise InputError(f"{name} must hold at most {MOST_SYMBOLS} symbols, got {count}")


def set_of(images: NDArray[np.uint8], labels: list[str], name: str) -> SymbolSet:
    """A set from what a file held.

    Raises:
        InputError: a label is no class.
    """
    if unknown := sorted(set(labels).difference(CLASSES)):
        raise InputError(f"{name} must have labels of steepest.formulas.logic.LABELS, got {unknown[0][:40]!r}")
    return SymbolSet(images, tuple(labels))
