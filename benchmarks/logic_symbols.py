"""How well handwritten symbols of logic are told apart: five folds, copies of a symbol in one of them.

    python benchmarks/logic_symbols.py SET [--networks dense,cnn] [--folds 5] [--seed 0] [--epochs N] [--no-distort]
        [--method adam] [--lr X] [--threads 1]

SET is what `steepest.formulas.sets.read_set` reads: a folder, a zip, rows of FOPL, an `.npz`, strokes. Prints, for each
network, accuracy and class-balanced accuracy, mean and standard deviation over the folds; the pairs of classes that are
taken for each other most often; and the seconds of a training, validation after each epoch included. Asserts nothing.
"""

import argparse
import statistics
import time
from pathlib import Path

from steepest.formulas.recognition import Settings, cross_validate
from steepest.formulas.sets import read_set


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("set", metavar="SET", type=Path)
    parser.add_argument("--networks", default="dense,cnn")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="default: 30 of the dense net, 20 of the CNN")
    parser.add_argument("--no-distort", action="store_true", help="train on the symbols as they are")
    parser.add_argument("--method", default="adam")
    parser.add_argument("--lr", type=float)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    symbols = read_set(given.set)
    print(f"{len(symbols)} symbols of {len(symbols.counts())} classes, {given.folds} folds")
    for network in given.networks.split(","):
        settings = Settings(
            network, given.method, given.lr, given.epochs, seed=given.seed, distort=not given.no_distort,
            threads=given.threads,
        )  # fmt: skip
        before = time.process_time()
        found = cross_validate(
            symbols,
            settings,
            given.folds,
            lambda fold, tested, seconds: print(f"  fold {fold}: {tested.accuracy:.2%}, {seconds:.0f} s", flush=True),
        )
        used = (time.process_time() - before) / given.folds
        print(f"{network}, {settings.method}, {settings.passes} epochs:")
        for name, (mean, deviation) in (
            ("accuracy", found.accuracy),
            ("class-balanced accuracy", found.balanced_accuracy),
        ):
            print(f"  {name:24} {mean:.2%} ± {deviation:.2%}")
        print(f"  {'seconds of a training':24} {statistics.median(found.seconds):.0f}, {used:.0f} of the processor")
        pairs = [f"{c.was} as {c.said}: {c.count}" for c in found.tested.confusions[:8]]
        print(f"  {'most often taken':24} {', '.join(pairs)}", flush=True)


if __name__ == "__main__":
    main()
