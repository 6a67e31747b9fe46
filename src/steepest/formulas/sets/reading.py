"""Sets of symbols from files of whatever layout."""

from pathlib import Path

from steepest._errors import InputError
from steepest.formulas.sets.npz import read_npz
from steepest.formulas.sets.symbol_set import SymbolSet


def read_set(path: str | Path) -> SymbolSet:
    """A set of symbols.

    Raises:
        InputError: it cannot be read, is too large, or holds something else.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        return read_npz(path)
    raise InputError(f"{path} must be an .npz")
