"""Reading with the model in use; and boxes that are split, merged and removed by hand."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.app.answers import RefusedError
from steepest.formulas.app.models import Models
from steepest.formulas.app.sheets import Lines, Sheet
from steepest.formulas.image import Box, Part, Symbol, binarize, cut_symbol, find_paper, to_grey
from steepest.formulas.image.boxes import box_of, crop, joined_box, overlap
from steepest.formulas.image.touching import find_cuts
from steepest.formulas.reading import ReadSymbol, read_formulas
from steepest.formulas.reading.reading import weigh
from steepest.formulas.recognition import Recognizer

_SAME = 0.8  # of what two boxes cover is shared, and they are the same symbol's
_EVEN = 0.7  # strokes' widths of ink that a cut may cross more for halves that differ by a capital's height less
Mask = NDArray[np.bool_]


class Reader:
    """The recogniser in use, loaded once."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self._lock = threading.Lock()
        self._loaded: tuple[Path, int, Recognizer] | None = None

    def recognizer(self) -> Recognizer:
        """The model in use.

        Raises:
            RefusedError: there is none.
            InputError: its file is damaged.
        """
        path = self.models.path(self.models.in_use())
        with self._lock:
            changed = path.stat().st_mtime_ns
            if self._loaded is None or self._loaded[:2] != (path, changed):
                self._loaded = path, changed, Recognizer.load(path)
            return self._loaded[2]

    def read(self, image: NDArray[np.uint8], options: dict[str, bool]) -> Lines:
        """The symbols of a page."""
        return [
            list(line.symbols)
            for line in read_formulas(
                image, self.recognizer(), grammar=options["grammar"], words=options["words"]
            ).lines
        ]

    def again(self, lines: Lines) -> Lines:
        """What the model in use makes of symbols that another has read; corrections stay."""
        corrected = [symbol.corrected for line in lines for symbol in line]
        weighed = [symbol for line in self._weigh([[_plain(s) for s in line] for line in lines]) for symbol in line]
        found = iter(replace(s, corrected=sign) for s, sign in zip(weighed, corrected, strict=True))
        return [[next(found) for _ in line] for line in lines]

    def split(self, sheet: Sheet, image: NDArray[np.uint8], line: int, place: int) -> Lines:
        """The symbol as two, parted where its ink is thinnest.

        Raises:
            RefusedError: there is no such symbol, or no way to part it.
        """
        old = find_symbol(sheet.lines, line, place)
        part = Part(old.box, _ink_of([old.box], old.box, _find_ink(sheet, image)))
        height = _capital(old)
        cuts = find_cuts(part, height) if part.ink.any() else []
        if not cuts:
            raise RefusedError(422, "this symbol is too narrow to be split")
        best = min(cuts, key=lambda c: c.crossed + _EVEN * abs(c.left.box.width - c.right.box.width) / height)
        halves = [_symbol(half.box, half.ink, old) for half in (best.left, best.right)]
        return self._replaced(sheet.lines, line, [place], halves)

    def merge(self, sheet: Sheet, image: NDArray[np.uint8], line: int, places: Sequence[int]) -> Lines:
        """Neighbours as one symbol.

        Raises:
            RefusedError: there is no such symbol, or they are no neighbours.
        """
        ordered = sorted(set(places))
        old = [find_symbol(sheet.lines, line, place) for place in ordered]
        if len(ordered) < 2 or ordered != list(range(ordered[0], ordered[-1] + 1)):
            raise RefusedError(422, "symbols to be merged must be neighbours, two at least")
        boxes = [symbol.box for symbol in old]
        ink = _ink_of(boxes, joined_box(boxes), _find_ink(sheet, image))
        if not ink.any():
            raise RefusedError(422, "these symbols cannot be merged")
        return self._replaced(sheet.lines, line, ordered, [_symbol(joined_box(boxes), ink, old[0])])

    def _replaced(self, lines: Lines, line: int, places: Sequence[int], new: list[Symbol]) -> Lines:
        (weighed,) = self._weigh([new])
        changed = [*lines[line][: places[0]], *weighed, *lines[line][places[-1] + 1 :]]
        return [*lines[:line], changed, *lines[line + 1 :]]

    def _weigh(self, lines: list[list[Symbol]]) -> Lines:
        return weigh(lines, self.recognizer())


def find_symbol(lines: Lines, line: int, place: int) -> ReadSymbol:
    """A symbol by its line and its place there, from 0.

    Raises:
        RefusedError: there is no such symbol.
    """
    if not (0 <= line < len(lines) and 0 <= place < len(lines[line])):
        raise RefusedError(404, f"there is no symbol {place} in line {line} of this sheet")
    return lines[line][place]


def correct(lines: Lines, line: int, place: int, character: str | None) -> Lines:
    """The symbol said to be a character, or again what the model makes of it.

    Raises:
        RefusedError: there is no such symbol, or no class is that character.
    """
    old = find_symbol(lines, line, place)
    try:
        new = replace(old, corrected=None) if character is None else old.as_character(character)
    except ValueError as error:
        raise RefusedError(422, str(error)) from None
    return [*lines[:line], [*lines[line][:place], new, *lines[line][place + 1 :]], *lines[line + 1 :]]


def remove(lines: Lines, line: int, place: int) -> Lines:
    """Without a symbol that is none.

    Raises:
        RefusedError: there is no such symbol.
    """
    find_symbol(lines, line, place)
    changed = [[s for k, s in enumerate(row) if (at, k) != (line, place)] for at, row in enumerate(lines)]
    return [row for row in changed if row]


def keep_corrections(before: Sheet, lines: Lines, after: Sheet) -> Lines:
    """The symbols of a sheet that was drawn on, with the corrections of those that were there before.

    Args:
        after: the same with its new strokes; its lines are not looked at.
    """
    old, new = before.page(), after.page()
    if old is None or new is None:
        return lines
    said = [(Box(*old.to_screen(s.box)), s.corrected) for line in before.lines for s in line if s.corrected]  # type: ignore[arg-type]

    def corrected(symbol: ReadSymbol) -> ReadSymbol:
        box = Box(*new.to_screen(symbol.box))  # type: ignore[arg-type]
        found = [sign for other, sign in said if overlap(box, other) > _SAME]
        return replace(symbol, corrected=found[0]) if found else symbol

    return [[corrected(symbol) for symbol in line] for line in lines]


def _plain(symbol: ReadSymbol) -> Symbol:
    return Symbol(symbol.box, symbol.bitmap, symbol.relative_height, symbol.baseline)


def _capital(symbol: ReadSymbol) -> float:
    return symbol.box.height / max(symbol.relative_height, 0.01)


def _symbol(box: Box, ink: Mask, old: ReadSymbol) -> Symbol:
    """Measure new ink on the line of an old symbol."""
    height = _capital(old)
    base = old.box.bottom + old.baseline * height
    tight = box_of(ink)
    around = tight.moved(box.x, box.y)
    return Symbol(around, cut_symbol(ink[crop(tight)]), around.height / height, (base - around.bottom) / height)


def _find_ink(sheet: Sheet, image: NDArray[np.uint8]) -> Mask:
    if sheet.strokes is not None:
        return np.asarray(image < 128)
    grey = to_grey(image)
    return binarize(grey, find_paper(grey))


def _ink_of(boxes: Sequence[Box], around: Box, ink: Mask) -> Mask:
    """Find the ink within boxes, without that of neighbours which reaches in."""
    count, pieces = cv2.connectedComponents(ink.astype(np.uint8), connectivity=8)
    inside = np.zeros(ink.shape, dtype=bool)
    for box in boxes:
        inside[crop(box)] = True
    within = np.bincount(pieces[inside], minlength=count)
    own = within > 0.5 * np.bincount(pieces.ravel(), minlength=count)
    own[0] = False
    return np.asarray((own[pieces] & inside)[crop(around)]) if own.any() else (ink & inside)[crop(around)]
