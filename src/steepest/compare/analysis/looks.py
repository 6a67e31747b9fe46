"""What is decided at the looks of a study that stops early."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from steepest.compare.analysis.pairs import ROUNDING, differences_of, largest_of
from steepest.compare.analysis.sequential import gives_up
from steepest.compare.analysis.statistics import paired_difference
from steepest.compare.records.record import Record
from steepest.compare.spec import Spec
from steepest.compare.spec.stopping import Stopping

End = Literal["open", "found", "given up", "last look", "lost"]


@dataclass(frozen=True)
class Stand:
    """Where the comparison of a method with the baseline stands.

    ``seeds`` are those of the last look that it took part in, 0 before the first. ``low`` is the smallest of p /
    weight over its looks, ``p`` that of the last, ``end`` why it goes no further.
    """

    seeds: int = 0
    low: float = math.inf
    p: float | None = None
    end: End = "open"
    look: int = -1


class Standings(NamedTuple):
    """Of all methods but the baseline; how many final seeds every method is to have, as far as is known, and ``most``,
    how many it can get; and how many looks were made."""

    methods: dict[str, Stand]
    seeds: dict[str, int]
    most: dict[str, int]
    looks: int


def standings(spec: Spec, finals: Mapping[str, Mapping[int, Record | None]]) -> Standings:
    """Go through the looks, as far as the runs that they need have ended.

    A look is made once every run of its seeds has ended, of the baseline and of all methods that are still open, and
    sees exactly those: what is decided depends neither on the order in which runs end nor on how many at a time.

    A method is found if its sequential p-value, after Holm's correction, is below 5 %. It is given up if next to no
    chance is left that it will be. It is lost with a run of its own that diverged or failed, and all are with one of
    the baseline's. None of them gets more seeds; the baseline goes on while any method does.

    Args:
        finals: method to a final seed's place to its run; ``None`` for one that there will never be.

    Source: A. C. Tamhane et al., "Group sequential Holm and Hochberg procedures", Statistics in Medicine 40 (2021);
    the rule for giving up is not used in the law of the p-values, so that it can only lower the error.
    """
    stopping = spec.stopping
    others = [m.name for m in spec.methods if m.name != spec.baseline]
    if stopping is None:
        all_ = {m.name: len(spec.seeds) for m in spec.methods}
        return Standings({}, all_, all_, 0)
    stands = {name: Stand() for name in others}
    for look, seeds in enumerate(stopping.looks):
        open_ = [name for name, stand in stands.items() if stand.end == "open"]
        if not (open_ or look == 0):
            break
        needed = [spec.baseline, *open_]
        if any(place not in finals[name] for name in needed for place in range(seeds)):
            most = _seeds(spec, stands, stopping.last if open_ else seeds)
            return Standings(stands, _seeds(spec, stands, seeds), most, look)
        runs = {name: [finals[name][place] for place in range(seeds)] for name in needed}
        lost = {name for name, own in runs.items() if any(_is_lost(run) for run in own)}
        for name in open_:
            if lost & {name, spec.baseline}:
                stands[name] = replace(stands[name], seeds=seeds, look=look, end="lost")
            else:
                p = _p_value(runs[name], runs[spec.baseline])
                low = stands[name].low if p is None else min(stands[name].low, p / stopping.weight(look))
                stands[name] = Stand(seeds, low, p, "open", look)
        _decide(stopping, stands, look)
    made = max((stand.look + 1 for stand in stands.values()), default=1)
    seeds_of = _seeds(spec, stands, stopping.looks[made - 1])
    return Standings(stands, seeds_of, seeds_of, made)


def _seeds(spec: Spec, stands: Mapping[str, Stand], end: int) -> dict[str, int]:
    """Find how many seeds each method has, if the open ones and the baseline go on to ``end``."""
    return {**{name: end if s.end == "open" else s.seeds for name, s in stands.items()}, spec.baseline: end}


def _decide(stopping: Stopping, stands: dict[str, Stand], look: int) -> None:
    """Decide on the open methods, at a look that all of them took part in."""
    tested = sorted((name for name, s in stands.items() if s.end != "lost"), key=lambda name: stands[name].low)
    found = 0
    while found < len(tested) and stands[tested[found]].low <= stopping.levels[len(tested) - found - 1]:
        found += 1
    for name in tested[:found]:
        stands[name] = replace(stands[name], end="found")
    is_last = look == len(stopping.looks) - 1
    for name in tested[found:]:
        stand = stands[name]
        if stand.end != "open":
            continue
        if is_last:
            stands[name] = replace(stand, end="last look")
        elif stand.p is not None and gives_up(
            stand.p, stand.seeds / stopping.last, stopping.levels[len(tested) - found - 1], stopping.give_up
        ):
            stands[name] = replace(stand, end="given up")


def _is_lost(run: Record | None) -> bool:
    return run is None or run.status != "finished" or run.test_metric is None


def _p_value(own: Sequence[Record | None], baseline: Sequence[Record | None]) -> float | None:
    pair = [[run for run in runs if run is not None] for runs in (own, baseline)]
    return paired_difference(differences_of(*pair), ROUNDING * largest_of(*pair))[2]
