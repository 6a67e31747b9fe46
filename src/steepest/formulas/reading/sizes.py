"""What a symbol's height and its place on the line say of its class, which a bitmap of one size does not: little."""

import math

from steepest.formulas.image.boxes import Box
from steepest.formulas.image.making import usual_size
from steepest.formulas.logic.labels import BOTH_CASES

_SPREAD = 0.25  # capitals' heights by which writers differ
_LEAST = 0.1  # is left of a probability at least, however odd the size
_SMALL, _BOTH = "acemnorsuvwxz", BOTH_CASES + "v"
_UNLIKELY = 0.5  # is left of a letter's other case at least
_BETWEEN = 0.83  # capitals: between the heights of small letters and of capitals


def size_share(label: str, box: Box, relative_height: float, baseline: float) -> float:
    """What a class keeps of its probability for a symbol of that size: 1 where it is usual, .1 at least.

    Args:
        box: of the symbol; only its shape matters.
        relative_height, baseline: as :class:`~steepest.formulas.image.Symbol` has them.

    Example:
        >>> comma = Box(0, 0, 8, 16)
        >>> size_share(",", comma, 0.32, -0.16), round(size_share("1", comma, 0.32, -0.16), 2)
        (1.0, 0.1)
    """
    height, width, rise = usual_size(label)
    off = relative_height - height if height else relative_height * box.width / box.height - width
    unusual = (off / _SPREAD) ** 2 / 2 + ((baseline - rise) / _SPREAD) ** 2 / 2
    return max(math.exp(-unusual), _LEAST)


def case_shares(relative_height: float) -> dict[str, float]:
    """What letters keep beside their other case, by height: the odd one from half to all; for those that look alike.

    Example:
        >>> shares = case_shares(0.6)
        >>> round(shares["O"], 2), shares["o"], shares["p"]
        (0.5, 1.0, 1.0)
    """
    small = 1 / (1 + math.exp((relative_height - _BETWEEN) / 0.05))
    found = {}
    for letter in _BOTH:
        told = letter in _SMALL
        found[letter] = max(min(small / max(1 - small, 1e-9), 1.0), _UNLIKELY) if told else 1.0
        found[letter.upper()] = max(min((1 - small) / max(small, 1e-9), 1.0), _UNLIKELY) if told else 1.0
    return found
