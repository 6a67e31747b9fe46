"""What the columns share."""

from collections.abc import Callable, Sequence

from steepest.compare.analysis.statistics import Interval
from steepest.compare.analysis.summary import Row
from steepest.page.table import Column, Value

RowColumn = Column[Row]
Show = Callable[[Row], str]


def ends(name: str, interval: Interval | None) -> dict[str, Value]:
    """An interval as two values."""
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {f"{name}_low": low, f"{name}_high": high}


def some(text: str) -> Sequence[str]:
    """A small text, if it is not empty."""
    return [text] if text else []
