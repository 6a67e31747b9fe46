"""Pages of handwriting made of pictures of single symbols, with what they say and where it stands."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Box, Grey, Mask, box_of, crop
from steepest.formulas.image.surface import photographed

JITTER, ANGLE, GAPS, PITCH = 0.15, 5.0, (0.05, 0.6), (1.2, 2.0)

# Of a capital's height: how high a symbol is, or how wide a wide one, and how far it reaches below the baseline.
_SIZES = {
    **dict.fromkeys("acemnorsuvwxz", (0.65, 0.0)),
    **dict.fromkeys("gpqy", (0.9, 0.27)),
    **dict.fromkeys("+<>∧\N{LOGICAL OR}", (0.6, -0.1)),
    **dict.fromkeys("()", (1.15, 0.15)),
    **{"i": (0.9, 0.0), "j": (1.05, 0.25), ",": (0.32, 0.16)},
}
_WIDE = {"-": (0.5, -0.35), "=": (0.55, -0.25), "→": (0.8, -0.25), "↔": (0.85, -0.25), "¬": (0.55, -0.25)}


def usual_size(label: str) -> tuple[float, float, float]:
    """A symbol's usual height and width over a capital's height, and how far above the baseline it ends.

    One of height and width is 0: nothing is usual there.

    Example:
        >>> usual_size("g"), usual_size("-")
        ((0.9, 0.0, -0.27), (0.0, 0.5, 0.35))
    """
    if label in _WIDE:
        width, drop = _WIDE[label]
        return 0.0, width, -drop
    height, drop = _SIZES.get(label, (1.0, 0.0))
    return height, 0.0, 0.0 - drop


class Placed(NamedTuple):
    """A symbol on a page that was made, and the box of its ink."""

    label: str
    box: Box


class Made(NamedTuple):
    """A page (H, W) and what is on it, in reading order; how many symbols were broken, how many pairs touch.

    ``owners`` (H, W) is the number of the symbol, in reading order, whose ink a pixel is; -1 where there is none.
    """

    image: Grey
    lines: list[list[Placed]]
    broken: int
    touching: int
    owners: NDArray[np.int32]


def make_page(
    images: NDArray[np.integer],
    labels: Sequence[str],
    seed: int,
    *,
    texts: Sequence[str] | None = None,
    lines: tuple[int, int] = (1, 6),
    symbols: tuple[int, int] = (3, 40),
    broken: float = 0.03,
    touching: float = 0.03,
) -> Made:
    """Write symbols on a page, photographed in uneven light, on plain or on lined paper.

    Capitals are 40 to 64 pixels high. Neighbours are .05 to .6 mean widths apart, symbols up to .15 of a capital's
    height off their baseline, and baselines 1.2 to 2 of it apart, slanted together by up to 5 degrees and each by up
    to 1 more or less where there is room.

    Args:
        images: of symbols, (N, 28, 28), not 0 where there is ink.
        labels: of the images.
        seed: the same page for the same seed.
        texts: lines to be written, each sign the label of some image; by default labels at random.
        lines: how many there are, from and to.
        symbols: how many are in a line, from and to.
        broken: the share of symbols with a gap in a stroke.
        touching: the share of neighbours whose ink meets.

    Raises:
        ValueError: there is no image, or none of a sign in ``texts``.
    """
    if not len(images) or len(images) != len(labels):
        raise ValueError(f"images and labels must be as many, and some, got {len(images)} and {len(labels)}")
    rng = np.random.default_rng(seed)
    of_label: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        of_label.setdefault(str(label), []).append(index)
    if texts is None:
        known = sorted(of_label)
        counts = rng.integers(symbols[0], symbols[1], size=rng.integers(*lines, endpoint=True), endpoint=True)
        texts = ["".join(known[k] for k in rng.integers(len(known), size=count)) for count in counts]
    missing = sorted(set("".join(texts)) - set(of_label))
    if missing:
        raise ValueError(f"texts must hold labels of images only, got {missing[0]!r}")
    size = int(rng.integers(40, 64, endpoint=True))
    angles = _draw_angles(rng, len(texts))
    written, gaps = [], 0
    for text, angle in zip(texts, angles, strict=True):
        inks = [scaled(images[rng.choice(of_label[sign])] > 0, sign, size, angle, rng) for sign in text]
        for k, ink in enumerate(inks):
            if rng.random() < broken:
                cut = break_stroke(ink, size, rng)
                inks[k], gaps = (ink if cut is None else cut), gaps + (cut is not None)
        written.append(inks)
    placed, meeting, shape = _place(texts, written, angles, size, touching, rng)
    owners = np.full(shape, -1, dtype=np.int32)
    for number, (_, box, mask) in enumerate(symbol for line in placed for symbol in line):
        owners[crop(box)][mask] = number
    truth = [[Placed(sign, box) for sign, box, _ in line] for line in placed]
    return Made(photographed(owners >= 0, size, rng), truth, gaps, meeting, owners)


def scaled(ink: Mask, label: str, size: int, angle: float, rng: np.random.Generator) -> Mask:
    """A symbol's ink as large as its label asks for beside capitals of ``size`` pixels, within 10 %, turned."""
    ink = ink[crop(box_of(ink))]
    length = size * rng.uniform(0.9, 1.1)
    if label in _WIDE:
        factor = length * _WIDE[label][0] / max(ink.shape[1], 0.7 * ink.shape[0])
    else:
        factor = length * _SIZES.get(label, (1.0, 0.0))[0] / max(ink.shape[0], 0.8 * ink.shape[1])
    height, width = (max(round(side * factor), 2) for side in ink.shape)
    room = math.ceil(0.15 * max(height, width)) + 3
    smooth = cv2.GaussianBlur(np.pad(ink.astype(np.float32), 2), (0, 0), 0.6)
    large = cv2.resize(smooth, None, fx=width / ink.shape[1], fy=height / ink.shape[0], interpolation=cv2.INTER_CUBIC)
    large = np.pad(large, room)
    middle = (large.shape[1] / 2, large.shape[0] / 2)
    turn = cv2.getRotationMatrix2D(middle, -angle, 1.0)
    dark = cv2.warpAffine(large, turn, (large.shape[1], large.shape[0]))
    turned = dark > (0.5 if dark.max() > 0.5 else dark.max() / 2)  # lone pixels come out pale
    found: Mask = turned[crop(box_of(turned))]
    return found


def break_stroke(ink: Mask, size: int, rng: np.random.Generator) -> Mask | None:
    """Take out a gap across a stroke, .04 to .08 of a capital's height wide, so that one part becomes two.

    Returns:
        The ink, or ``None`` where no gap was found that leaves a twelfth of the ink on either side.
    """
    before = cv2.connectedComponents(ink.astype(np.uint8))[0]
    points = np.argwhere(ink)
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    thick = 4 * cv2.distanceTransform(np.pad(ink, 1).astype(np.uint8), cv2.DIST_L2, 5).sum() / ink.sum()
    for _ in range(30):
        row, column = points[rng.integers(len(points))]
        turn, gap = rng.uniform(0, math.pi), size * rng.uniform(0.04, 0.08)
        along = (x - column) * math.cos(turn) + (y - row) * math.sin(turn)
        across = (y - row) * math.cos(turn) - (x - column) * math.sin(turn)
        cut = ink & ~((abs(along) < gap / 2) & (abs(across) < 0.9 * thick))
        count, _, stats, _ = cv2.connectedComponentsWithStats(cut.astype(np.uint8))
        if count == before + 1 and stats[1:, cv2.CC_STAT_AREA].min() > ink.sum() / 12 and _is_tight(cut):
            return np.asarray(cut)
    return None


def _is_tight(ink: Mask) -> bool:
    return box_of(ink) == Box(0, 0, ink.shape[1], ink.shape[0])


def _draw_angles(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Angles of lines in degrees."""
    return np.clip(rng.uniform(-ANGLE, ANGLE) + rng.uniform(-1, 1, size=count), -ANGLE, ANGLE)


def _place(
    texts: Sequence[str],
    written: Sequence[Sequence[Mask]],
    angles: NDArray[np.float64],
    size: int,
    touching: float,
    rng: np.random.Generator,
) -> tuple[list[list[tuple[str, Box, Mask]]], int, tuple[int, int]]:
    """Find places for the ink of all symbols: no two lines meet, and neighbours only where they shall."""
    mean = float(np.mean([ink.shape[1] for inks in written for ink in inks]))
    start, meeting = int(size * rng.uniform(0.8, 2)), 0
    slopes = np.tan(np.radians(angles))
    everything: list[list[tuple[str, Box, Mask]]] = []
    rows = []
    for text, inks in zip(texts, written, strict=True):
        row, right, before = [], start + int(rng.uniform(0, 2) * size), None
        for sign, ink in zip(text, inks, strict=True):
            rise = _SIZES.get(sign, _WIDE.get(sign, (1.0, 0.0)))[1] + rng.uniform(-JITTER, JITTER)
            drop = round(size * rise)
            left = right + max(round(mean * rng.uniform(*GAPS)), 2)
            if before is not None and rng.random() < touching:
                reach = meet(before[0], ink, drop - before[1])
                if reach is not None:
                    left, meeting = before[2] + reach, meeting + 1
            row.append((left, drop, ink, sign))
            right, before = max(left + ink.shape[1], right), (ink, drop, left)
        rows.append(row)
    width = max(left + ink.shape[1] for row in rows for left, _, ink, _ in row) + start
    base = start + size * 1.3 + max(0.0, float(-(slopes[0] * width)))
    taken = np.zeros((0, width), dtype=bool)
    for number, (row, slope) in enumerate(zip(rows, slopes, strict=True)):
        if number:
            pitch = size * rng.uniform(*PITCH)
            base += pitch + max(0.0, float((slopes[number - 1] - slope) * width))
        height = math.ceil(base + abs(slope) * width + 2 * size)
        taken = np.pad(taken, ((0, max(height - len(taken), 0)), (0, 0)))
        near = cv2.dilate(taken.astype(np.uint8), np.ones((7, 7), dtype=np.uint8)) > 0
        line, push = [], 0
        for left, drop, ink, sign in row:
            bottom = round(base + slope * (left + ink.shape[1] / 2)) + drop
            box = Box(left, bottom - ink.shape[0], ink.shape[1], ink.shape[0])
            while (near[crop(box.moved(0, push))] & ink).any():
                push += 1
            line.append((sign, box.moved(0, push), ink))
            push = max(push - 1, 0) if push else 0
        for _, box, ink in line:
            taken = np.pad(taken, ((0, max(box.bottom + 1 - len(taken), 0)), (0, 0)))
            taken[crop(box)] |= ink
        everything.append(line)
    bottom = max(box.bottom for line in everything for _, box, _ in line)
    return everything, meeting, (bottom + start, width)


def meet(left: Mask, right: Mask, drop: int) -> int | None:
    """How far right of the left ink's first column another's first column stands when they just overlap.

    Args:
        drop: how much lower the right ink's last row is.

    Returns:
        ``None`` where they have no rows in common, or would stand inside each other.
    """
    shift = len(left) - len(right) + drop
    top, bottom = max(0, shift), min(len(left), shift + len(right))
    if top >= bottom:
        return None
    ours, theirs = left[top:bottom], right[top - shift : bottom - shift]
    rows = ours.any(axis=1) & theirs.any(axis=1)
    if not rows.any():
        return None
    ends = left.shape[1] - np.argmax(ours[rows][:, ::-1], axis=1)
    reach = int((ends - np.argmax(theirs[rows], axis=1)).max()) - 1
    return reach if reach > left.shape[1] - 0.3 * min(left.shape[1], right.shape[1]) else None
