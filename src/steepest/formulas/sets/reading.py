"""Sets of symbols from files, and to files, of whatever layout."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from steepest._errors import InputError
from steepest._files import write_atomically
from steepest.formulas.sets.csv import read_csv, write_csv
from steepest.formulas.sets.npz import read_npz, write_npz
from steepest.formulas.sets.pictures import pictures_of, read_folder, read_zip, write_zip
from steepest.formulas.sets.strokes import read_strokes
from steepest.formulas.sets.symbol_set import SymbolSet

_READERS = {".npz": read_npz, ".zip": read_zip, ".csv": read_csv, ".json": read_strokes}
_WRITERS: dict[str, Callable[[SymbolSet], str | bytes]] = {".npz": write_npz, ".zip": write_zip, ".csv": write_csv}


def read_set(path: str | Path) -> SymbolSet:
    """A set of symbols, from what its name says it is.

    ::

        a folder    of folders of PNGs, each named after its class: U+2200, or ∀
        .zip        the same, packed
        .csv        rows as FOPL has them, of 784 pixels and 67 columns of classes; or of a class and 784 pixels
        .npz        images (N, 28, 28) or packed bits (N, 98), labels, and names if those are numbers
        .json       [{"label": "∀", "strokes": [[[x, y], ...], ...]}, ...]

    Raises:
        InputError: it cannot be read, is too large, or holds something else.
    """
    path = Path(path)
    if path.is_dir():
        return read_folder(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} must be a folder, a .zip, a .csv, an .npz or a .json of strokes")
    return reader(path)


def write_set(symbols: SymbolSet, path: str | Path) -> None:
    """Write a set that :func:`read_set` reads, whole or not at all: an ``.npz``, a ``.zip``, a ``.csv``, or a new
    folder. Pictures come back by class, all others in their order. Strokes are not kept in a set.

    Raises:
        InputError: it cannot be written, or the folder is not new.

    Example:
        >>> from steepest.formulas.sets import no_symbols
        >>> place = Path(tempfile.mkdtemp(), "set.npz")
        >>> write_set(no_symbols(), place)
        >>> len(read_set(place))
        0
    """
    path = Path(path)
    try:
        if path.suffix.lower() in _WRITERS:
            write_atomically(path, _WRITERS[path.suffix.lower()](symbols))
        elif path.suffix:
            raise InputError(f"{path} must be a new folder, a .zip, a .csv or an .npz")
        else:
            _write_folder(symbols, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error


def _write_folder(symbols: SymbolSet, path: Path) -> None:
    if path.exists():
        raise InputError(f"{path} must be a new folder, and is there already")
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        for name, picture in pictures_of(symbols):
            place = beside / name
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(picture)
        beside.chmod(0o755)
        beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
