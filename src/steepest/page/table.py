"""A table as data."""

from dataclasses import dataclass

Value = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Columns by name and rows of plain values. What is missing is ``None``; a target that is missed is infinite."""

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
