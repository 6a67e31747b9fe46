"""How much symbols of one's own are worth beside the shipped ones, by how often they come in an epoch.

    python benchmarks/formula_own_symbols.py SYMBOLS [--each 5] [--times 1 5 20] [--network dense] [--epochs 15]

SYMBOLS is a set of single symbols (see `steepest formulas train`). Of one of its five folds so many of each class are
the user's, and are trained on together with the symbols that come with the package. Prints the accuracy on a quarter
of the other folds.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from formula_symbols import load

from steepest.formulas.app.choices import made_symbols
from steepest.formulas.recognition import Settings, test_recognizer, train_recognizer
from steepest.formulas.sets import SymbolSet

HELD_OUT = 50  # one in so many shipped symbols, for the temperature


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("data", metavar="SYMBOLS", type=Path)
    parser.add_argument("--each", type=int, default=5)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--network", default="dense")
    parser.add_argument("--epochs", type=int, default=15)
    given = parser.parse_args()
    images, labels = load(given.data, 0)
    named = np.array(labels)
    shuffled = np.random.default_rng(0).permutation(len(named))
    own = np.concatenate([shuffled[named[shuffled] == label][: given.each] for label in dict.fromkeys(labels)])
    others, answers = load(given.data, 0, rest=True)
    others, answers = others[::4], answers[::4]
    shipped = made_symbols()
    symbols = shipped + SymbolSet(images[own], tuple(named[own].tolist()))
    settings = Settings(given.network, epochs=given.epochs)
    held_out = np.arange(0, len(shipped), HELD_OUT)
    for times in given.times:
        often = [1] * len(shipped) + [times] * len(own)
        with tempfile.TemporaryDirectory() as folder:
            trained = train_recognizer(symbols, Path(folder) / "out", settings, held_out=held_out, times=often)
        tested = test_recognizer(trained.recognizer, SymbolSet(others, tuple(answers)))
        print(f"{given.each} of each class, {times} times: {100 * tested.accuracy:.2f} % of {len(others)}", flush=True)


if __name__ == "__main__":
    main()
