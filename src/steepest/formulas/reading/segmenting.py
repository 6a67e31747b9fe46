"""The symbols of a line: pieces of ink joined and cut, where a recogniser and how they lie say so."""

from collections.abc import Collection, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Part, joined_part
from steepest.formulas.image.touching import FINE, Cut, find_cuts
from steepest.formulas.reading.junctions import draw_junctions
from steepest.formulas.reading.recognizer import Recognizer
from steepest.formulas.reading.seams import Opinions, Seams, Writing, cut_layouts, ordered, pair_layout, part_key

Values = NDArray[np.float64]
PAIR_INPUTS = 19 + 18
_DOUBT = -2.5  # the logit from which on a piece may be more than one symbol
_HEED, _BIAS = 0.5, -1.0  # of that logit is added to a cut's, and a threshold
_MOST_CUTS = 24
_MOST_LOOKS = 48
_CERTAIN = 100.0  # the logit of what is asked for
_NEAR = (0.15, 0.5)  # capitals: how far apart pieces of one symbol are at most, beside and above each other
_LARGEST = (1.6, 1.7)  # capitals: how wide and how high a symbol is at most


class Decision(NamedTuple):
    """Which pieces were asked about, by what they are, and the logit of joining two or of cutting one."""

    about: tuple[Hashable, ...]
    logit: float


class Segmented(NamedTuple):
    """The symbols of a line from left to right, and what was decided on the way."""

    parts: list[Part]
    decisions: tuple[Decision, ...]


class Segmenter:
    """Makes symbols of the parts of a page's lines, with a recogniser's opinion.

    Args:
        recognizer: one that knows ``""``.
        seams: the nets that decide.
    """

    def __init__(self, recognizer: Recognizer, seams: Seams) -> None:
        self._opinions, self._seams = Opinions(recognizer), seams
        self._logits: dict[tuple[Hashable, ...], float] = {}
        self._cuts: dict[Hashable, Cut | None] = {}

    def segment(
        self, parts: Sequence[Part], writing: Writing, changed: Collection[tuple[Hashable, ...]] = ()
    ) -> Segmented:
        """The symbols of one line.

        Pieces that are most probably of one symbol are joined, two at a time; what is most probably two symbols is cut;
        and what was cut off is joined to what it belongs to.

        Args:
            parts: of one line.
            changed: what is to be decided the other way.
        """
        line = _Line(self, writing, changed)
        joined = line.join([_Piece(part, frozenset()) for part in parts])
        cut = line.cut(joined)
        if len(cut) > len(joined):
            cut = line.join(cut)
        found = sorted((piece.part for piece in cut), key=lambda part: part.box)
        return Segmented(found, tuple(line.decisions.values()))

    def join_logits(self, pairs: Sequence[tuple[Part, Part]], writing: Writing) -> list[float]:
        """Whether the parts of each pair are one symbol."""
        keys = [("join", *sorted([part_key(a), part_key(b)])) for a, b in pairs]
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self._logits}
        logits = self._seams.pair(pair_inputs(list(new.values()), writing, self._opinions))
        self._logits.update(zip(new, (float(value) for value in logits), strict=True))
        return [self._logits[key] for key in keys]

    def doubts(self, parts: Sequence[Part], writing: Writing) -> list[bool]:
        """Whether each part may be more than one symbol."""
        return [bool(x > _DOUBT) for x in self._seams.more(whole_inputs(parts, writing, self._opinions))]

    def best_cut(self, part: Part, writing: Writing) -> tuple[Cut | None, float]:
        """The cut that is most probably right, and the logit of that."""
        key = ("cut", part_key(part))
        if key not in self._logits:
            cuts, looks = likely_cuts(part, writing.height, self._seams)
            logits = np.array([-np.inf])
            if cuts:
                logits = self._seams.cut(cut_inputs(part, cuts, looks, writing, self._opinions))
            best = int(logits.argmax())
            more = float(self._seams.more(whole_inputs([part], writing, self._opinions))[0])
            self._logits[key] = float(logits[best]) + _HEED * min(max(more, -6.0), 6.0) + _BIAS
            self._cuts[key] = cuts[best] if cuts else None
        return self._cuts[key], self._logits[key]


def is_near(a: Part, b: Part, height: float) -> bool:
    """Whether two pieces are near enough, and small enough, to be one symbol."""
    s, w = a.box, b.box
    beside = max(s.x, w.x) - min(s.right, w.right)
    above = max(s.y, w.y) - min(s.bottom, w.bottom)
    if beside > _NEAR[0] * height or above > _NEAR[1] * height:
        return False
    whole = max(s.right, w.right) - min(s.x, w.x), max(s.bottom, w.bottom) - min(s.y, w.y)
    return whole[0] <= _LARGEST[0] * height and whole[1] <= _LARGEST[1] * height


def pair_inputs(pairs: Sequence[tuple[Part, Part]], writing: Writing, opinions: Opinions) -> Values:
    """What the net of pairs is told of each pair of parts (pairs, 37)."""
    if not pairs:
        return np.zeros((0, PAIR_INPUTS), dtype=np.float64)
    both = [ordered(*pair) for pair in pairs]
    pieces = [piece for small, large in both for piece in (small, large, joined_part([small, large]))]
    layouts = np.array([pair_layout(small, large, writing.height) for small, large in both], dtype=np.float64)
    return np.hstack([layouts, opinions.of(pieces, writing).reshape(len(pairs), -1)])


def likely_cuts(part: Part, height: float, seams: Seams) -> tuple[list[Cut], Values]:
    """The cuts of a part that by their looks are most probably right, at most 24, and the logits (cuts,) of that."""
    cuts = find_cuts(part, height, FINE)
    layouts = cut_layouts(part, cuts, height)
    if len(cuts) > _MOST_LOOKS:
        likely = np.argsort(-seams.place(layouts), kind="stable")[:_MOST_LOOKS]
        cuts, layouts = [cuts[k] for k in likely], layouts[likely]
    looks = seams.junction(draw_junctions(part, cuts, height), layouts) if cuts else np.zeros(0)
    best = np.argsort(-looks, kind="stable")[:_MOST_CUTS]
    return [cuts[k] for k in best], looks[best]


def cut_inputs(part: Part, cuts: Sequence[Cut], looks: Values, writing: Writing, opinions: Opinions) -> Values:
    """What the net of cuts is told of each cut of a part (cuts, 30)."""
    pieces = [piece for cut in cuts for piece in (cut.left, cut.right, part)]
    told = opinions.of(pieces, writing).reshape(len(cuts), -1)
    return np.hstack([cut_layouts(part, cuts, writing.height), told, looks[:, None]])


def whole_inputs(parts: Sequence[Part], writing: Writing, opinions: Opinions) -> Values:
    """What the net of more than one symbol is told of each part (parts, 9)."""
    sizes = np.array([writing.size(part) for part in parts], dtype=np.float64)
    return np.hstack([opinions.of(parts, writing), sizes])


class _Piece(NamedTuple):
    """Ink, and by number the cuts on a side of which it lies: pieces of one cut are never joined again."""

    part: Part
    cuts: frozenset[int]


class _Line:
    """Joins and cuts on one line, and notes what was decided."""

    def __init__(self, segmenter: Segmenter, writing: Writing, changed: Collection[tuple[Hashable, ...]]) -> None:
        self._segmenter, self._writing, self._changed = segmenter, writing, changed
        self.decisions: dict[tuple[Hashable, ...], Decision] = {}
        self._count = 0

    def join(self, pieces: Sequence[_Piece]) -> list[_Piece]:
        """Join the surest pair, again and again."""
        every, alive, height = list(pieces), set(range(len(pieces))), self._writing.height
        pairs = [(i, j) for j in range(len(every)) for i in range(j) if _may_join(every[i], every[j], height)]
        while pairs:
            asked = [(every[i].part, every[j].part) for i, j in pairs]
            keys = [("join", *sorted([part_key(a), part_key(b)])) for a, b in asked]
            logits = self._segmenter.join_logits(asked, self._writing)
            decided = [self._decide(key, logit) for key, logit in zip(keys, logits, strict=True)]
            best = max(range(len(pairs)), key=decided.__getitem__)
            if decided[best] <= 0:
                break
            joined = {*pairs[best]}
            one, other = (every[k] for k in pairs[best])
            every.append(_Piece(joined_part([one.part, other.part]), one.cuts | other.cuts))
            alive -= joined
            pairs = [pair for pair in pairs if not joined & {*pair}]
            new = len(every) - 1
            pairs += [(k, new) for k in sorted(alive) if _may_join(every[k], every[new], height)]
            alive.add(new)
        return [every[k] for k in sorted(alive)]

    def cut(self, pieces: Sequence[_Piece]) -> list[_Piece]:
        """Cut what may be more than one symbol where a cut is most probably right, and again what that leaves."""
        found, left = [], list(pieces)
        while left:
            halves = []
            for piece, doubt in zip(left, self._segmenter.doubts([p.part for p in left], self._writing), strict=True):
                cut, logit = self._segmenter.best_cut(piece.part, self._writing) if doubt else (None, -np.inf)
                if cut is None or self._decide(("cut", part_key(piece.part)), logit) <= 0:
                    found.append(piece)
                else:
                    halves += [_Piece(half, piece.cuts | {self._count}) for half in (cut.left, cut.right)]
                    self._count += 1
            left = halves
        return found

    def _decide(self, about: tuple[Hashable, ...], logit: float) -> float:
        """Note what is asked, and return the logit, turned round where that is to be changed."""
        self.decisions[about] = Decision(about, logit)
        return (_CERTAIN if logit <= 0 else -_CERTAIN) if about in self._changed else logit


def _may_join(a: _Piece, b: _Piece, height: float) -> bool:
    return not a.cuts & b.cuts and is_near(a.part, b.part, height)
