"""Train a recogniser that knows what is no symbol, on four of five folds of a set: for the benchmarks of pages.

    python benchmarks/formula_symbols.py SYMBOLS MODEL [--held-out 0] [--network cnn] [--fragments 15000] [--epochs 14]

SYMBOLS is a set of single symbols (see `steepest formulas train`); copies of one picture, turned ones too, are in one
fold. To those of the other four come as many as pages show them, and fragments. Writes MODEL, and prints
its accuracy on the symbols of the fold that was held out.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from steepest.formulas.reading import as_on_pages, make_fragments
from steepest.formulas.recognition import Recognizer, Settings, test_recognizer
from steepest.formulas.recognition.training import assignment_of, calibrated
from steepest.formulas.sets import SymbolSet, folds, hold_out_symbols, read_set
from steepest.training.definitions.outcome import Progress
from steepest.training.train import train

FOLDS = 5


def load(path: Path, held_out: int | None = None, *, rest: bool = False) -> tuple[NDArray[np.uint8], list[str]]:
    """The images (N, 28, 28) and labels of a set: all, those of one fold, or the rest."""
    symbols = read_set(path)
    if held_out is not None:
        symbols = symbols.some(np.flatnonzero((folds(symbols, FOLDS, 0) == held_out) ^ rest))
    return symbols.images, list(symbols.labels)


def load_recognizer(path: Path) -> Recognizer:
    return Recognizer.load(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("data", metavar="SYMBOLS", type=Path)
    parser.add_argument("out", metavar="MODEL", type=Path)
    parser.add_argument("--held-out", metavar="FOLD", type=int, default=0)
    parser.add_argument("--network", default="cnn")
    parser.add_argument("--fragments", type=int, default=15000)
    parser.add_argument("--epochs", type=int, default=14)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, labels = load(given.data, given.held_out, rest=True)
    plain, count = SymbolSet(images, tuple(labels)), given.fragments
    every = plain + SymbolSet(as_on_pages(images, labels, 0), plain.labels)
    every += SymbolSet(make_fragments(images, labels, count, 1), ("",) * count)
    rest, held_out = hold_out_symbols(plain, 0.1)
    start, tenth = 2 * len(plain), count // 10
    rest = np.concatenate([rest, rest + len(plain), np.arange(start + tenth, start + count)])
    held_out = np.concatenate([held_out, held_out + len(plain), np.arange(start, start + tenth)])
    settings = Settings(network=given.network, epochs=given.epochs, batch_size=128)
    networks = list[nn.Module]()
    assignment, names = assignment_of(every, rest, held_out, settings)

    def note(seen: Progress) -> bool:
        print(
            f"epoch {seen.validations}  loss {seen.train_loss:.3f}  accuracy {seen.validation_metric:.4f}", flush=True
        )
        return False

    started = time.perf_counter()
    train(assignment, with_test=False, progress=note, trained=networks.append)
    recognizer = calibrated(networks[0], names, assignment.splits.validation)
    recognizer.save(given.out)
    symbols = test_recognizer(recognizer, SymbolSet(*_held(given.data, given.held_out)))
    print(f"accuracy {100 * symbols.accuracy:.2f} % on fold {given.held_out}, {time.perf_counter() - started:.0f} s")


def _held(path: Path, held_out: int) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    images, labels = load(path, held_out)
    return images, tuple(labels)


if __name__ == "__main__":
    main()
