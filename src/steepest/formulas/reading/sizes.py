"""What a symbol's height and its place on the line say of its class, which a bitmap of one size does not: little."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.making import usual_size
from steepest.formulas.logic.labels import BOTH_CASES

Values = NDArray[np.float64]
_SPREAD = 0.25  # capitals' heights by which writers differ
_LEAST = 0.05  # is left of a probability at least, however odd the size
_SMALL, _BOTH = "acemnorsuvwxz", BOTH_CASES + "v"
_UNLIKELY = 0.5  # is left of a letter's other case at least
_BETWEEN = 0.83  # capitals: between the heights of small letters and of capitals


def size_shares(labels: Sequence[str], sizes: Values) -> Values:
    """What classes keep of their probabilities (N, labels) for symbols of sizes: 1 where they are usual, .05 at least.

    Args:
        sizes: (N, 3), of each symbol its width and height over a capital's height, and how far above the baseline it
            ends.

    Example:
        >>> size_shares([",", "1"], np.array([[0.15, 0.32, -0.16]])).round(2).tolist()
        [[1.0, 0.05]]
    """
    width, height, rise = (sizes[:, [k]] for k in range(3))
    tall, wide, above = np.array([usual_size(label) for label in labels]).T
    off = np.where(tall > 0, height - tall, width - wide)
    unusual = ((off / _SPREAD) ** 2 + ((rise - above) / _SPREAD) ** 2) / 2
    return np.asarray(np.maximum(np.exp(-unusual), _LEAST))


def case_shares(relative_height: float) -> dict[str, float]:
    """What letters keep beside their other case, by height: the odd one from half to all; for those that look alike.

    Example:
        >>> shares = case_shares(0.6)
        >>> round(shares["O"], 2), shares["o"], shares["p"]
        (0.5, 1.0, 1.0)
    """
    small = 1 / (1 + math.exp(min((relative_height - _BETWEEN) / 0.05, 50)))
    found = {}
    for letter in _BOTH:
        told = letter in _SMALL
        found[letter] = max(min(small / max(1 - small, 1e-9), 1.0), _UNLIKELY) if told else 1.0
        found[letter.upper()] = max(min((1 - small) / max(small, 1e-9), 1.0), _UNLIKELY) if told else 1.0
    return found
