"""Whether two pieces of ink are one symbol, and whether a cut through one piece makes two: a small net's answer.

It is told how the pieces lie, and what the recogniser says of each and of the whole, not how thick the strokes are:
on a page of one pen they are alike.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Part, joined_part
from steepest.formulas.image.parts import face, stroke_width
from steepest.formulas.image.symbols import cut_symbol
from steepest.formulas.image.touching import Cut
from steepest.formulas.reading.junctions import Junctions
from steepest.formulas.reading.recognizer import Recognizer, class_places
from steepest.formulas.reading.sizes import size_shares

Values = NDArray[np.float64]
_ROOM = 0.18  # of a capital's height: how wide a gap is at most over which two pieces face each other
_TINY = 1e-4
FARTHEST = 5.0  # scales that an input is taken to be from its mean


class Writing(NamedTuple):
    """What sizes are told by: a capital's height, and a line's baseline, its row at the first column and its slope."""

    height: float
    row: float
    slope: float

    def size(self, part: Part) -> tuple[float, float, float]:
        """Width, height, and how far above the baseline it ends, in capitals' heights."""
        box = part.box
        rise = self.row + self.slope * box.middle[0] - box.bottom
        return box.width / self.height, box.height / self.height, rise / self.height


class Opinions:
    """What a recogniser says of pieces of ink; of many at a time, and of each once.

    Args:
        recognizer: one that knows ``""``.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer, self._places = recognizer, class_places(recognizer)
        self._none = tuple(recognizer.labels).index("")
        self._known: dict[tuple[int, ...], Values] = {}

    def of(self, parts: Sequence[Part], writing: Writing) -> Values:
        """Six numbers of each part (N, 6).

        Logarithms of the probability that it is none, of its best class's with and without what its size says, of what
        the size says of that class, and of the sum over all classes; and how far it ends above the baseline.
        """
        keys = [part_key(part) for part in parts]
        new = {key: part for key, part in zip(keys, parts, strict=True) if key not in self._known}
        if new:
            self._known.update(zip(new, self._ask(list(new.values()), writing), strict=True))
        return np.array([self._known[key] for key in keys], dtype=np.float64).reshape(-1, 6)

    def _ask(self, parts: Sequence[Part], writing: Writing) -> Values:
        found = self._recognizer.probabilities(np.stack([cut_symbol(part.ink) for part in parts]))
        classes = found[:, list(self._places.values())]
        sizes = np.array([writing.size(part) for part in parts], dtype=np.float64)
        shares = size_shares(list(self._places), sizes)
        weighed = classes * shares
        best = weighed.argmax(axis=1)
        told = np.log(shares[np.arange(len(parts)), best])
        seen = [found[:, self._none], weighed.max(axis=1), classes.max(axis=1)]
        logs = [np.log(values + _TINY) for values in seen]
        return np.stack([*logs, told, np.log(weighed.sum(axis=1) + _TINY), sizes[:, 2]], axis=1)


def part_key(part: Part) -> tuple[int, ...]:
    """What tells parts of a page apart."""
    return (*part.box, zlib.crc32(part.ink.tobytes()))


def pair_layout(a: Part, b: Part, height: float) -> list[float]:
    """How two pieces of ink lie: 19 numbers, in capitals' heights and strokes' widths."""
    small, large = ordered(a, b)
    s, w, whole = small.box, large.box, joined_part([a, b]).box
    beside = max(s.x, w.x) - min(s.right, w.right)
    above = max(s.y, w.y) - min(s.bottom, w.bottom)
    lengths: list[float] = [beside, above, whole.width, whole.height, s.width, s.height, w.width, w.height]
    lengths += [s.middle[0] - w.middle[0], s.middle[1] - w.middle[1]]
    found = [length / height for length in lengths]
    found += [float(small.ink.sum() / large.ink.sum()), (s.bottom - w.bottom) / height]
    facing = face(small, large, _ROOM * height)
    if facing is None:
        return [*found, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0]
    return [*found, facing.gap / height, *facing.ends, facing.rise, *facing.away, facing.aside]


def ordered(a: Part, b: Part) -> tuple[Part, Part]:
    """The one of less ink, and the other."""
    return (a, b) if a.ink.sum() < b.ink.sum() else (b, a)


def cut_layouts(part: Part, cuts: Sequence[Cut], height: float) -> Values:
    """How cuts lie in a piece of ink: 11 numbers for each (cuts, 11), in capitals' heights."""
    whole, ink, stroke = part.box, part.ink.sum(), stroke_width(part.ink) / height
    found = np.zeros((len(cuts), 11), dtype=np.float64)
    for row, cut in zip(found, cuts, strict=True):
        left, right = cut.left.box, cut.right.box
        lengths: list[float] = [left.width, left.height, right.width, right.height, whole.width, whole.height]
        lengths += [left.right - right.x, left.middle[1] - right.middle[1]]
        row[:] = [cut.crossed, *(length / height for length in lengths), cut.left.ink.sum() / ink, stroke]
    return found


NETS = ("pair", "more", "cut", "place")


@dataclass(frozen=True, eq=False)
class Net:
    """Layers, each (weights (out, in), biases (out,)), with ReLU between them, of inputs less a mean over a scale."""

    mean: Values
    scale: Values
    layers: tuple[tuple[Values, Values], ...]

    def __call__(self, inputs: Values) -> Values:
        """One logit for each row (N,)."""
        x = np.clip((inputs - self.mean) / self.scale, -FARTHEST, FARTHEST)
        for k, (weights, biases) in enumerate(self.layers):
            x = (np.maximum(x, 0) if k else x) @ weights.T + biases
        return np.asarray(x[:, 0])


@dataclass(frozen=True, eq=False)
class Seams:
    """Nets, each of which gives the logit of a probability.

    ``pair``: whether two pieces are one symbol; ``more``: whether a piece is more than one; ``cut``: whether a cut is
    right; they take numbers of the layout and the six opinions of every piece, and of a cut how it looks from near:
    ``junction``. ``place``: whether a cut is right by the layout alone, which says which cuts are worth a look.
    """

    pair: Net
    more: Net
    cut: Net
    place: Net
    junction: Junctions

    def to_json(self) -> str:
        """The nets, in few digits."""
        nets = {name: _list_net(getattr(self, name)) for name in NETS}
        return json.dumps({**nets, "junction": self.junction.to_table()}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Seams":
        """What :meth:`to_json` writes."""
        found = json.loads(text)
        nets = {name: _make_net(found[name]) for name in NETS}
        return cls(**nets, junction=Junctions.from_table(found["junction"]))


def _list_net(net: Net) -> dict[str, object]:
    def short(values: Values) -> object:
        return [short(row) for row in values] if values.ndim > 1 else [float(f"{value:.4g}") for value in values]

    layers = [[short(weights), short(biases)] for weights, biases in net.layers]
    return {"mean": short(net.mean), "scale": short(net.scale), "layers": layers}


def _make_net(found: dict[str, Any]) -> Net:
    layers = tuple((np.array(weights), np.array(biases)) for weights, biases in found["layers"])
    return Net(np.array(found["mean"]), np.array(found["scale"]), layers)


@cache
def load_seams() -> Seams:
    """The nets that the package has, of ``seams.json``."""
    return Seams.from_json(Path(__file__).with_name("seams.json").read_text(encoding="utf-8"))
