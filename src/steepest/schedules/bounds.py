"""Between which two learning rates a group moves, and what it starts with."""

import math
from collections.abc import Sequence
from typing import Any

from steepest.optim.arguments import check_number

Bound = float | Sequence[float]
_WORDS = "a finite number above 0"


class Bounds:
    """The lowest and the highest lr of every group: one pair for all, those that are added later among them, or lists.

    Args:
        lr_min, lr_max, start_lr: a number, or one for each group; ``start_lr=None`` is ``lr_max``.
        groups: how many there are now.

    Raises:
        ValueError: a number is not positive and finite, a list has another length, ``lr_min`` is not below ``lr_max``,
            or the start lies outside of them.

    Example:
        >>> bounds = Bounds(0.001, [0.1, 0.2], None, groups=2)
        >>> bounds.of(2), bounds.start
        ([(0.001, 0.1), (0.001, 0.2)], [0.1, 0.2])
    """

    def __init__(self, lr_min: Bound, lr_max: Bound, start_lr: Bound | None, groups: int) -> None:
        self.lr_min, self.lr_max = _checked("lr_min", lr_min), _checked("lr_max", lr_max)
        found = self.of(groups)
        start = self.lr_max if start_lr is None else _checked("start_lr", start_lr)
        self.start = _spread("start_lr", start, groups)
        for lr, (low, high) in zip(self.start, found, strict=True):
            if not low <= lr <= high:
                raise ValueError(f"start_lr must lie between lr_min and lr_max, {low} and {high}, got {lr}")

    def of(self, groups: int) -> list[tuple[float, float]]:
        """A pair for each of so many groups.

        Raises:
            ValueError: there are lists of another length.
        """
        lows, highs = _spread("lr_min", self.lr_min, groups), _spread("lr_max", self.lr_max, groups)
        pairs = list(zip(lows, highs, strict=True))
        for low, high in pairs:
            if not low < high:
                raise ValueError(f"lr_min must be below lr_max, got lr_min {low} and lr_max {high}")
        return pairs


def _checked(name: str, value: Bound) -> float | list[float]:
    if isinstance(value, list | tuple):
        return [_positive(name, number) for number in value]
    return _positive(name, value)


def _positive(name: str, value: Any) -> float:
    check_number(name, value, _WORDS, lambda lr: 0 < lr < math.inf)
    return float(value)


def _spread(name: str, value: float | list[float], groups: int) -> list[float]:
    values = value if isinstance(value, list) else [value] * groups
    if len(values) != groups:
        raise ValueError(
            f"{name} has {len(values)} values and the optimizer {groups} groups of parameters; give one for each, or "
            "one number for all"
        )
    return values
