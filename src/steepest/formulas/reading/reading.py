"""From the picture of a page to the formulas on it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Part
from steepest.formulas.image.reading import find_baseline, read_page, segment_by_shape
from steepest.formulas.image.symbols import Symbol
from steepest.formulas.logic.labels import MEANINGS
from steepest.formulas.logic.reading import MOST_SYMBOLS, most_probable
from steepest.formulas.reading.recognizer import Recognizer, class_places
from steepest.formulas.reading.results import Formulas, ReadLine, ReadSymbol, class_of, top_alternatives
from steepest.formulas.reading.seams import Opinions, Writing, load_seams
from steepest.formulas.reading.segmenting import segment
from steepest.formulas.reading.sizes import case_shares, size_shares

_LEAST = 0.001  # what is less probable is not read


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
    lines = read_page(image, debug, make_segmenter(recognizer)).lines
    return read_symbols(weigh(lines, recognizer), grammar=grammar, words=words)


def make_segmenter(recognizer: Recognizer) -> Callable[[Sequence[Part], float], list[Part]]:
    """What makes symbols of a line's parts: with the recogniser's help if it knows ``""``, or else by shape alone."""
    if "" not in recognizer.labels:
        return segment_by_shape
    opinions, seams = Opinions(recognizer), load_seams()

    def segment_line(parts: Sequence[Part], height: float) -> list[Part]:
        row, slope = find_baseline([part.box for part in parts], height)
        return segment(parts, Writing(height, row, slope), opinions, seams)

    return segment_line


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
    sizes = [(s.relative_height * s.box.width / s.box.height, s.relative_height, s.baseline) for s in flat]
    shares = probabilities * size_shares(labels, np.array(sizes, dtype=np.float64))
    weighed = iter(
        ReadSymbol(*symbol, alternatives=top_alternatives(labels, row))
        for symbol, row in zip(flat, shares, strict=True)
    )
    return [[next(weighed) for _ in line] for line in lines]
