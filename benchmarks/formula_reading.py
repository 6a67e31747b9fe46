"""How many handwritten formulas are read without a mistake, with and without the grammar.

    python benchmarks/formula_reading.py SYMBOLS --recognizer MODEL [--held-out FOLD] [--pages 200] [--seed 0]
        [--broken 0] [--touching 0]

SYMBOLS is a set of single symbols (see `steepest formulas train`), MODEL what a recogniser was saved as. Formulas are
drawn at random, of 4 to 40 symbols over all 67 classes, and written on pages, 1 to 3 on each, with pictures of the set.
With --held-out, only those of one of five folds are used, in which copies of a picture are together; train MODEL on the
other four: `python benchmarks/formula_symbols.py SYMBOLS MODEL --held-out FOLD`.

Prints the share of formulas that are read exactly, and the rate of wrong characters: how many must be changed, added or
left out, over how many were written. Asserts nothing.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from formula_symbols import load, load_recognizer
from numpy.typing import NDArray

from steepest.formulas.image import make_page
from steepest.formulas.logic import (
    And,
    Comparison,
    Equality,
    Exists,
    ForAll,
    Formula,
    Function,
    Iff,
    Implies,
    Not,
    Or,
    Predicate,
    Term,
    Variable,
    write,
)
from steepest.formulas.reading import read_formulas
from steepest.formulas.reading.results import class_of

FEWEST, MOST = 4, 40
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SMALL = CAPITALS.lower()
BINARY = (And, Or, Implies, Iff)


def draw_term(rng: np.random.Generator, bound: str, levels: int) -> Term:
    kind = rng.random()
    if kind < 0.5 or not levels:
        if bound and rng.random() < 0.75:
            return Variable(bound[rng.integers(len(bound))])
        if rng.random() < 0.25:
            return Function(str(rng.integers(0, 99)))
        free = [letter for letter in SMALL[:20] if letter not in bound]
        return Function(free[rng.integers(len(free))])
    below = [draw_term(rng, bound, levels - 1) for _ in range(2)]
    if kind < 0.65:
        return Function("+-"[rng.integers(2)], (below[0], below[1]))
    return Function(SMALL[rng.integers(26)], tuple(below[: rng.integers(1, 2, endpoint=True)]))


def draw_formula(rng: np.random.Generator, bound: str = "", levels: int = 3) -> Formula:
    """A formula at random, whose free variables are none."""
    kind = rng.random()
    if kind < 0.25 or not levels:
        terms = tuple(draw_term(rng, bound, 1) for _ in range(rng.integers(0 if levels < 2 else 1, 3)))
        return Predicate(CAPITALS[rng.integers(26)], terms)
    if kind < 0.35:
        left, right = draw_term(rng, bound, 1), draw_term(rng, bound, 1)
        sign = rng.integers(3)
        return Equality(left, right) if sign == 2 else Comparison("<>"[sign], left, right)
    if kind < 0.45:
        return Not(draw_formula(rng, bound, levels - 1))
    if kind < 0.7:
        letter = "uvwxyzabc"[rng.integers(9)]
        return (ForAll, Exists)[rng.integers(2)](Variable(letter), draw_formula(rng, bound + letter, levels - 1))
    sides = [draw_formula(rng, bound, levels - 1) for _ in range(2)]
    return BINARY[rng.integers(4)](sides[0], sides[1])


def draw_text(rng: np.random.Generator) -> str:
    while True:
        text = write(draw_formula(rng)).replace(" ", "")
        if FEWEST <= len(text) <= MOST:
            return text


def with_both_cases(images: NDArray[np.uint8], labels: list[str]) -> tuple[NDArray[np.uint8], list[str]]:
    """The set, with the pictures of classes that stand for several characters once for each of them."""
    own: dict[str, list[str]] = {}
    for sign in CAPITALS + "∨":
        own.setdefault(class_of(sign), []).append(sign)
    more = [(k, sign) for k, label in enumerate(labels) for sign in own.get(label, []) if sign != label]
    return np.concatenate([images, images[[k for k, _ in more]]]), labels + [sign for _, sign in more]


def distance(a: str, b: str) -> int:
    """How many characters must be changed, added or left out to make b of a (Levenshtein).

    >>> distance("P(x)", "Pcx)y")
    2
    """
    row = list(range(len(b) + 1))
    for i, sign in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (sign != other))
    return row[-1]


def page_distances(written: list[str], read: list[str]) -> list[int]:
    """The distance of each line that was written to what was read there; what was read besides counts for the last."""
    if len(read) == len(written):
        return [distance(a, b) for a, b in zip(written, read, strict=True)]
    return [*(len(line) for line in written[:-1]), distance("".join(written), "".join(read))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("data", metavar="SYMBOLS", type=Path)
    parser.add_argument("--recognizer", metavar="MODEL", type=Path, required=True)
    parser.add_argument("--held-out", metavar="FOLD", type=int, help="0 to 4; default: the whole set")
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first page; default: 0")
    parser.add_argument("--broken", type=float, default=0.0)
    parser.add_argument("--touching", type=float, default=0.0)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    images, labels = with_both_cases(*load(given.data, given.held_out))
    recognizer = load_recognizer(given.recognizer)
    exact, errors, count, signs = {False: 0, True: 0}, {False: 0, True: 0}, 0, 0
    for seed in range(given.seed, given.seed + given.pages):
        rng = np.random.default_rng([seed, 19])
        texts = [draw_text(rng) for _ in range(rng.integers(1, 3, endpoint=True))]
        page = make_page(images, labels, seed, texts=texts, broken=given.broken, touching=given.touching).image
        count, signs = count + len(texts), signs + sum(len(text) for text in texts)
        for grammar in (False, True):
            read = [line.text for line in read_formulas(page, recognizer, grammar=grammar).lines]
            found = page_distances(texts, read)
            exact[grammar] += sum(off == 0 for off in found)
            errors[grammar] += sum(found)
    print(f"{given.pages} pages, {count} formulas, {signs} symbols")
    for grammar, name in ((False, "without the grammar"), (True, "with the grammar")):
        shares = 100 * exact[grammar] / count, 100 * errors[grammar] / signs
        print(f"{name:20} exact {shares[0]:5.1f} %  wrong characters {shares[1]:5.2f} %")


if __name__ == "__main__":
    main()
