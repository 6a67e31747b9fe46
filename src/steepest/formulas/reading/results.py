"""What was read from a page, and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Box
from steepest.formulas.image.symbols import SIDE
from steepest.formulas.logic.labels import LABELS, MEANINGS
from steepest.formulas.logic.reading import Choice
from steepest.formulas.logic.syntax import Formula

TOP = 5


@dataclass(frozen=True, eq=False)
class ReadSymbol:
    """A symbol that was read.

    Attributes:
        box: of its ink, in the page's pixels.
        bitmap: (28, 28) ``uint8``, 1 where there is ink.
        relative_height, baseline: as :class:`~steepest.formulas.image.Symbol` has them.
        alternatives: classes and their probabilities, the most probable first, at most 5.
        choice: the character, its class, and the probability of that.
        corrected: the character that a user says it is.
    """

    box: Box
    bitmap: NDArray[np.uint8]
    relative_height: float
    baseline: float
    alternatives: tuple[tuple[str, float], ...]
    choice: Choice | None = None
    corrected: str | None = None

    def as_character(self, character: str) -> "ReadSymbol":
        """The same ink, corrected: it is this character and nothing else.

        Raises:
            ValueError: no class is that character.
        """
        class_of(character)
        return replace(self, corrected=character)


@dataclass(frozen=True)
class ReadLine:
    """A line that was read: its symbols from left to right, and what they say.

    Attributes:
        text: one character for each symbol.
        tree: its formula, or ``None`` where there is none or none was asked for.
        misfit: where there is no formula the number of the first symbol with which none goes on, or of all symbols.
    """

    symbols: tuple[ReadSymbol, ...]
    text: str
    tree: Formula | None
    misfit: int | None


@dataclass(frozen=True)
class Formulas:
    """What a page says, line by line from the top down."""

    lines: tuple[ReadLine, ...]

    @property
    def text(self) -> str:
        """A line of text for each line."""
        return "\n".join(line.text for line in self.lines)

    def to_json(self) -> str:
        """As JSON: ``{"lines": [{"text", "formula", "misfit", "symbols": [...]}]}``.

        ``formula`` says whether the line is one, ``misfit`` is a symbol's number or null. A symbol is ``box`` ([x, y,
        width, height] in the page's pixels), ``character``, ``label`` (its class), ``probability``, ``corrected``
        (whether a user said so), ``relative_height`` and ``baseline`` (in capitals' heights), ``alternatives`` (pairs
        [class, probability], the most probable first), and ``bitmap`` (196 hexadecimal digits, 7 a row from the top,
        the leftmost pixel in the highest bit).
        """
        lines = [
            {
                "text": line.text,
                "formula": line.tree is not None,
                "misfit": line.misfit,
                "symbols": [_list_symbol(symbol) for symbol in line.symbols],
            }
            for line in self.lines
        ]
        return json.dumps({"lines": lines}, ensure_ascii=False)


def _list_symbol(symbol: ReadSymbol) -> dict[str, Any]:
    choice = symbol.choice
    return {
        "box": [int(value) for value in symbol.box],
        "character": None if choice is None else choice.character,
        "label": None if choice is None else choice.label,
        "probability": None if choice is None else round(choice.probability, 6),
        "corrected": symbol.corrected is not None,
        "relative_height": round(symbol.relative_height, 4),
        "baseline": round(symbol.baseline, 4),
        "alternatives": [[label, round(probability, 6)] for label, probability in symbol.alternatives],
        "bitmap": np.packbits(symbol.bitmap.ravel()).tobytes().hex(),
    }


def read_json(text: str) -> list[list[ReadSymbol]]:
    """The symbols of :meth:`Formulas.to_json`, line by line, for :func:`read_symbols`.

    Raises:
        ValueError: it is no such JSON, a class is none, or a number is not finite or out of its range.
    """
    try:
        lines = json.loads(text)["lines"]
        return [[_make_symbol(symbol) for symbol in line["symbols"]] for line in lines]
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"text must be JSON as to_json writes it: {type(error).__name__} {error}") from None


def _make_symbol(found: dict[str, Any]) -> ReadSymbol:
    box, bits = Box(*(int(value) for value in found["box"])), bytes.fromhex(found["bitmap"])
    alternatives = tuple((str(label), float(probability)) for label, probability in found["alternatives"])
    height, baseline = float(found["relative_height"]), float(found["baseline"])
    if min(box.width, box.height) < 1 or not np.isfinite([height, baseline]).all() or len(bits) * 8 != SIDE * SIDE:
        raise ValueError(f"a symbol of box {tuple(box)} is none")
    if not alternatives or not all(label in LABELS and 0 <= p <= 1 for label, p in alternatives):
        raise ValueError(f"alternatives {alternatives} are none")
    bitmap = np.unpackbits(np.frombuffer(bits, dtype=np.uint8)).reshape(SIDE, SIDE)
    corrected = str(found["character"]) if found.get("corrected") else None
    if corrected is not None:
        class_of(corrected)
    return ReadSymbol(box, bitmap, height, baseline, alternatives, corrected=corrected)


def class_of(character: str) -> str:
    """The class that has a character as its own.

    Raises:
        ValueError: none has.

    Example:
        >>> class_of("P"), class_of("∨"), class_of("B")
        ('p', 'v', 'B')
    """
    if character in LABELS:
        return character
    for label in LABELS:
        if MEANINGS[label].get(character, 0) > 0.5:
            return label
    raise ValueError(f"character must be one that symbols can be, got {character!r}")


def top_alternatives(labels: Sequence[str], shares: Sequence[float]) -> tuple[tuple[str, float], ...]:
    """The 5 most probable classes of shares that need not sum to 1, with probabilities that do, with all others'.

    Example:
        >>> top_alternatives("ab1", [0.5, 1.5, 0.0])
        (('b', 0.75), ('a', 0.25))
    """
    total = sum(shares)
    order = sorted(range(len(labels)), key=lambda k: -shares[k])[:TOP]
    return tuple((labels[k], float(shares[k] / total)) for k in order if shares[k] > 0)
