"""The nets that join and cut, fitted to pages that are made: there it is known whose ink is whose."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from steepest.formulas.image.boxes import Box, Mask, Part, box_of, crop, joined_part, overlap
from steepest.formulas.image.making import Made, make_page
from steepest.formulas.image.reading import find_baseline, read_page
from steepest.formulas.image.touching import FINE, find_cuts
from steepest.formulas.reading.junction_fitting import Looks, fit_junctions
from steepest.formulas.reading.junctions import Junctions, draw_junctions
from steepest.formulas.reading.recognizer import Recognizer
from steepest.formulas.reading.seams import FARTHEST, Net, Opinions, Seams, Writing, cut_layouts
from steepest.formulas.reading.segmenting import cut_inputs, is_near, pair_inputs, whole_inputs

Values = NDArray[np.float64]
Truth = NDArray[np.bool_]
Owners = NDArray[np.int32]
_RATE = 0.12  # of symbols are broken, and of neighbours touch, on pages to learn from
_OWN = 0.12  # of a symbol's ink is in what it has a part of
_PURE = 0.9  # of a symbol's ink is on one side of a right cut
_SAME = 0.8  # of what two boxes cover is shared, and they are one
_HIDDEN, _BATCH, _LR, _DECAY = (32, 32), 256, 5e-3, 0.1
_EPOCHS = (60, 30, 12, 8)
_LOOKS = 5  # times as many pages to learn from how cuts look
_KEPT = (12, 36)  # right and wrong cuts of a piece that are looked at, at most
_WHOLE = (0.25, 10)  # of pieces of one symbol are looked at, and cuts of each
_ASKED = 24  # cuts of a piece that are learnt from, those that look most like right ones, beside the right ones
_SHARE = 0.04  # of whole symbols are cut to learn from at least, and more of those that look like none


class Examples(NamedTuple):
    """Inputs of the four nets, and what they should say."""

    pair: tuple[Values, Truth]
    more: tuple[Values, Truth]
    cut: tuple[Values, Truth]
    place: tuple[Values, Truth]


def fit_seams(
    images: NDArray[np.integer],
    labels: Sequence[str],
    recognizer: Recognizer,
    pages: int,
    seed: int,
    progress: Callable[[int], object] = lambda page: None,
) -> Seams:
    """Fit the nets to pages made of symbols, on which more are broken and touch than people's.

    The net that looks at cuts comes first, from pages of its own, five times as many.

    Args:
        images: of symbols, (N, 28, 28), not 0 where there is ink, that the recogniser need not know.
        labels: of the images.
        recognizer: one that knows ``""``.
        pages: how many the other nets learn from.
        seed: the same nets for the same seed.
        progress: called with the number of each page that was made.
    """
    looks, found = list[Looks](), list[Examples]()
    for page in range(_LOOKS * pages):
        looks += page_looks(images, labels, (seed + 1) * 1_000_000 - 1 - page)
        progress(page)
    junction = fit_junctions(looks, seed)
    for page in range(pages):
        found.append(page_examples(images, labels, recognizer, junction, seed * 1_000_000 + page))
        progress(_LOOKS * pages + page)
    pair, more, cut, place = (
        _fit_net(*kind, epochs, seed) for kind, epochs in zip(_join_kinds(found), _EPOCHS, strict=True)
    )
    return Seams(pair, more, cut, place, junction)


def page_looks(images: NDArray[np.integer], labels: Sequence[str], seed: int) -> list[Looks]:
    """What a page teaches of how cuts look."""
    made, sizes = _make(images, labels, seed)
    found, rng = list[Looks](), np.random.default_rng(seed)

    def look(parts: Sequence[Part], height: float) -> list[Part]:
        for part in parts:
            whose = _find_owners(part, made.owners, sizes)
            several = len(whose) > 1
            if not several and rng.random() > _WHOLE[0]:
                continue
            cuts = find_cuts(part, height, FINE)
            judged = np.array(
                [several and _is_right(part, cut.left, cut.right, whose, made.owners) for cut in cuts], dtype=bool
            )
            right, wrong = (rng.permutation(np.flatnonzero(judged == is_right)) for is_right in (True, False))
            some = np.concatenate([right[: _KEPT[0]], wrong[: _KEPT[1] if several else _WHOLE[1]]])
            if len(some):
                chosen = [cuts[k] for k in some]
                found.append(
                    Looks(draw_junctions(part, chosen, height), cut_layouts(part, chosen, height), judged[some])
                )
        return list(parts)

    read_page(made.image, segment=look)
    return found


def _make(images: NDArray[np.integer], labels: Sequence[str], seed: int) -> tuple[Made, NDArray[np.int64]]:
    """Make a page, and count the ink of each of its symbols."""
    made = make_page(images, labels, seed, broken=_RATE, touching=_RATE)
    return made, np.bincount(made.owners[made.owners >= 0])


def page_examples(
    images: NDArray[np.integer], labels: Sequence[str], recognizer: Recognizer, junction: Junctions, seed: int
) -> Examples:
    """What a page teaches the other nets."""
    made, sizes = _make(images, labels, seed)
    opinions, rng = Opinions(recognizer), np.random.default_rng(seed)
    found: list[Examples] = []

    def learn(parts: Sequence[Part], height: float) -> list[Part]:
        writing = Writing(height, *find_baseline([part.box for part in parts], height))
        found.append(_line_examples(parts, made.owners, sizes, writing, opinions, junction, rng))
        return list(parts)

    read_page(made.image, segment=learn)
    return Examples(*_join_kinds(found))


def _join_kinds(found: Sequence[Examples]) -> list[tuple[Values, Truth]]:
    kinds = (zip(*kind, strict=True) for kind in zip(*found, strict=True))
    return [(np.concatenate(list(inputs)), np.concatenate(list(truth))) for inputs, truth in kinds]


def _line_examples(
    parts: Sequence[Part],
    owners: Owners,
    sizes: NDArray[np.int64],
    writing: Writing,
    opinions: Opinions,
    junction: Junctions,
    rng: np.random.Generator,
) -> Examples:
    """Make examples of a line's parts, and of the symbols of several of them."""
    known = [(part, _find_owners(part, owners, sizes)) for part in parts]
    groups: dict[int, list[Part]] = {}
    for part, whose in known:
        if len(whose) == 1:
            groups.setdefault(next(iter(whose)), []).append(part)
    wholes = [(joined_part(group), frozenset([who])) for who, group in groups.items() if len(group) > 1]
    singles = [(part, whose) for part, whose in known if len(whose) == 1]
    items, single = singles + wholes, len(singles)
    pairs = [
        (i, j)
        for j in range(len(items))
        for i in range(min(j, single))
        if is_near(items[i][0], items[j][0], writing.height) and (j < single or items[i][1] != items[j][1])
    ]
    pair = pair_inputs([(items[i][0], items[j][0]) for i, j in pairs], writing, opinions)
    same = np.array([items[i][1] == items[j][1] for i, j in pairs], dtype=bool)
    ones = [(part, whose) for part, whose in known if len(whose) > 1 or (whose and len(groups[next(iter(whose))]) == 1)]
    ones += wholes
    more = whole_inputs([part for part, _ in ones], writing, opinions) if ones else np.zeros((0, 9))
    several = np.array([len(whose) > 1 for _, whose in ones], dtype=bool)
    cut, place = _cut_examples(ones, more, owners, writing, opinions, junction, rng)
    return Examples((pair, same), (more, several), cut, place)


def _cut_examples(
    ones: Sequence[tuple[Part, frozenset[int]]],
    more: Values,
    owners: Owners,
    writing: Writing,
    opinions: Opinions,
    junction: Junctions,
    rng: np.random.Generator,
) -> tuple[tuple[Values, Truth], tuple[Values, Truth]]:
    """Make examples of cuts: of pieces of several symbols, and of some of one, rather of those that look like none."""
    inputs, right = [np.zeros((0, 30))], [np.zeros(0, dtype=bool)]
    layouts, places = [np.zeros((0, 11))], [np.zeros(0, dtype=bool)]
    for (part, whose), logs in zip(ones, more, strict=True):
        if len(whose) == 1 and rng.random() > max(_SHARE, 1 - np.exp(logs[1])):
            continue
        cuts = find_cuts(part, writing.height, FINE)
        if not cuts:
            continue
        judged = np.array([_is_right(part, cut.left, cut.right, whose, owners) for cut in cuts], dtype=bool)
        layout = cut_layouts(part, cuts, writing.height)
        if len(whose) > 1:
            layouts.append(layout)
            places.append(judged)
        looks = junction(draw_junctions(part, cuts, writing.height), layout)
        likely = np.argsort(-looks, kind="stable")
        asked = np.concatenate([likely[:_ASKED], [k for k in likely[_ASKED:] if judged[k]]]).astype(np.int64)
        inputs.append(cut_inputs(part, [cuts[k] for k in asked], looks[asked], writing, opinions))
        right.append(judged[asked])
    return (np.concatenate(inputs), np.concatenate(right)), (np.concatenate(layouts), np.concatenate(places))


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
    return all(
        side and overlap(_inked(part, owners, side), half.box) >= _SAME
        for side, half in zip(sides, (left, right), strict=True)
    )


def _inked(part: Part, owners: Owners, whose: Sequence[int]) -> Box:
    ink: Mask = np.isin(owners[crop(part.box)], whose) & part.ink
    return box_of(ink).moved(part.box.x, part.box.y)


def _fit_net(inputs: Values, truth: Truth, epochs: int, seed: int) -> Net:
    """Fit two hidden layers by AdamW."""
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    x = torch.as_tensor(np.clip((inputs - mean) / scale, -FARTHEST, FARTHEST), dtype=torch.float32, device="cpu")
    y = torch.as_tensor(truth, dtype=torch.float32, device="cpu")
    generator = torch.Generator("cpu").manual_seed(seed)
    sizes = [x.shape[1], *_HIDDEN, 1]
    layers = [_draw_layer(taken, given, generator) for taken, given in pairwise(sizes)]
    steps = max(epochs * len(x) // _BATCH, 1)
    optimizer = torch.optim.AdamW([value for layer in layers for value in layer], lr=_LR, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=steps + 1)
    for _ in range(steps):
        batch = torch.randint(len(x), (_BATCH,), generator=generator, device="cpu")
        loss = nn.functional.binary_cross_entropy_with_logits(_forward(layers, x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return Net(mean, scale, tuple((w.detach().double().numpy(), b.detach().double().numpy()) for w, b in layers))


def _draw_layer(taken: int, given: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a layer's weights as torch does by default."""
    reach = taken**-0.5
    drawn = [
        torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")
        for shape in ((given, taken), (given,))
    ]
    weights, biases = (((2 * value - 1) * reach).requires_grad_() for value in drawn)
    return weights, biases


def _forward(layers: Sequence[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    for k, (weights, biases) in enumerate(layers):
        x = (torch.relu(x) if k else x) @ weights.T + biases
    return x[:, 0]
