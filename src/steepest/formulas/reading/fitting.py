"""The nets that join and cut, fitted to pages that are made: there it is known whose ink is whose."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from steepest.formulas.image.boxes import Box, Mask, Part, box_of, crop, joined_part, overlap
from steepest.formulas.image.making import make_page
from steepest.formulas.image.reading import find_baseline, read_page
from steepest.formulas.image.touching import find_cuts
from steepest.formulas.reading.recognizer import Recognizer
from steepest.formulas.reading.seams import Net, Opinions, Seams, Writing
from steepest.formulas.reading.segmenting import cut_inputs, is_near, pair_inputs, whole_inputs

Values = NDArray[np.float64]
Owners = NDArray[np.int32]
_RATE = 0.12  # of symbols are broken, and of neighbours touch, on pages to learn from
_OWN = 0.12  # of a symbol's ink is in what it has a part of
_PURE = 0.9  # of a symbol's ink is on one side of a right cut
_SAME = 0.8  # of what two boxes cover is shared, and they are one
_SHARE = 0.1  # of whole symbols are cut to learn from


class Examples(NamedTuple):
    """Inputs of the three nets, and what they should say."""

    pair: tuple[Values, NDArray[np.bool_]]
    more: tuple[Values, NDArray[np.bool_]]
    cut: tuple[Values, NDArray[np.bool_]]


def fit_seams(
    images: NDArray[np.integer],
    labels: Sequence[str],
    recognizer: Recognizer,
    pages: int,
    seed: int,
    progress: Callable[[int], object] = lambda page: None,
) -> Seams:
    """Fit the nets to pages made of symbols, on which more are broken and touch than people's.

    Args:
        images: of symbols, (N, 28, 28), not 0 where there is ink, that the recogniser need not know.
        labels: of the images.
        recognizer: one that knows ``""``.
        pages: how many are made.
        seed: the same nets for the same seed.
        progress: called with the number of each page.
    """
    found = []
    for page in range(pages):
        found.append(page_examples(images, labels, recognizer, seed * 1_000_000 + page))
        progress(page)
    every = [tuple(np.concatenate(part) for part in zip(*kind, strict=True)) for kind in zip(*found, strict=True)]
    nets = [_fit_net(inputs, truth, epochs, seed) for (inputs, truth), epochs in zip(every, (60, 60, 15), strict=True)]
    return Seams(*nets)


def page_examples(images: NDArray[np.integer], labels: Sequence[str], recognizer: Recognizer, seed: int) -> Examples:
    """What a page teaches."""
    made = make_page(images, labels, seed, broken=_RATE, touching=_RATE)
    sizes = np.bincount(made.owners[made.owners >= 0])
    opinions, rng = Opinions(recognizer), np.random.default_rng(seed)
    found: list[Examples] = []

    def learn(parts: Sequence[Part], height: float) -> list[Part]:
        writing = Writing(height, *find_baseline([part.box for part in parts], height))
        found.append(_line_examples(parts, made.owners, sizes, writing, opinions, rng))
        return list(parts)

    read_page(made.image, segment=learn)
    return Examples(*((np.concatenate(x), np.concatenate(y)) for x, y in (zip(*kind, strict=True) for kind in zip(*found, strict=True))))


def _line_examples(
    parts: Sequence[Part],
    owners: Owners,
    sizes: NDArray[np.int64],
    writing: Writing,
    opinions: Opinions,
    rng: np.random.Generator,
) -> Examples:
    """Make examples of a line's parts, and of the symbols of several of them."""
    known = [(part, _find_owners(part, owners, sizes)) for part in parts]
    groups: dict[int, list[Part]] = {}
    for part, whose in known:
        if len(whose) == 1:
            groups.setdefault(next(iter(whose)), []).append(part)
    wholes = [(joined_part(group), frozenset([who])) for who, group in groups.items() if len(group) > 1]
    items = [(part, whose) for part, whose in known if len(whose) == 1] + wholes
    pairs = [
        (i, j)
        for j in range(len(items))
        for i in range(min(j, len(known)))
        if is_near(items[i][0], items[j][0], writing.height) and (j < len(items) - len(wholes) or items[i][1] != items[j][1])
    ]
    pair = pair_inputs([part for part, _ in items], pairs, writing, opinions)
    same = np.array([items[i][1] == items[j][1] for i, j in pairs], dtype=bool)
    ones = [(part, whose) for part, whose in known if len(whose) > 1 or (whose and len(groups[next(iter(whose))]) == 1)]
    ones += wholes
    more = whole_inputs([part for part, _ in ones], writing, opinions) if ones else np.zeros((0, 9))
    several = np.array([len(whose) > 1 for _, whose in ones], dtype=bool)
    inputs, right = [np.zeros((0, 29))], [np.zeros(0, dtype=bool)]
    for part, whose in ones:
        if len(whose) > 1 or rng.random() < _SHARE:
            cuts = find_cuts(part, writing.height)
            if cuts:
                inputs.append(cut_inputs(part, cuts, writing, opinions))
                right.append(np.array([_is_right(part, cut.left, cut.right, whose, owners) for cut in cuts], dtype=bool))
    return Examples((pair, same), (more, several), (np.concatenate(inputs), np.concatenate(right)))


def _find_owners(part: Part, owners: Owners, sizes: NDArray[np.int64]) -> frozenset[int]:
    """Find the symbols of which a part has some ink."""
    whose = owners[crop(part.box)][part.ink]
    counts = np.bincount(whose[whose >= 0], minlength=len(sizes))
    return frozenset(np.flatnonzero(counts >= np.maximum(_OWN * sizes, 1)).tolist())


def _is_right(part: Part, left: Part, right: Part, whose: frozenset[int], owners: Owners) -> bool:
    """Say whether each symbol is on one side of a cut, and each side's box is that of its symbols."""
    sides: tuple[list[int], list[int]] = ([], [])
    for who in whose:
        on_left, on_right = (int((owners[crop(half.box)][half.ink] == who).sum()) for half in (left, right))
        share = on_left / max(on_left + on_right, 1)
        if 1 - _PURE <= share <= _PURE:
            return False
        sides[share < 0.5].append(who)
    return all(side and overlap(_inked(part, owners, side), half.box) >= _SAME for side, half in zip(sides, (left, right), strict=True))


def _inked(part: Part, owners: Owners, whose: Sequence[int]) -> Box:
    ink: Mask = np.isin(owners[crop(part.box)], whose) & part.ink
    return box_of(ink).moved(part.box.x, part.box.y)


def _fit_net(inputs: Values, truth: NDArray[np.bool_], epochs: int, seed: int) -> Net:
    """Fit 24 and 24 hidden units by AdamW."""
    generator = torch.Generator("cpu").manual_seed(seed)
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    x = torch.as_tensor(np.clip((inputs - mean) / scale, -5, 5), dtype=torch.float32, device="cpu")
    y = torch.as_tensor(truth, dtype=torch.float32, device="cpu")
    sizes = [x.shape[1], *_HIDDEN, 1]
    weights = [_draw(taken, given, generator) for taken, given in zip(sizes, sizes[1:])]
