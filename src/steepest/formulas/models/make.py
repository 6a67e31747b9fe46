"""``python -m steepest.formulas.models.make --out FILE``: makes the model that comes with the package, anew."""

import argparse
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from steepest.formulas.recognition import Epoch, Settings, train_recognizer
from steepest.formulas.sets.made import find_fonts, make_symbols

LARGEST = 500_000  # bytes


def make_model(out: Path, folder: Path, *, count: int, epochs: int, seed: int) -> str:
    """Make symbols, train the CNN on them and write it in 16 bits: the file's sha256.

    Args:
        folder: of the training; one that was killed goes on.
        count: symbols of each class.

    Raises:
        ValueError: the file would be larger than 500 KB.
    """
    symbols = make_symbols(count, seed, fonts=find_fonts())
    trained = train_recognizer(symbols, folder, Settings("cnn", epochs=epochs, seed=seed, batch_size=128), _tell)
    content = trained.recognizer.content(half=True)
    if len(content) > LARGEST:
        raise ValueError(f"the model must have at most {LARGEST} bytes, got {len(content)}")
    out.write_bytes(content)
    print(f"{len(symbols)} symbols, accuracy on a tenth held out {100 * trained.tested.accuracy:.2f} %")
    return hashlib.sha256(content).hexdigest()


def _tell(epoch: Epoch) -> None:
    print(f"epoch {epoch.epoch} of {epoch.epochs}: loss {epoch.train_loss:.3f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command's options and run it."""
    parser = argparse.ArgumentParser(prog="python -m steepest.formulas.models.make", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--folder", type=Path, help="of the training, kept, so that it can go on")
    parser.add_argument("--count", type=int, default=600, help="symbols of each class (%(default)s)")
    parser.add_argument("--epochs", type=int, default=8, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        digest = make_model(
            given.out,
            given.folder or Path(folder) / "training",
            count=given.count,
            epochs=given.epochs,
            seed=given.seed,
        )
    print(f"sha256 {digest}")


if __name__ == "__main__":
    main()
