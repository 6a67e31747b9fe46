"""From the picture of a page to the formulas on it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Part
from steepest.formulas.image.reading import find_baseline, measure_line, page_scale, read_page
from steepest.formulas.image.symbols import Symbol
from steepest.formulas.reading.lines import Changed, read_best, read_line
from steepest.formulas.reading.recognizer import Recognizer, class_places
from steepest.formulas.reading.results import Formulas, ReadSymbol, top_alternatives
from steepest.formulas.reading.seams import Writing, load_seams
from steepest.formulas.reading.segmenting import Segmented, Segmenter
from steepest.formulas.reading.sizes import size_shares


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
    if "" not in recognizer.labels:
        return read_symbols(weigh(read_page(image, debug).lines, recognizer), grammar=grammar, words=words)
    segmenter = Segmenter(recognizer, load_seams())
    found: list[tuple[Sequence[Part], Writing, Segmented]] = []

    def segment_line(parts: Sequence[Part], height: float) -> list[Part]:
        if not parts:
            return []
        writing = Writing(height, *find_baseline([part.box for part in parts], height))
        segmented = segmenter.segment(parts, writing)
        found.append((parts, writing, segmented))
        return segmented.parts

    lines = weigh(read_page(image, debug, segment_line).lines, recognizer)
    if not grammar:
        return read_symbols(lines, grammar=False, words=words)
    scale = page_scale(image.shape)

    def read_other(number: int, changed: Changed) -> list[ReadSymbol]:
        parts, writing, _ = found[number]
        other = segmenter.segment(parts, writing, changed).parts
        return weigh([measure_line(other, writing.height, scale)], recognizer)[0]

    read = []
    for number, line in enumerate(lines):
        decisions = found[number][2].decisions
        read.append(read_best(line, decisions, partial(read_other, number), words))
    return Formulas(tuple(read))


def read_symbols(lines: Sequence[Sequence[ReadSymbol]], *, grammar: bool = True, words: bool = False) -> Formulas:
    """Say what symbols say, line by line: again, after a user has corrected some.

    Lines of more than 300 symbols are read without the grammar; empty lines are left out.

    Args:
        lines: symbols from left to right; of each count its alternatives from 1 in 1,000 on, its
            size, and what it was corrected to.
        grammar, words: as in :func:`read_formulas`.
    """
    return Formulas(tuple(read_line(line, grammar, words)[0] for line in lines if line))


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
