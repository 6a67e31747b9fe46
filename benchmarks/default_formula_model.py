"""How much of real handwriting the model knows that comes with the package, which has seen none.

    python benchmarks/default_formula_model.py REAL [--model FILE] [--shown 20]

REAL is a set of symbols as `steepest formulas train` takes it. Prints the accuracy, where no symbol is taken for none;
how many of the symbols the model takes for none first, and the accuracy with these as mistakes; the class-balanced
accuracy; the accuracy where l 1 I ( ) and the comma, and o and 0, are one class each (a net alone cannot tell them, a
grammar can); how often the right class is among the first five; the mean of the probability that the model gives to
its answer (its accuracy, were it calibrated) and of the logarithm of that of the right class; the classes known worst
and the pairs most often confused. Asserts nothing.
"""

import argparse
from pathlib import Path

import numpy as np

from steepest.formulas.models import load_default
from steepest.formulas.recognition import Recognizer, test_recognizer
from steepest.formulas.sets import read_set
from steepest.formulas.sets.symbol_set import NOTHING

ALIKE = {"l": "1", "I": "1", "(": "1", ")": "1", ",": "1", "o": "0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path)
    parser.add_argument("--model", type=Path, help="by default the one of the package")
    parser.add_argument("--shown", type=int, default=20, help="classes and pairs")
    given = parser.parse_args()
    recognizer = Recognizer.load(given.model) if given.model else load_default()
    symbols = read_set(given.real)
    rows = recognizer.probabilities(symbols.images)
    none = recognizer.labels.index(NOTHING) if NOTHING in recognizer.labels else None
    first = np.array(recognizer.labels)[rows.argmax(axis=1)]
    if none is not None:
        rows[:, none] = 0
        rows /= rows.sum(axis=1, keepdims=True)
    tested = test_recognizer(recognizer, symbols)
    was = np.array(symbols.labels)
    said = np.array(recognizer.labels)[rows.argmax(axis=1)]
    number = np.array([recognizer.labels.index(label) for label in symbols.labels])
    own = rows[np.arange(len(rows)), number]
    alike = np.mean([ALIKE.get(a, a) == ALIKE.get(b, b) for a, b in zip(said, was, strict=True)])
    first_five = np.mean((rows > own[:, None]).sum(axis=1) < 5)
    print(f"accuracy {100 * tested.accuracy:.2f} %, {len(symbols)} symbols")
    if none is not None:
        print(f"taken for no symbol first {100 * (first == NOTHING).mean():.2f} %", end=", ")
        print(f"accuracy with these as mistakes {100 * (first == was).mean():.2f} %")
    print(f"class-balanced accuracy {100 * tested.balanced_accuracy:.2f} %")
    print(f"accuracy where l 1 I ( ) , and o 0 are one class each {100 * alike:.2f} %")
    print(f"right class among the first five {100 * first_five:.2f} %")
    print(f"mean probability of the answer {100 * rows.max(axis=1).mean():.2f} %")
    print(f"mean -log probability of the right class {-np.log(np.maximum(own, 1e-12)).mean():.3f}")
    by_class = sorted((float((said[was == label] == label).mean()), label) for label in symbols.counts())
    print("worst classes: " + "  ".join(f"{label} {100 * right:.0f} %" for right, label in by_class[: given.shown]))
    print("confused: " + "  ".join(f"{c.was} as {c.said} {c.count}" for c in tested.confusions[: given.shown]))


if __name__ == "__main__":
    main()
