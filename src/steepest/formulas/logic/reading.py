"""What symbols that are known with probabilities most probably say: the best formula of all that they can be."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from steepest.formulas.logic.chart import Chart
from steepest.formulas.logic.labels import LABELS, MEANINGS, kind_of
from steepest.formulas.logic.parsing import DEEPEST, build_tree, formula_parser
from steepest.formulas.logic.scanning import make_token
from steepest.formulas.logic.syntax import Formula

MOST_SYMBOLS = DEEPEST  # no tree of so many is deeper
Alternatives = Sequence[tuple[str, float]]
Shares = Mapping[str, float]


class Choice(NamedTuple):
    """What one symbol is read as: the character, its class, and the probability of that."""

    character: str
    label: str
    probability: float


@dataclass(frozen=True)
class Reading:
    """What symbols say.

    ``text``: one character for each; ``tree``: its formula, or ``None`` where there is none or none was asked for;
    ``log_probability``: the sum of the choices' logarithms; ``misfit``: where there is no formula the first symbol with
    which nothing that the symbols before it can be goes on, or their number if the formula would have to go on.
    """

    text: str
    tree: Formula | None
    log_probability: float
    choices: tuple[Choice, ...]
    misfit: int | None = None

    @property
    def probability(self) -> float:
        """The product of the choices' probabilities."""
        return math.exp(self.log_probability)


def most_probable(
    symbols: Sequence[Alternatives],
    *,
    grammar: bool = True,
    words: bool = False,
    shares: Sequence[Shares] | None = None,
) -> Reading:
    """The most probable formula that symbols can be, exactly: no other formula has a greater product.

    A class stands for all characters that it cannot tell apart, each with the probability of the class: p for p and P,
    v for v, V and ∨ (a tenth less for the letters). At a hundredth, those of 0 and o stand for each other, and so do
    those of 1, l, I and of brackets with 1 and l.

    The work grows with the cube of the number of symbols and hardly with that of the alternatives.

    Args:
        symbols: in reading order, for each its possible classes of :data:`~steepest.formulas.logic.LABELS`, with
            probabilities that need not sum to 1.
        grammar: choose among formulas; otherwise, and where the symbols can be no formula, each symbol by itself.
        words: names of predicates, functions and constants may have several letters.
        shares: for each symbol, what characters keep of what they have by their class, from 0 to 1; those that it does
            not name keep all. A large o is rather an O than an o, and what is known to be an O is nothing else.

    Raises:
        ValueError: there are no symbols, more than 300 with ``grammar``, a class is none, a probability is not from 0
            to 1, none of a symbol's is above 0, or ``shares`` are not as many as symbols.

    Example:
        >>> symbols = [[("p", 0.9), ("d", 0.1)], [("c", 0.6), ("(", 0.4)], [("x", 1.0)], [(")", 0.8), ("1", 0.2)]]
        >>> most_probable(symbols).text, most_probable(symbols, grammar=False).text
        ('P(x)', 'pcx)')
        >>> most_probable(symbols[:3]).misfit
        3
    """
    if shares is not None and len(shares) != len(symbols):
        raise ValueError(f"shares must be as many as symbols, {len(symbols)}, got {len(shares)}")
    kept: Sequence[Shares] = [{}] * len(symbols) if shares is None else shares
    found = [_list_choices(place, *pair) for place, pair in enumerate(zip(symbols, kept, strict=True))]
    if not found:
        raise ValueError("symbols must hold at least one symbol, got none")
    if not grammar:
        return _read([max(choices.values(), key=lambda choice: choice.probability) for choices in found])
    if len(found) > MOST_SYMBOLS:
        raise ValueError(f"symbols must be at most {MOST_SYMBOLS} where the grammar chooses, got {len(found)}")
    best = [_choose_by_kind(choices) for choices in found]
    kinds = sorted({kind for choices in best for kind in choices})
    scores = {kind: np.array([_log(choices.get(kind)) for choices in best], dtype=np.float64) for kind in kinds}
    chart = _make_chart(words)
    terminals = chart.best(scores)
    if terminals is None:
        plain = [max(choices.values(), key=lambda choice: choice.probability) for choices in found]
        return _read(plain, misfit=chart.longest_start(scores))
    chosen = [choices[kind] for choices, kind in zip(best, terminals, strict=True)]
    tokens = [
        make_token(kind, choice.character, k, k + 1)
        for k, (kind, choice) in enumerate(zip(terminals, chosen, strict=True))
    ]
    return _read(chosen, tree=build_tree("".join(choice.character for choice in chosen), tokens))


def _read(chosen: Sequence[Choice], tree: Formula | None = None, misfit: int | None = None) -> Reading:
    text = "".join(choice.character for choice in chosen)
    return Reading(text, tree, sum(math.log(choice.probability) for choice in chosen), tuple(chosen), misfit)


def _list_choices(place: int, alternatives: Alternatives, kept: Shares) -> dict[str, Choice]:
    """List the characters that a symbol can be, each by its most probable class."""
    found: dict[str, Choice] = {}
    for label, probability in alternatives:
        if label not in MEANINGS:
            raise ValueError(f"symbols[{place}] must name classes of {''.join(LABELS)}, got {label!r}")
        if not 0 <= probability <= 1:
            raise ValueError(f"symbols[{place}] must give {label!r} a probability from 0 to 1, got {probability}")
        for character, share in MEANINGS[label].items():
            value = float(probability) * share * kept.get(character, 1.0)
            if value > 0 and (character not in found or value > found[character].probability):
                found[character] = Choice(character, str(label), value)
    if not found:
        raise ValueError(f"symbols[{place}] must have a class whose probability is above 0, got none")
    return found


def _choose_by_kind(choices: dict[str, Choice]) -> dict[str, Choice]:
    """Choose the most probable character of each terminal of the grammar."""
    found: dict[str, Choice] = {}
    for choice in choices.values():
        kind = kind_of(choice.character)
        if kind not in found or choice.probability > found[kind].probability:
            found[kind] = choice
    return found


def _log(choice: Choice | None) -> float:
    return -math.inf if choice is None else math.log(choice.probability)


@cache
def _make_chart(words: bool) -> Chart:
    """Make the chart of the grammar that texts are parsed by."""
    rules = [(rule.origin.name, tuple(sign.name for sign in rule.expansion)) for rule in formula_parser().rules]
    return Chart(rules, "formula", () if words else ("more",))
