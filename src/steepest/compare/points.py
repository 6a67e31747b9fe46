"""The hyperparameters that every method tries: quasi-random, fixed before the first run and frozen in the spec."""

import math
from collections.abc import Mapping

from steepest.training.definitions.range import Range


def quasi_random_points(space: Mapping[str, Range], count: int, seed: int = 0) -> list[dict[str, float]]:
    """The first ``count`` points of a scrambled Halton sequence over ``space``.

    They depend on the space, the order of its names, the seed and nothing else: not on results, nor on the order in
    which runs finish. Methods with equal spaces try equal points, and a longer list begins with the shorter. A study
    computes them once: its spec holds them, so that another release of SciPy changes no study that has begun.

    Source: J. H. Halton (1960); scrambled as in A. B. Owen, "A randomized Halton algorithm in R" (2017), which is
    ``scipy.stats.qmc.Halton``.

    Example:
        >>> [f"{p['lr']:.3g}" for p in quasi_random_points({"lr": Range(0.01, 1.0)}, 4)]
        ['0.0158', '0.158', '0.0499', '0.499']
    """
    from scipy.stats import qmc  # a third of a second, which a worker can do without

    # Not `rng=seed`, which would draw from a child of that generator: other points than all studies until now.
    sequence = qmc.Halton(len(space), scramble=True, seed=seed).random(count).tolist()
    return [{name: _place(u, space[name]) for name, u in zip(space, row, strict=True)} for row in sequence]


def _place(u: float, within: Range) -> float:
    """Place ``u``, from 0 to 1, in a range, whose upper end is not reached."""
    low, high = (math.log(end) if within.log else float(end) for end in (within.low, within.high))
    found = low + u * (high - low)
    if within.log:
        found = max(math.exp(found), float(within.low))
    return min(found, math.nextafter(within.high, -math.inf))
