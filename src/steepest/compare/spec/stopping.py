"""How a study stops early, frozen before its first run."""

import math
from dataclasses import dataclass

FIRST_LOOK = 3  # seeds
FEWEST = 5  # seeds that are looked at more than once


@dataclass(frozen=True)
class Stopping:
    """When the final runs are looked at, and what a look may decide.

    ``seeds`` is how many there would be without looking; the last of ``looks`` is a fifth more. ``levels`` are those of
    the weighted p-value, the smallest of p / (seeds / last seeds)^2 over the looks so far, for an error of 5 % over 1,
    2, 3, ... methods: they are kept here so that no other release of SciPy moves a verdict. A method is given up once
    the chance that it would be found in the end is below ``give_up``.
    """

    seeds: int
    looks: tuple[int, ...]
    levels: tuple[float, ...]
    give_up: float = 0.1

    @property
    def last(self) -> int:
        """Seeds at the last look."""
        return self.looks[-1]

    def weight(self, look: int) -> float:
        """By what the p-value of a look, counted from 0, is divided."""
        return weight(self.looks[look], self.last)


def weight(seeds: int, last: int) -> float:
    """By what the p-value after so many of the last look's seeds is divided: an early one must be smaller."""
    return (seeds / last) ** 2


def looks(seeds: int) -> tuple[int, ...]:
    """After how many seeds a study of so many is looked at; of fewer than five, at the end alone.

    Example:
        >>> looks(5), looks(10), looks(4)
        ((3, 4, 5, 6), (3, 4, 5, 7, 9, 12), (4,))
    """
    if seeds < FEWEST:
        return (seeds,)
    last = math.ceil(1.2 * seeds - 1e-9)
    found: list[int] = []
    n = float(FIRST_LOOK)
    while round(n) < 0.9 * last:
        if not found or round(n) > found[-1]:
            found.append(round(n))
        n = max(1.3 * n, n + 1)
    return (*found, last)
