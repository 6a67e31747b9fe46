"""``python -m steepest.formulas.models.make --out FILE``: makes the model that comes with the package, anew."""

import argparse
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.reading import as_on_pages, make_fragments
from steepest.formulas.recognition import Epoch, Settings, train_recognizer
from steepest.formulas.sets import SymbolSet
from steepest.formulas.sets.made import find_fonts, make_symbols
from steepest.formulas.sets.symbol_set import NOTHING

LARGEST = 500_000  # bytes
HELD_OUT = 10  # one in so many symbols is held out


def make_model(out: Path, folder: Path, *, count: int, fragments: int, epochs: int, seed: int) -> str:
    """Make symbols and what is none, train the CNN on them and write it in 16 bits: the file's sha256.

    Args:
        folder: of the training; one that was killed goes on.
        count: symbols of each class.
        fragments: pictures of what is no symbol.

    Raises:
        ValueError: the file would be larger than 500 KB.
    """
    symbols, held_out = make_set(count, fragments, seed)
    settings = Settings("cnn", epochs=epochs, seed=seed, batch_size=128)
    trained = train_recognizer(symbols, folder, settings, _tell, held_out=held_out)
    content = trained.recognizer.content(half=True)
    if len(content) > LARGEST:
        raise ValueError(f"the model must have at most {LARGEST} bytes, got {len(content)}")
    out.write_bytes(content)
    print(f"{len(symbols)} symbols, accuracy on a tenth held out {100 * trained.tested.accuracy:.2f} %")
    return hashlib.sha256(content).hexdigest()


def make_set(count: int, fragments: int, seed: int) -> tuple[SymbolSet, NDArray[np.int64]]:
    """What the model learns: symbols as they are made, the same as pages show them, and fragments; which are held out.

    Held out are the last tenth of each class in both forms, and a tenth of the fragments, made of these alone.

    Args:
        count: symbols of each class, at least 2.
        fragments: pictures of what is no symbol, at least 2.

    Raises:
        ValueError: there are too few.

    Example:
        >>> symbols, held_out = make_set(2, 2, seed=0)
        >>> len(symbols), len(held_out), symbols.counts()[""]
        (270, 135, 2)
    """
    for name, given in (("count", count), ("fragments", fragments)):
        if given < 2:
            raise ValueError(f"{name} must be at least 2, got {given}")
    made = make_symbols(count, seed, fonts=find_fonts())
    late = np.arange(len(made)) % count >= count - max(count // HELD_OUT, 1)
    tenth = max(fragments // HELD_OUT, 1)
    whole = made + SymbolSet(as_on_pages(made.images, made.labels, seed), made.labels)
    for part, number, own in ((~late, fragments - tenth, seed + 1), (late, tenth, seed + 2)):
        some = made.some(np.flatnonzero(part))
        whole += SymbolSet(make_fragments(some.images, some.labels, number, own), (NOTHING,) * number)
    out = np.concatenate([late, late, np.zeros(fragments - tenth, dtype=bool), np.ones(tenth, dtype=bool)])
    return whole, np.flatnonzero(out)


def _tell(epoch: Epoch) -> None:
    print(f"epoch {epoch.epoch} of {epoch.epochs}: loss {epoch.train_loss:.3f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command's options and run it."""
    parser = argparse.ArgumentParser(prog="python -m steepest.formulas.models.make", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--folder", type=Path, help="of the training, kept, so that it can go on")
    parser.add_argument("--count", type=int, default=600, help="symbols of each class (%(default)s)")
    parser.add_argument("--fragments", type=int, default=24000, help="pictures of what is no symbol (%(default)s)")
    parser.add_argument("--epochs", type=int, default=9, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        digest = make_model(
            given.out,
            given.folder or Path(folder) / "training",
            count=given.count,
            fragments=given.fragments,
            epochs=given.epochs,
            seed=given.seed,
        )
    print(f"sha256 {digest}")


if __name__ == "__main__":
    main()
