"""The symbols of a line: pieces of ink joined and cut, where a recogniser and how they lie say so."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Part, joined_part
from steepest.formulas.image.touching import Cut, find_cuts
from steepest.formulas.reading.seams import Opinions, Seams, Writing, cut_layout, ordered, pair_layout

Values = NDArray[np.float64]
PAIR_INPUTS = 19 + 18
_DOUBT = -4.0  # the logit from which on a piece may be more than one symbol
_NEAR = (0.15, 0.5)  # capitals: how far apart pieces of one symbol are at most, beside and above each other
_LARGEST = (1.6, 1.7)  # capitals: how wide and how high a symbol is at most


def segment(parts: Sequence[Part], writing: Writing, opinions: Opinions, seams: Seams) -> list[Part]:
    """The symbols of one line, from left to right.

    Pieces that are most probably of one symbol are joined, two at a time; what is most probably two symbols is cut; and
    what was cut off is joined to what it belongs to.

    Args:
        parts: of one line.
    """
    joined = _join([_Piece(part, frozenset()) for part in parts], writing, opinions, seams)
    cut = _cut(joined, writing, opinions, seams)
    if len(cut) > len(joined):
        cut = _join(cut, writing, opinions, seams)
    return sorted((piece.part for piece in cut), key=lambda part: part.box)


def is_near(a: Part, b: Part, height: float) -> bool:
    """Whether two pieces are near enough, and small enough, to be one symbol."""
    s, w = a.box, b.box
    beside = max(s.x, w.x) - min(s.right, w.right)
    above = max(s.y, w.y) - min(s.bottom, w.bottom)
    if beside > _NEAR[0] * height or above > _NEAR[1] * height:
        return False
    whole = max(s.right, w.right) - min(s.x, w.x), max(s.bottom, w.bottom) - min(s.y, w.y)
    return whole[0] <= _LARGEST[0] * height and whole[1] <= _LARGEST[1] * height


def pair_inputs(
    parts: Sequence[Part], pairs: Sequence[tuple[int, int]], writing: Writing, opinions: Opinions
) -> Values:
    """What the net of pairs is told of each pair of parts (pairs, 37)."""
    if not pairs:
        return np.zeros((0, PAIR_INPUTS), dtype=np.float64)
    both = [ordered(parts[i], parts[j]) for i, j in pairs]
    pieces = [piece for small, large in both for piece in (small, large, joined_part([small, large]))]
    layouts = np.array([pair_layout(small, large, writing.height) for small, large in both], dtype=np.float64)
    return np.hstack([layouts, opinions.of(pieces, writing).reshape(len(pairs), -1)])


def cut_inputs(part: Part, cuts: Sequence[Cut], writing: Writing, opinions: Opinions) -> Values:
    """What the net of cuts is told of each cut of a part (cuts, 29)."""
    pieces = [piece for cut in cuts for piece in (cut.left, cut.right, part)]
    layouts = np.array([cut_layout(part, cut, writing.height) for cut in cuts], dtype=np.float64)
    return np.hstack([layouts, opinions.of(pieces, writing).reshape(len(cuts), -1)])


def whole_inputs(parts: Sequence[Part], writing: Writing, opinions: Opinions) -> Values:
    """What the net of more than one symbol is told of each part (parts, 9)."""
    sizes = np.array([writing.size(part) for part in parts], dtype=np.float64)
    return np.hstack([opinions.of(parts, writing), sizes])


class _Piece(NamedTuple):
    """Ink, and by number the cuts on a side of which it lies: pieces of one cut are never joined again."""

    part: Part
    cuts: frozenset[int]


def _join(pieces: Sequence[_Piece], writing: Writing, opinions: Opinions, seams: Seams) -> list[_Piece]:
    """Join the surest pair, again and again."""
    every = list(pieces)
    alive = set(range(len(every)))
    logits: dict[tuple[int, int], float] = {}
    pairs = [(i, j) for j in range(len(every)) for i in range(j) if _may_join(every[i], every[j], writing.height)]
    while pairs:
        asked = [pair for pair in pairs if pair not in logits]
        inputs = pair_inputs([piece.part for piece in every], asked, writing, opinions)
        logits.update(zip(asked, (float(value) for value in seams.pair(inputs)), strict=True))
        best = max(pairs, key=lambda pair: logits[pair])
        if logits[best] <= 0:
            break
        one, other = (every[k] for k in best)
        every.append(_Piece(joined_part([one.part, other.part]), one.cuts | other.cuts))
        alive = alive - {*best}
        pairs = [pair for pair in pairs if not {*pair} & {*best}]
        new = len(every) - 1
        pairs += [(k, new) for k in sorted(alive) if _may_join(every[k], every[new], writing.height)]
        alive.add(new)
    return [every[k] for k in sorted(alive)]


def _may_join(a: _Piece, b: _Piece, height: float) -> bool:
    return not a.cuts & b.cuts and is_near(a.part, b.part, height)


def _cut(pieces: Sequence[_Piece], writing: Writing, opinions: Opinions, seams: Seams) -> list[_Piece]:
    """Cut what may be more than one symbol where a cut is most probably right, and again what that leaves."""
    found, left, count = [], list(pieces), 0
    while left:
        doubtful = seams.more(whole_inputs([piece.part for piece in left], writing, opinions)) > _DOUBT
        halves = []
        for piece, doubt in zip(left, doubtful, strict=True):
            cut = _best_cut(piece.part, writing, opinions, seams) if doubt else None
            if cut is None:
                found.append(piece)
            else:
                halves += [_Piece(half, piece.cuts | {count}) for half in (cut.left, cut.right)]
                count += 1
        left = halves
    return found


def _best_cut(part: Part, writing: Writing, opinions: Opinions, seams: Seams) -> Cut | None:
    cuts = find_cuts(part, writing.height)
    if not cuts:
        return None
    logits = seams.cut(cut_inputs(part, cuts, writing, opinions))
    best = int(logits.argmax())
    return cuts[best] if logits[best] > 0 else None
