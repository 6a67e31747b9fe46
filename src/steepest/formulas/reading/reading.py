"""From the picture of a page to the formulas on it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.reading import read_page
from steepest.formulas.image.symbols import Symbol
from steepest.formulas.logic.labels import LABELS, MEANINGS
from steepest.formulas.logic.reading import MOST_SYMBOLS, most_probable
from steepest.formulas.reading.results import Formulas, ReadLine, ReadSymbol, class_of, top_alternatives
from steepest.formulas.reading.sizes import case_shares, size_share

_LEAST = 0.001  # what is less probable is not read


class Recognizer(Protocol):
    """What tells symbols apart.

    ``labels``: classes of :data:`~steepest.formulas.logic.LABELS`, and ``""`` for what is no symbol if it knows that;
    ``probabilities``: of bitmaps (N, 28, 28) ``uint8``, 1 where there is ink, float64 (N, len(labels)) whose rows sum
    to 1.
    """

    @property
    def labels(self) -> tuple[str, ...]: ...

    def probabilities(self, bitmaps: NDArray[np.uint8]) -> NDArray[np.float64]: ...


def read_formulas(
    image: NDArray[np.uint8],
    recognizer: Recognizer,
    *,
    grammar: bool = True,
    words: bool = False,
    debug: Path | str | None = None,
) -> Formulas:
    """Read the formulas on a page, one a line.

    Args:
        image: (H, W), (H, W, 3) or (H, W, 4).
        grammar: choose the most probable formula of all that a line can be; otherwise each symbol by itself.
        words: names of predicates, functions and constants may have several letters.
        debug: a folder that gets a picture of every step.

    Raises:
        ValueError: ``image`` is none of these, or the recogniser has labels that are no classes.
    """
    lines = read_page(image, debug).lines
    return read_symbols(weigh(lines, recognizer), grammar=grammar, words=words)


def read_symbols(lines: Sequence[Sequence[ReadSymbol]], *, grammar: bool = True, words: bool = False) -> Formulas:
    """Say what symbols say, line by line: again, after a user has corrected some.

    Lines of more than 300 symbols are read without the grammar; empty lines are left out.

    Args:
        lines: symbols from left to right; of each count its alternatives from 1 in 1,000 on, its
            size, and what it was corrected to.
        grammar, words: as in :func:`read_formulas`.
    """
    return Formulas(tuple(_read_line(line, grammar, words) for line in lines if line))


def _read_line(symbols: Sequence[ReadSymbol], grammar: bool, words: bool) -> ReadLine:
    alternatives, shares = [], []
    for symbol in symbols:
        if symbol.corrected is None:
            likely = tuple(pair for pair in symbol.alternatives if pair[1] >= _LEAST)
            alternatives.append(likely or symbol.alternatives[:1])
            shares.append(case_shares(symbol.relative_height))
        else:
            label = class_of(symbol.corrected)
            alternatives.append(((label, 1.0),))
            shares.append({sign: float(sign == symbol.corrected) for sign in MEANINGS[label]})
    reading = most_probable(alternatives, grammar=grammar and len(symbols) <= MOST_SYMBOLS, words=words, shares=shares)
    read = tuple(replace(symbol, choice=choice) for symbol, choice in zip(symbols, reading.choices, strict=True))
    return ReadLine(read, reading.text, reading.tree, reading.misfit)


def weigh(lines: Sequence[Sequence[Symbol]], recognizer: Recognizer) -> list[list[ReadSymbol]]:
    """Give symbols their alternatives: what the recogniser says of the bitmap, weighed by what is usual in size.

    Raises:
        ValueError: the recogniser has labels that are no classes.
    """
    places = class_places(recognizer)
    flat = [symbol for line in lines for symbol in line]
    if not flat:
        return []
    labels = list(places)
    probabilities = recognizer.probabilities(np.stack([symbol.bitmap for symbol in flat]))[:, list(places.values())]
    weighed = iter(
        ReadSymbol(*symbol, alternatives=top_alternatives(labels, row * _size_shares(labels, symbol)))
        for symbol, row in zip(flat, probabilities, strict=True)
    )
    return [[next(weighed) for _ in line] for line in lines]


def _size_shares(labels: Sequence[str], symbol: Symbol) -> NDArray[np.float64]:
    shares = [size_share(label, symbol.box, symbol.relative_height, symbol.baseline) for label in labels]
    return np.array(shares, dtype=np.float64)


def class_places(recognizer: Recognizer) -> dict[str, int]:
    """Where a recogniser's classes stand among its labels, without that of no symbol.

    Raises:
        ValueError: a label is no class, stands twice, or there is no class.
    """
    labels = tuple(recognizer.labels)
    wrong = [label for label in labels if label and label not in LABELS]
    if wrong or len(set(labels)) != len(labels) or not any(labels):
        raise ValueError(f"recognizer must have labels of {''.join(LABELS)}, each once, got {labels}")
    return {label: k for k, label in enumerate(labels) if label}
