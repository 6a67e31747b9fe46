"""What a line says: its symbols' most probable formula, and where that is improbable, other symbols of the same ink."""

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from steepest.formulas.logic.labels import MEANINGS
from steepest.formulas.logic.reading import MOST_SYMBOLS, most_probable
from steepest.formulas.reading.results import ReadLine, ReadSymbol, class_of
from steepest.formulas.reading.segmenting import Decision
from steepest.formulas.reading.sizes import case_shares

Changed = Sequence[tuple[Hashable, ...]]
_LEAST = 0.001  # what is less probable is not read
_NONE = 15.0  # nats that a line loses which is no formula
_LITTLE = 1.0  # nats: a line that loses less by the grammar is left as it is
_OPEN = 4.0  # the logit of a decision that may have been wrong
_MOST = 5  # such decisions, the most doubtful first


def read_line(symbols: Sequence[ReadSymbol], grammar: bool, words: bool) -> tuple[ReadLine, float]:
    """What symbols say, and how much less probable the grammar makes that: the logarithm of the ratio."""
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
    plain = most_probable(alternatives, grammar=False, shares=shares)
    reading = plain
    if grammar and len(symbols) <= MOST_SYMBOLS:
        reading = most_probable(alternatives, words=words, shares=shares)
    read = tuple(replace(symbol, choice=choice) for symbol, choice in zip(symbols, reading.choices, strict=True))
    lost = _NONE if reading.tree is None else plain.log_probability - reading.log_probability
    return ReadLine(read, reading.text, reading.tree, reading.misfit), lost


def read_best(
    symbols: Sequence[ReadSymbol],
    decisions: Sequence[Decision],
    read_other: Callable[[Changed], Sequence[ReadSymbol]],
    words: bool,
) -> ReadLine:
    """What a line says by the grammar; where it says little, with one or two decisions changed that made its symbols.

    Args:
        symbols: of the line.
        decisions: that made them.
        read_other: the symbols of the same ink with other decisions.
        words: as in :func:`read_formulas`.
    """
    best, least = read_line(symbols, True, words)
    if least < _LITTLE or len(symbols) > MOST_SYMBOLS:
        return best
    doubtful = sorted((d for d in decisions if abs(d.logit) < _OPEN), key=lambda d: abs(d.logit))[:_MOST]
    for changed in [*itertools.combinations(doubtful, 1), *itertools.combinations(doubtful[:3], 2)]:
        price = sum(abs(decision.logit) for decision in changed)
        if price < least:
            other, lost = read_line(read_other([decision.about for decision in changed]), True, words)
            if price + lost < least:
                best, least = other, price + lost
    return best
