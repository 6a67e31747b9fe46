"""Fit the nets that join and cut pieces of ink, and write them.

    python benchmarks/formula_seams.py made --out src/steepest/formulas/reading/seams.json
    python benchmarks/formula_seams.py SYMBOLS --recognizer MODEL --out SEAMS.json [--held-out FOLD] [--pages 200]
        [--seed 3]

SYMBOLS is a set of single symbols (see `steepest formulas train`), or `made`: 100 of each class as
`steepest.formulas.sets.made.make_symbols` makes them, of a seed that the shipped model was not made with. MODEL is a
recogniser that knows what is no symbol, as `formula_symbols.py` makes it; without one it is the shipped model. With
--held-out the symbols of that fold are not used. The package reads its nets from
`src/steepest/formulas/reading/seams.json`, which the first command, `make formulas-seams`, writes.
"""

import argparse
import time
from pathlib import Path

import cv2
import torch
from formula_symbols import load, load_recognizer

from steepest.formulas.models import load_default
from steepest.formulas.reading.fitting import fit_seams
from steepest.formulas.sets.made import find_fonts, make_symbols

MADE, MADE_EACH, MADE_SEED = "made", 100, 23


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("data", metavar="SYMBOLS", type=Path, help="a set, or made")
    parser.add_argument("--recognizer", metavar="MODEL", type=Path, help="default: the shipped one")
    parser.add_argument("--out", metavar="SEAMS.json", type=Path, required=True)
    parser.add_argument("--held-out", metavar="FOLD", type=int, help="0 to 4; default: the whole set is used")
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if str(given.data) == MADE:
        if given.held_out is not None:
            parser.error("argument --held-out: must be left out where SYMBOLS is made")
        made = make_symbols(MADE_EACH, MADE_SEED, fonts=find_fonts())
        images, labels = made.images, list(made.labels)
    else:
        images, labels = load(given.data, given.held_out, rest=True)
    recognizer = load_recognizer(given.recognizer) if given.recognizer else load_default()
    started = time.perf_counter()

    def note(page: int) -> None:
        if page % 20 == 19:
            print(f"{page + 1} pages, {time.perf_counter() - started:.0f} s", flush=True)

    seams = fit_seams(images, labels, recognizer, given.pages, given.seed, note)
    given.out.write_text(seams.to_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
