"""Where a hyperparameter is searched: an interval, or values to choose from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steepest.training.definitions import fields
from steepest.training.definitions.conditions import Value, conditions, spell_conditions, value_of


@dataclass(frozen=True, repr=False)
class Range:
    """An interval of a hyperparameter, searched uniformly in its logarithm, or in itself with ``log=False``.

    Args:
        low: its lower end.
        high: its upper end.
        log: search its logarithm.
        integer: whole numbers, both ends among them.
        when: search it only where another hyperparameter of the space has a value, ``{"nesterov": True}``, or one of
            several, ``{"layers": [2, 3]}``; elsewhere the optimizer is not given it.

    Raises:
        ValueError: the ends are reversed, equal or not finite; or not positive while ``log`` is set, or not whole while
            ``integer`` is.

    Example:
        >>> Range(1e-3, 1.0)
        Range(low=0.001, high=1.0, log=True)
        >>> Range(5, 50, integer=True, when={"nesterov": True})
        Range(low=5, high=50, log=True, integer=True, when={'nesterov': (True,)})
    """

    low: float
    high: float
    log: bool = True
    integer: bool = False
    when: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        for end in ("low", "high"):
            object.__setattr__(self, end, fields.number(f"{end} of a range", getattr(self, end)))
        fields.flag("log of a range", self.log)
        fields.flag("integer of a range", self.integer)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"a range needs low < high, both finite, got {self.low}:{self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range needs low > 0, got {self.low}:{self.high}")
        if self.integer:
            if self.low % 1 or self.high % 1:
                raise ValueError(f"a range of integers needs whole ends, got {self.low}:{self.high}")
            object.__setattr__(self, "low", int(self.low))
            object.__setattr__(self, "high", int(self.high))
        object.__setattr__(self, "when", conditions(self.when))

    def __repr__(self) -> str:
        return f"Range({', '.join(f'{name}={value!r}' for name, value in self.__getstate__().items())})"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what a range did not have once, so that digests of older programs stay what they were."""
        state = {"low": self.low, "high": self.high, "log": self.log}
        state |= {"integer": True} if self.integer else {}
        return state | ({"when": self.when} if self.when else {})

    def __str__(self) -> str:
        ends = f"{self.low}:{self.high}:integer" if self.integer else f"{self.low:g}:{self.high:g}"
        return f"{ends}{spell_conditions(self.when)}"

    @property
    def middle(self) -> float:
        """The middle, in the logarithm where that is how it is searched.

        Example:
            >>> Range(0.01, 1.0).middle, Range(0.0, 1.0, log=False).middle, Range(1, 4, integer=True).middle
            (0.1, 0.5, 2)
        """
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return round(middle) if self.integer else middle

    def place(self, share: float) -> float:
        """The value at a share of the interval, from 0 to 1: of integers each has an equal share, or that of its
        logarithm. The upper end of other intervals is not reached.

        Example:
            >>> [Range(1, 4, log=False, integer=True).place(u) for u in (0.0, 0.3, 0.6, 0.999)]
            [1, 2, 3, 4]
        """
        if self.integer:
            return self._place_integer(share)
        low, high = (math.log(end) if self.log else float(end) for end in (self.low, self.high))
        found = low + share * (high - low)
        if self.log:
            found = max(math.exp(found), float(self.low))
        return min(found, math.nextafter(self.high, -math.inf))

    def _place_integer(self, share: float) -> int:
        first, last = int(self.low), int(self.high)
        if self.log:
            low, high = math.log(first - 0.5), math.log(last + 0.5)
            found = math.floor(math.exp(low + share * (high - low)) + 0.5)
        else:
            found = first + math.floor(share * (last - first + 1))
        return min(max(found, first), last)

    def holds(self, value: object) -> bool:
        """Whether a value is one of the interval, whose ends both count."""
        if isinstance(value, bool) or not isinstance(value, int if self.integer else int | float):
            return False
        return self.low <= value <= self.high


@dataclass(frozen=True, init=False, repr=False)
class Choice:
    """Values of a hyperparameter of which one is chosen, each as likely as the others.

    Args:
        values: at least two: numbers, texts, ``True``, ``False``, ``None``, or tuples of these, as ``betas`` are.
        when: as of a :class:`Range`.

    Raises:
        ValueError: there are fewer than two, two of them are equal, or one is something else.

    Example:
        >>> Choice(True, False)
        Choice(True, False)
        >>> Choice("cubic", "linear", when={"interpolate": True})
        Choice('cubic', 'linear', when={'interpolate': (True,)})
    """

    values: tuple[Value, ...]
    when: Mapping[str, Any] | None = field(default=None, hash=False)

    def __init__(self, *values: Any, when: Mapping[str, Any] | None = None) -> None:
        found = tuple(value_of("a value of a choice", value) for value in values)
        if len(found) < 2:
            raise ValueError(f"a choice needs at least two values, got {', '.join(map(repr, found)) or 'none'}")
        if twice := [value for i, value in enumerate(found) if value in found[:i]]:
            raise ValueError(f"the values of a choice must differ, got {twice[0]!r} twice")
        object.__setattr__(self, "values", found)
        object.__setattr__(self, "when", conditions(when))

    def __repr__(self) -> str:
        parts = [*map(repr, self.values), *([f"when={self.when!r}"] if self.when else [])]
        return f"Choice({', '.join(parts)})"

    def __str__(self) -> str:
        return f"{','.join(map(str, self.values))}{spell_conditions(self.when)}"

    @property
    def middle(self) -> Value:
        """The first value: there is no middle.

        Example:
            >>> Choice("cubic", "linear").middle
            'cubic'
        """
        return self.values[0]

    def place(self, share: float) -> Value:
        """The value at a share of the choice, from 0 to 1.

        Example:
            >>> [Choice("a", "b").place(u) for u in (0.0, 0.499, 0.5, 0.999)]
            ['a', 'a', 'b', 'b']
        """
        return self.values[min(math.floor(share * len(self.values)), len(self.values) - 1)]

    def holds(self, value: object) -> bool:
        """Whether a value is one of them, and of the same kind: 1 is not True."""
        return any(value == own and isinstance(value, bool) == isinstance(own, bool) for own in self.values)


Domain = Range | Choice
