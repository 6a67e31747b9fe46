"""Where a hyperparameter is searched."""

import math
from dataclasses import dataclass

from steepest.training.definitions import fields


@dataclass(frozen=True)
class Range:
    """An interval of a hyperparameter, searched uniformly in its logarithm, or in itself with ``log=False``.

    Raises:
        ValueError: the ends are reversed, equal or not finite; or not positive while ``log`` is set.

    Example:
        >>> Range(1e-3, 1.0)
        Range(low=0.001, high=1.0, log=True)
    """

    low: float
    high: float
    log: bool = True

    def __post_init__(self) -> None:
        for end in ("low", "high"):
            object.__setattr__(self, end, fields.number(f"{end} of a range", getattr(self, end)))
        fields.flag("log of a range", self.log)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"a range needs low < high, both finite, got {self.low}:{self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range needs low > 0, got {self.low}:{self.high}")

    @property
    def middle(self) -> float:
        """The middle, in the logarithm where that is how it is searched.

        Example:
            >>> Range(0.01, 1.0).middle, Range(0.0, 1.0, log=False).middle
            (0.1, 0.5)
        """
        if self.log:
            return math.sqrt(self.low * self.high)
        return (self.low + self.high) / 2
