"""How many pages of handwriting are taken apart without a mistake.

    python benchmarks/formula_pages.py SYMBOLS [--pages 100] [--seed 0] [--symbols line|page] [--broken .03]
        [--touching .03] [--recognizer MODEL] [--held-out FOLD] [--failures DIR]

SYMBOLS is a set of single symbols (see `steepest formulas train`). With --recognizer the pages are read with its help;
with --held-out they are made of one of five folds of the set, and MODEL should have been trained on the others:
`python benchmarks/formula_symbols.py SYMBOLS MODEL --held-out FOLD`. Pages are made by
`steepest.formulas.image.make_page` of seeds that follow each other: 1 to 6 lines of 3 to 40 symbols each, or with
`--symbols page` 3 to 40 symbols in all. Prints in how many pages

- lines and reading order are exact: as many lines as were written, and in every one each box that was found belongs,
  by the symbol that it covers best, to that line, from left to right;
- boxes are exact: each symbol's box is found once, with an intersection over union of at least .8, and there is no
  other;

and the median and the longest time to read a page, and one of 100 symbols, on one thread. Asserts nothing. With
--failures, pages with a mistake are drawn there: what was found in green, what was missed in red.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from formula_symbols import load, load_recognizer
from numpy.typing import NDArray

from steepest.formulas.image import Box, Made, make_page, read_page
from steepest.formulas.image.boxes import overlap
from steepest.formulas.reading import Recognizer, read_formulas

LEAST = 0.8


class Verdict(NamedTuple):
    lines: bool
    boxes: bool
    missed: list[Box]


def judge(made: Made, page: list[list[Box]]) -> Verdict:
    """What is right of what was found."""
    boxes = [placed.box for line in made.lines for placed in line]
    line_of = [number for number, line in enumerate(made.lines) for _ in line]
    owners = [[max(range(len(boxes)), key=lambda k: overlap(boxes[k], b)) for b in line] for line in page]
    ordered = all(row == sorted(row) and {line_of[k] for k in row} == {n} for n, row in enumerate(owners))
    found = [pair for row, line in zip(owners, page, strict=True) for pair in zip(row, line, strict=True)]
    hit = {k for k, box in found if overlap(boxes[k], box) >= LEAST}
    missed = [box for k, box in enumerate(boxes) if k not in hit]
    return Verdict(len(owners) == len(made.lines) and ordered, not missed and len(found) == len(boxes), missed)


def draw(path: Path, made: Made, page: list[list[Box]], missed: list[Box]) -> None:
    picture = cv2.cvtColor(made.image, cv2.COLOR_GRAY2BGR)
    for boxes, colour in (([box for line in page for box in line], (0, 150, 0)), (missed, (0, 0, 255))):
        for box in boxes:
            cv2.rectangle(picture, (box.x, box.y), (box.right - 1, box.bottom - 1), colour, 1)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


def page_lines(seed: int, names: list[str]) -> list[str]:
    """3 to 40 symbols on a page of 1 to 6 lines, at random."""
    rng = np.random.default_rng([seed, 1])
    count = int(rng.integers(3, 40, endpoint=True))
    lines = int(rng.integers(1, min(6, count // 3), endpoint=True))
    cuts = sorted(
        3 * k + c
        for k, c in enumerate(sorted(rng.integers(0, count - 3 * lines, lines - 1, endpoint=True), key=int), 1)
    )
    text = [names[k] for k in rng.integers(len(names), size=count)]
    return ["".join(text[a:b]) for a, b in zip([0, *cuts], [*cuts, count], strict=True)]


def seconds(image: NDArray[np.uint8], recognizer: Recognizer | None) -> tuple[list[list[Box]], float]:
    started = time.perf_counter()
    lines = (
        read_page(image).lines if recognizer is None else [x.symbols for x in read_formulas(image, recognizer).lines]
    )
    return [[symbol.box for symbol in line] for line in lines], time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("data", metavar="SYMBOLS", type=Path)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the first page; default: 0")
    parser.add_argument("--symbols", choices=("line", "page"), default="line", help="3 to 40 in a line, or on a page")
    parser.add_argument("--broken", type=float, default=0.03)
    parser.add_argument("--touching", type=float, default=0.03)
    parser.add_argument("--recognizer", metavar="MODEL", type=Path)
    parser.add_argument("--held-out", metavar="FOLD", type=int, help="0 to 4; default: the whole set")
    parser.add_argument("--failures", type=Path, help="a folder for pictures of pages with a mistake")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    images, labels = load(given.data, given.held_out)
    recognizer = load_recognizer(given.recognizer) if given.recognizer else None
    names = sorted(set(labels))
    if given.failures:
        given.failures.mkdir(parents=True, exist_ok=True)
    times, lines, boxes, broken, touching, symbols = [], 0, 0, 0, 0, 0
    for seed in range(given.seed, given.seed + given.pages):
        texts = page_lines(seed, names) if given.symbols == "page" else None
        made = make_page(images, labels, seed, texts=texts, broken=given.broken, touching=given.touching)
        page, spent = seconds(made.image, recognizer)
        verdict = judge(made, page)
        times.append(spent)
        lines, boxes = lines + verdict.lines, boxes + verdict.boxes
        broken, touching = broken + made.broken, touching + made.touching
        symbols += sum(len(line) for line in made.lines)
        if given.failures and not (verdict.lines and verdict.boxes):
            draw(given.failures / f"{seed}.png", made, page, verdict.missed)
    hundred = make_page(images, labels, given.seed, lines=(4, 4), symbols=(25, 25)).image
    print(f"{given.pages} pages, {symbols} symbols, {broken} broken, {touching} pairs that touch")
    print(f"lines and reading order exact  {lines}")
    print(f"boxes exact                    {boxes}")
    print(f"seconds a page                 {statistics.median(times):.2f}, at most {max(times):.2f}")
    print(f"seconds of 100 symbols         {statistics.median(seconds(hundred, recognizer)[1] for _ in range(5)):.2f}")


if __name__ == "__main__":
    main()
