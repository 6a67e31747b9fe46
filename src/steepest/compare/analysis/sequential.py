"""The exact law of a paired t-test that looks at its result several times.

Under no difference, Student's t of the first n normal values depends on y = sum / root of the sum of squares alone, and
y is a Markov chain: with one more value it becomes (y + tan psi) cos psi, where psi lies between -pi/2 and pi/2 with a
density proportional to cos(psi)^(n - 1). The chance of ever crossing a boundary is a recursion over one number.
"""

import functools
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy.special
from numpy.typing import NDArray

from steepest.compare.spec.stopping import weight

MOST_SEEDS = 200  # for which the law is computed
_FARTHEST = 8.0  # of y: nothing is farther out that counts
_CELLS, _ANGLES = 600, 4001
_EDGES, _MIDDLES = (np.sin(np.linspace(0, np.pi / 2, 2 * _CELLS + 1))[i::2] for i in (0, 1))  # finer towards the end
_VALUES = np.concatenate([np.geomspace(1e-8, 0.1, 57), np.linspace(0.12, 1.0, 23)])  # of the weighted p-value

Array = NDArray[np.float64]


def law(looks: Sequence[int]) -> tuple[Array, Array]:
    """Values v of the weighted p-value, and the chance that it is ever at most v, if there is no difference.

    The weighted p-value is the smallest over the looks of p / (seeds / last seeds)^2; p is that of the two-sided t-test
    on all values until then.

    Args:
        looks: numbers of values, each larger than the one before; at least two, or one alone.

    Raises:
        ValueError: they are not, or the last is above 240.

    Source: after C. Jennison and B. W. Turnbull, "Exact calculations for sequential t, chi2 and F tests", Biometrika 78
    (1991) 133.
    """
    numbers = tuple(looks)
    if not numbers or numbers[0] < 1 or any(a >= b for a, b in pairwise(numbers)):
        raise ValueError(f"looks must be growing numbers of seeds, got {numbers}")
    if len(numbers) > 1 and (numbers[0] < 2 or numbers[-1] > 1.2 * MOST_SEEDS):
        raise ValueError(f"looks must be from 2 to {1.2 * MOST_SEEDS:.0f} seeds, got {numbers}")
    return _law(numbers)


def sequential_p(low: float, looks: Sequence[int]) -> float:
    """The sequential p-value of a weighted p-value ``low``: valid whenever one stops looking, for whatever reason.

    Source: "sequential p-values" of Q. Liu and K. M. Anderson, "On adaptive extensions of group sequential trials for
    clinical investigations", JASA 103 (2008).

    Example:
        >>> f"{sequential_p(0.0308, (3, 4, 5, 7, 9, 12)):.3f}"
        '0.050'
    """
    values, chances = law(looks)
    if low >= 1:
        return 1.0
    if low < values[0]:
        return float(low / values[0] * chances[0])
    return float(np.exp(np.interp(np.log(low), np.log(values), np.log(chances))))


def level(error: float, looks: Sequence[int]) -> float:
    """The weighted p-value whose sequential p-value is ``error``: the nominal level of the last look.

    Example:
        >>> f"{level(0.05, (3, 4, 5, 7, 9, 12)):.4f} {level(0.05, (10,)):.4f}"
        '0.0308 0.0500'
    """
    values, chances = law(looks)
    return float(np.exp(np.interp(np.log(error), np.log(chances), np.log(values))))


def gives_up(p: float, share: float, level: float, chance: float) -> bool:
    """Whether less than a chance is left that a test of this ``level`` finds a difference at the last look.

    The chance is predictive: over what the difference may be, judged by the looks so far, with a flat prior.

    Args:
        p: two-sided, at this look.
        share: of the last look's seeds, at this one.

    Source: D. J. Spiegelhalter, L. S. Freedman and P. R. Blackburn, "Monitoring clinical trials: conditional or
    predictive power?", Controlled Clinical Trials 7 (1986).

    Example:
        >>> gives_up(0.42, 9 / 12, 0.0308, 0.1), gives_up(0.2, 9 / 12, 0.0308, 0.1)
        (True, False)
    """
    ndtri = scipy.special.ndtri
    needed = -ndtri(level / 2) * share**0.5 + (1 - share) ** 0.5 * ndtri(chance)
    return bool(-ndtri(p / 2) < needed)


@functools.lru_cache(maxsize=32)
def _law(looks: tuple[int, ...]) -> tuple[Array, Array]:
    if len(looks) == 1:
        return _VALUES, _VALUES
    first, last = looks[0], looks[-1]
    crossed = np.zeros((_CELLS, len(_VALUES)))  # the chance to cross from here on, by y and by the value to cross
    for n in range(last, first - 1, -1):
        if n in looks:
            boundaries = _y_of(np.minimum(1.0, weight(n, last) * _VALUES), n) / _reach(n)
            beyond = np.clip((_EDGES[1:, None] - boundaries) / np.diff(_EDGES)[:, None], 0.0, 1.0)  # a share of a cell
            crossed = beyond + (1 - beyond) * crossed
        if n > first:
            crossed = _transitions(n - 1) @ crossed
    chances = np.diff(scipy.special.betainc(0.5, (first - 1) / 2, _EDGES**2)) @ crossed
    return _VALUES, np.minimum(chances, 1.0)


def _reach(n: int) -> float:
    """Find how far out the cells go after n values: y is at most the root of n."""
    return min(float(np.sqrt(n)), _FARTHEST)


def _y_of(p: Array, n: int) -> Array:
    """Compute the y whose two-sided p-value after n values is p."""
    t = -scipy.special.stdtrit(n - 1, p / 2)
    found: Array = t * np.sqrt(n / (n - 1 + t * t))
    return found


def _transitions(n: int) -> Array:
    """Compute the chances to come from y after n values, in the middle of a cell, to each cell after n + 1.

    The next y is root(1 + y^2) sin(psi + phi), where tan phi = y.
    """
    angles = np.linspace(-np.pi / 2, np.pi / 2, _ANGLES)
    below = 0.5 + 0.5 * np.sign(angles) * scipy.special.betainc(0.5, n / 2, np.sin(angles) ** 2)
    y = (_MIDDLES * _reach(n))[:, None]
    phi = np.arctan(y)
    end = np.arcsin(np.minimum(_EDGES * _reach(n + 1) / np.sqrt(1 + y * y), 1.0))
    ends = ((1.0, end - phi), (-1.0, -end - phi), (-1.0, np.pi - end - phi))  # of the arcs of psi that stay within
    at_most: Array = 1.0 + np.sum([sign * np.interp(at, angles, below) for sign, at in ends], axis=0)
    at_most[:, -1] = 1.0
    found: Array = np.diff(at_most, axis=1)
    return found
