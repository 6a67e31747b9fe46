"""To which line small marks belong: a dot to the stem below it, a comma to the symbols beside it."""

from collections.abc import Sequence

from steepest.formulas.image.boxes import Part
from steepest.formulas.image.lines import Line
from steepest.formulas.image.parts import are_near, is_dotted

_MARK = 0.5  # of a capital's height: how large a mark may be
_UP, _DOWN = 2.5, 1.2  # times as far from the line that a piece broke off as from its nearest; commas may stand below


def place_marks(parts: Sequence[Part], lines: Sequence[Line], height: float) -> list[Line]:
    """The lines, with every dot in that of the stem below it, and pieces of strokes in that of what they broke off.

    Args:
        parts: of the page, as lines number them.
        height: a capital's.
    """
    of_part = {k: n for n, line in enumerate(lines) for k in line.members}
    for k, part in enumerate(parts):
        if max(part.box.width, part.box.height) > _MARK * height:
            continue
        here, middle = of_part[k], part.box.middle
        if any(are_near(part, parts[j], height) for j in lines[here].members if j != k):
            continue
        for other in (here - 1, here + 1):
            if not 0 <= other < len(lines):
                continue
            away = abs(lines[here].at(middle[0]) - middle[1]), abs(lines[other].at(middle[0]) - middle[1])
            theirs = [parts[j] for j in lines[other].members]
            dot = other > here and away[1] < 1.0 * away[0] and any(is_dotted(part.box, p.box, height) for p in theirs)
            broken = away[1] < (_UP if other < here else _DOWN) * away[0]
            if dot or (broken and any(are_near(part, p, height) for p in theirs)):
                of_part[k] = other
    return [line._replace(members=sorted(k for k, m in of_part.items() if m == n)) for n, line in enumerate(lines)]
