"""A sheet as the page gets it, and its text in all languages."""

from typing import Any

from steepest.formulas.app.sheets import Sheet
from steepest.formulas.app.symbols import pack
from steepest.formulas.logic import FORMATS, draw_tree, write
from steepest.formulas.logic.labels import MEANINGS
from steepest.formulas.reading import ReadLine, ReadSymbol

COMMENT = {"latex": "%", "tptp": "%", "prover9": "%"}
SUFFIX = {"unicode": "txt", "latex": "tex", "tptp": "p", "prover9": "in", "ascii": "txt"}


def show_sheet(sheet: Sheet) -> dict[str, Any]:
    """What there is on a sheet: boxes in the picture's pixels, or the screen's if it was drawn."""
    page, read = sheet.page(), sheet.read()

    def place(symbol: ReadSymbol) -> list[float]:
        box = symbol.box if page is None else page.to_screen(symbol.box)
        return [round(value, 1) for value in box]

    return {
        "sheet": sheet.number,
        "revision": sheet.revision,
        "drawn": page is not None,
        "strokes": None if sheet.strokes is None else [stroke.tolist() for stroke in sheet.strokes],
        "width": sheet.width,
        "height": sheet.height,
        "options": sheet.options,
        "lines": [
            {**_show_line(line, number), "symbols": [_show_symbol(symbol, place(symbol)) for symbol in line.symbols]}
            for number, line in enumerate(read.lines, 1)
        ],
    }


def write_text(sheet: Sheet, to: str) -> str:
    """All lines in one language; what cannot be written in it is a comment, or stands as it is."""
    lines = [_show_line(line, number) for number, line in enumerate(sheet.read().lines, 1)]
    return "".join(f"{line['texts'][to]}\n" for line in lines)


def _show_line(line: ReadLine, number: int) -> dict[str, Any]:
    return {
        "misfit": line.misfit,
        "formula": line.tree is not None,
        "tree": None if line.tree is None else draw_tree(line.tree),
        "texts": {to: _write_line(line, to, number) for to in FORMATS},
    }


def _write_line(line: ReadLine, to: str, number: int) -> str:
    if line.tree is None:
        return line.text if to not in COMMENT else f"{COMMENT[to]} line {number} is no formula: {line.text}"
    try:
        text = write(line.tree, to, name=f"formula_{number}")
    except ValueError as error:
        return line.text if to not in COMMENT else f"{COMMENT[to]} line {number}: {error}"
    return f"{text}." if to == "prover9" else f"${text}$" if to == "latex" else text


def _show_symbol(symbol: ReadSymbol, box: list[float]) -> dict[str, Any]:
    choice = symbol.choice
    return {
        "box": box,
        "character": choice.character if choice else "",
        "label": choice.label if choice else "",
        "probability": round(choice.probability, 4) if choice else 0,
        "corrected": symbol.corrected is not None,
        "bitmap": pack(symbol.bitmap).hex(),
        "alternatives": [
            {"character": character, "label": label, "probability": round(probability, 4)}
            for label, probability in symbol.alternatives
            for character, share in MEANINGS[label].items()
            if share > 0.5
        ],
    }
