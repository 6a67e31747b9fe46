"""How many symbols a recogniser knows, and which it takes for which."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from steepest._errors import InputError
from steepest.formulas.recognition.recognizer import Recognizer
from steepest.formulas.sets.symbol_set import NOTHING, SymbolSet

SHOWN = 12


class Confusion(NamedTuple):
    """Symbols of one class that were taken for another: how many, and the indices of the first in the set."""

    said: str
    was: str
    count: int  # type: ignore[assignment]  # in the place of the tuple's own
    examples: tuple[int, ...]


@dataclass(frozen=True)
class Tested:
    """What came of a test.

    Attributes:
        accuracy: from 0 to 1.
        balanced_accuracy: the mean over the classes in the set of each one's own.
        confusions: pairs of classes, the most frequent first.
        counts: symbols of each class.
    """

    accuracy: float
    balanced_accuracy: float
    confusions: list[Confusion]
    counts: dict[str, int]


def test_recognizer(recognizer: Recognizer, symbols: SymbolSet) -> Tested:
    """Ask a recogniser for every symbol of a set.

    A class that the recogniser does not know counts as never right.

    Raises:
        InputError: the set is empty.
    """
    if not len(symbols):
        raise InputError("a set to test on must hold at least one symbol, got none")
    return judge(answers(recognizer, symbols), symbols)


test_recognizer.__test__ = False  # type: ignore[attr-defined]  # no test, whatever pytest makes of its name


def answers(recognizer: Recognizer, symbols: SymbolSet) -> list[str]:
    """What each symbol of a set is taken for: for none (``""``) only where some of the set are none.

    So it is when pages are read: what was cut out as a symbol is one.
    """
    rows = recognizer.probabilities(symbols.images)
    if NOTHING in recognizer.labels and NOTHING not in symbols.labels:
        rows[:, recognizer.labels.index(NOTHING)] = -1
    best = rows.argmax(axis=1)
    return [recognizer.labels[k] for k in best.tolist()]


def judge(said: list[str], symbols: SymbolSet) -> Tested:
    """What comes of these answers, one for each symbol."""
    right = np.array([a == b for a, b in zip(said, symbols.labels, strict=True)], dtype=bool)
    was = np.array(symbols.labels, dtype="U1")
    by_class = [right[was == label].mean() for label in symbols.counts()]
    pairs: dict[tuple[str, str], list[int]] = {}
    for index in np.flatnonzero(~right).tolist():
        pairs.setdefault((said[index], symbols.labels[index]), []).append(index)
    ordered = sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return Tested(
        float(right.mean()),
        float(np.mean(by_class)),
        [Confusion(a, b, len(found), tuple(found[:SHOWN])) for (a, b), found in ordered],
        symbols.counts(),
    )
